"""The result of a run, and its record: metrics, every case, and the model with the files that its use needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab import tracking
from t4r_lab.base.files import scratch
from t4r_lab.pictures.model_picture import picture_file
from t4r_lab.training import assembly
from t4r_lab.training.experiment import Experiment

if TYPE_CHECKING:
    from t4r_lab.nn.heads.model import Model
    from t4r_lab.training.judgment import Judged


Metrics = dict[str, float]


@dataclass(frozen=True)
class RunResult:
    """Metrics of a run, named like ``ndcg@10``; `test` is None if the test part was not scored."""

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
    """warnings about these metrics"""


@dataclass(frozen=True)
class Judgment:
    """The evaluations of a run's model and its baselines on parts of the data."""

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


# ── artifacts beside metrics and cases: the model and the files that its use needs ──────────────


def _model(path: Path, experiment: Experiment, model: Model) -> None:
    assembly.save(model, path, experiment.spec, experiment.dataset.schema)


def _spec(path: Path, experiment: Experiment, model: Model) -> None:
    path.write_text(experiment.spec.to_yaml(), encoding="utf-8")


def _picture(path: Path, experiment: Experiment, model: Model) -> None:
    path.write_text(picture_file(experiment.spec, experiment.dataset.schema), encoding="utf-8")


def _environment(path: Path, experiment: Experiment, model: Model) -> None:
    path.write_text(tracking.environment(), encoding="utf-8")


def _schema(path: Path, experiment: Experiment, model: Model) -> None:
    experiment.dataset.schema.save(path)


def _vocabulary(path: Path, experiment: Experiment, model: Model) -> None:
    experiment.dataset.vocabulary.copy_to(path)


ARTIFACTS: dict[str, Callable[[Path, Experiment, Model], None]] = {
    "model": _model,
    tracking.SPEC: _spec,
    "model.svg": _picture,
    "environment.txt": _environment,
    "schema.json": _schema,
    "data": _vocabulary,
}
"""File or folder in the record → the function that writes it."""


# ── the record ──────────────────────────────────────────────────────────────────────────────────


def write_results(
    record: tracking.Record, judgment: Judgment, best_epoch: int, experiment: Experiment, model: Model
) -> None:
    """Final metrics, ranks and labels of each case, model, spec, schema, vocabulary and environment.

    The spec, which is recorded at the start, is written again in case it was deleted.
    """
    write_scores(record, judgment, best_epoch)
    record.metrics({"train/best_epoch": best_epoch})
    with scratch(record.home, "recording") as folder:
        for name, write in ARTIFACTS.items():
            write(folder / name, experiment, model)
        record.artifacts(folder)
    write_cases(record, judgment)


def write_scores(record: tracking.Record, judgment: Judgment, step: int = 0) -> None:
    """Record the metrics of the model and of each baseline, on every evaluated part."""
    for part, judged in judgment.model.items():
        record.scores(part, judged.metrics(), step=step)
        for name, baseline in judgment.baselines[part].items():
            record.scores(part, baseline.metrics(), name, step)


def write_cases(record: tracking.Record, judgment: Judgment) -> None:
    """Record every case of the model and of each baseline, from which comparisons are computed.

    Ranks of next items go to ``ranks/PART/NAME.parquet``, labels to ``labels/PART/LABEL/NAME.parquet``, slices and
    the reliability curve to ``detail/PART/NAME.json``.
    """
    with scratch(record.home, "recording") as folder:
        for part, judged in judgment.model.items():
            for name, evaluation in {"model": judged, **judgment.baselines[part]}.items():
                frames = {f"labels/{part}/{label}": cases.frame() for label, cases in evaluation.labels.items()}
                if evaluation.ranks is not None:
                    frames[f"ranks/{part}"] = evaluation.ranks.frame()
                    detail = folder / "detail" / part / f"{name}.json"
                    detail.parent.mkdir(parents=True, exist_ok=True)
                    content = {"slices": evaluation.slices, "reliability": evaluation.reliability}
                    detail.write_text(json.dumps(content, indent=1), encoding="utf-8")
                for subfolder, frame in frames.items():
                    (folder / subfolder).mkdir(parents=True, exist_ok=True)
                    frame.write_parquet(folder / subfolder / f"{name}.parquet")
        record.artifacts(folder)
