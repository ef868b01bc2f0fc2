"""What a run returns, and what it leaves in its record: metrics, every case, the model and what it takes to use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab import tracking
from t4r_lab.base.files import scratch
from t4r_lab.training import assembly
from t4r_lab.training.experiment import Experiment

if TYPE_CHECKING:
    from t4r_lab.nn.heads.model import Model
    from t4r_lab.training.judgment import Judged


Metrics = dict[str, float]


@dataclass(frozen=True)
class RunResult:
    """Metrics of a run, named like ``ndcg@10``; `test` is None unless it was asked for."""

    run_id: str
    name: str
    status: str
    valid: Metrics
    test: Metrics | None
    baselines: dict[str, dict[str, Metrics]]
    """part → baseline → metrics"""
    best_epoch: int
    seconds: float
    home: Path
    warnings: list[str] = field(default_factory=list)
    """what of these figures the user should doubt"""


@dataclass(frozen=True)
class Judgment:
    """The model of a run and its baselines, judged on parts of the data."""

    model: dict[str, Judged] = field(default_factory=dict)
    """by part"""
    baselines: dict[str, dict[str, Judged]] = field(default_factory=dict)
    """by part and name"""

    def metrics(self) -> dict[str, Metrics]:
        """Part → metrics of the model."""
        return {part: judged.metrics() for part, judged in self.model.items()}

    def baseline_metrics(self) -> dict[str, dict[str, Metrics]]:
        """Part → baseline → metrics."""
        return {part: {n: judged.metrics() for n, judged in row.items()} for part, row in self.baselines.items()}


# ── what is left beside metrics and cases: the model and what it takes to use it ────────────────


def _model(path: Path, experiment: Experiment, model: Model) -> None:
    assembly.save(model, path, experiment.spec, experiment.dataset.schema)


def _spec(path: Path, experiment: Experiment, model: Model) -> None:
    path.write_text(experiment.spec.to_yaml(), encoding="utf-8")


def _environment(path: Path, experiment: Experiment, model: Model) -> None:
    path.write_text(tracking.environment(), encoding="utf-8")


def _schema(path: Path, experiment: Experiment, model: Model) -> None:
    experiment.dataset.schema.save(path)


def _vocabulary(path: Path, experiment: Experiment, model: Model) -> None:
    experiment.dataset.vocabulary.copy_to(path)


ARTIFACTS: dict[str, Callable[[Path, Experiment, Model], None]] = {
    "model": _model,
    tracking.SPEC: _spec,
    "environment.txt": _environment,
    "schema.json": _schema,
    "data": _vocabulary,
}
"""File or folder in the record → what writes it at a path."""


# ── the record ──────────────────────────────────────────────────────────────────────────────────


def write_results(
    record: tracking.Record, judgment: Judgment, best_epoch: int, experiment: Experiment, model: Model
) -> None:
    """Final metrics, ranks and labels of each case, model, spec, schema, vocabulary and environment.

    The spec, which has been there from the beginning, is written again, since somebody may have deleted it.
    """
    write_scores(record, judgment, best_epoch)
    record.metrics({"train/best_epoch": best_epoch})
    with scratch(record.home, "recording") as folder:
        for name, write in ARTIFACTS.items():
            write(folder / name, experiment, model)
        record.artifacts(folder)
    write_cases(record, judgment)


def write_scores(record: tracking.Record, judgment: Judgment, step: int = 0) -> None:
    """Metrics of the model and of each baseline, on every part that was judged."""
    for part, judged in judgment.model.items():
        record.scores(part, judged.metrics(), step=step)
        for name, baseline in judgment.baselines[part].items():
            record.scores(part, baseline.metrics(), name, step)


def write_cases(record: tracking.Record, judgment: Judgment) -> None:
    """Every case, of the model and of each baseline: what comparisons are made from.

    Ranks of next items stand in ``ranks/PART/NAME.parquet``, labels in ``labels/PART/LABEL/NAME.parquet``, slices and
    the reliability curve in ``detail/PART/NAME.json``.
    """
    with scratch(record.home, "recording") as folder:
        for part, judged in judgment.model.items():
            for name, found in {"model": judged, **judgment.baselines[part]}.items():
                frames = {f"labels/{part}/{label}": cases.frame() for label, cases in found.labels.items()}
                if found.ranks is not None:
                    frames[f"ranks/{part}"] = found.ranks.frame()
                    detail = folder / "detail" / part / f"{name}.json"
                    detail.parent.mkdir(parents=True, exist_ok=True)
                    content = {"slices": found.slices, "reliability": found.reliability}
                    detail.write_text(json.dumps(content, indent=1), encoding="utf-8")
                for place, frame in frames.items():
                    (folder / place).mkdir(parents=True, exist_ok=True)
                    frame.write_parquet(folder / place / f"{name}.parquet")
        record.artifacts(folder)
