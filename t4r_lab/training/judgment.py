"""Final evaluation of a model or a baseline: ranking, recommended lists, calibration, slices."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from t4r_lab.base.documents import Document
from t4r_lab.base.reports import OnReport, silent
from t4r_lab.baselines import baseline_ranks
from t4r_lab.baselines.baseline_row import Scorer
from t4r_lab.baselines.baseline_table import BASELINES, CONSTANT
from t4r_lab.data.sessions.arrays import Sessions
from t4r_lab.families.metrics.metric_table import metrics_of
from t4r_lab.nn.heads.model import Model
from t4r_lab.nn.metrics.calibration import Calibration
from t4r_lab.nn.metrics.ranking import Ranks, summarize
from t4r_lab.nn.metrics.recommended_lists import Lists
from t4r_lab.nn.metrics.slices import slices
from t4r_lab.schema.columns import Schema
from t4r_lab.spec import EvaluationSpec, RunSpec
from t4r_lab.training import evaluation
from t4r_lab.training.label_evaluation import Labels, constant_baseline


@dataclass(frozen=True)
class Judged:
    """Evaluation of a model or a baseline: ranks of the next items, predictions by label, slices, reliability curve.

    `extra_metrics` are those of recommended lists and probabilities. A model of labels alone has no ranks, a baseline
    no reliability curve.
    """

    ranks: Ranks | None = None
    labels: dict[str, Labels] = field(default_factory=dict)
    extra_metrics: dict[str, float] = field(default_factory=dict)
    slices: list[Document] = field(default_factory=list)
    reliability: list[dict[str, float]] = field(default_factory=list)

    def metrics(self) -> dict[str, float]:
        """Metrics as after each epoch, such as ``ndcg@10``, then the final ones of ranks, lists and probabilities."""
        metrics = evaluation.task_metrics(self.ranks, self.labels)
        if self.ranks is not None:
            metrics |= summarize(self.ranks.rank, list(self.ranks.cutoffs), metrics_of("final ranks"))
        return metrics | self.extra_metrics


def judge(
    model: Model, sessions: Sessions, spec: RunSpec, counts: NDArray[np.int64], on_report: OnReport = silent
) -> Judged:
    """Evaluate `model` in one pass over its scores. `counts` (I,) are the items' events in training."""
    lists, calibration = Lists(counts, spec.evaluation.cutoffs), Calibration()

    def watch(scores: Tensor, targets: Tensor, seen: Tensor | None) -> None:
        lists.add(scores, seen)
        calibration.add(scores, targets)

    ranks, labels = evaluation.evaluate_tasks(model, sessions, spec, on_report, watch=watch)
    if ranks is None:
        return Judged(labels=labels)
    extra_metrics = {**lists.metrics(), **calibration.metrics()}
    return Judged(ranks, labels, extra_metrics, slices(ranks, counts), calibration.curve())


def judge_baselines(spec: RunSpec, schema: Schema, fitted: Sessions, sessions: Sessions) -> dict[str, Judged]:
    """Evaluate every baseline for the tasks of `spec`, by name: fitted on `fitted`, evaluated on `sessions`."""
    judged = {}
    if spec.model.next_item:
        counts = fitted.item_counts(schema.n_items)
        for name, baseline in BASELINES.items():
            judged[name] = judge_baseline(baseline.fit(fitted, schema.n_items), sessions, spec.evaluation, counts)
    if spec.model.labels:
        judged[CONSTANT] = Judged(labels=constant_baseline(spec, schema, fitted, sessions))
    return judged


def judge_baseline(scorer: Scorer, sessions: Sessions, options: EvaluationSpec, counts: NDArray[np.int64]) -> Judged:
    """Evaluate a baseline, without calibration, since its scores are not log-probabilities."""
    lists = Lists(counts, options.cutoffs)
    ranks = baseline_ranks.evaluate(scorer, sessions, options, lambda scores, _, seen: lists.add(scores, seen))
    return Judged(ranks, {}, lists.metrics(), slices(ranks, counts))
