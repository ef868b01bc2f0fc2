"""The final judgement, of a model or a baseline: ranking, recommended lists, calibration, slices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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
from t4r_lab.training.labels import Labels, constant


@dataclass(frozen=True)
class Judged:
    """Ranks of the next items with what was found beside them, slices and the reliability curve; labels by name.

    A model of labels alone has no ranks, a baseline no reliability curve.
    """

    ranks: Ranks | None = None
    labels: dict[str, Labels] = field(default_factory=dict)
    beside: dict[str, float] = field(default_factory=dict)
    slices: list[dict[str, Any]] = field(default_factory=list)
    reliability: list[dict[str, Any]] = field(default_factory=list)

    def metrics(self) -> dict[str, float]:
        """Those after each epoch, such as ``ndcg@10`` and labels'; then final ones of ranks, lists, probabilities."""
        found = evaluation.figures(self.ranks, self.labels)
        if self.ranks is not None:
            found |= summarize(self.ranks.rank, list(self.ranks.cutoffs), metrics_of("final ranks"))
        return found | self.beside


def judge(
    model: Model, sessions: Sessions, spec: RunSpec, counts: NDArray[np.int64], on_report: OnReport = silent
) -> Judged:
    """Everything about `model` in one pass over its scores. `counts` (I,) are the items' events in training."""
    lists, calibration = Lists(counts, spec.evaluation.cutoffs), Calibration()

    def watch(scores: Tensor, targets: Tensor, seen: Tensor | None) -> None:
        lists.add(scores, seen)
        calibration.add(scores, targets)

    ranks, labels = evaluation.assess(model, sessions, spec, on_report, watch=watch)
    if ranks is None:
        return Judged(labels=labels)
    beside = {**lists.metrics(), **calibration.metrics()}
    return Judged(ranks, labels, beside, slices(ranks, counts), calibration.curve())


def judge_baselines(spec: RunSpec, schema: Schema, fitted: Sessions, sessions: Sessions) -> dict[str, Judged]:
    """Every baseline of what `spec` predicts, by name: learned from `fitted`, judged on `sessions`."""
    judged = {}
    if spec.model.next_item:
        counts = fitted.item_counts(schema.n_items)
        for name, baseline in BASELINES.items():
            judged[name] = judge_baseline(baseline.fit(fitted, schema.n_items), sessions, spec.evaluation, counts)
    if spec.model.labels:
        judged[CONSTANT] = Judged(labels=constant(spec, schema, fitted, sessions))
    return judged


def judge_baseline(scorer: Scorer, sessions: Sessions, options: EvaluationSpec, counts: NDArray[np.int64]) -> Judged:
    """The same of a baseline, without calibration: its scores are no log-probabilities."""
    lists = Lists(counts, options.cutoffs)
    ranks = baseline_ranks.evaluate(scorer, sessions, options, lambda scores, _, seen: lists.add(scores, seen))
    return Judged(ranks, {}, lists.metrics(), slices(ranks, counts))
