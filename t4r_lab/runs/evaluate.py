"""Evaluate a recorded run again, on any part of its data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import OnReport, Progress
from t4r_lab.families import custom
from t4r_lab.runs import quality_warnings
from t4r_lab.runs.progress import reporting
from t4r_lab.runs.results import Judgment, RunResult, write_cases, write_scores
from t4r_lab.spec import RunSpec
from t4r_lab.training import assembly
from t4r_lab.training.experiment import Experiment, open_data

if TYPE_CHECKING:
    from t4r_lab.data.prepared.prepared_data import Dataset
    from t4r_lab.nn.heads.model import Model
    from t4r_lab.schema.columns import Schema


def evaluate_run(
    run: str,
    split: str = "valid",
    *,
    home: str | Path | None = None,
    on_report: OnReport | None = None,
    trust: Iterable[str] = (),
) -> RunResult:
    """Score a recorded run on a part of its data; a look at the test part is counted on the run.

    Its spec may name classes of the packages that you `trust`, whose code runs.

    Raises
    ------
    InputError
        if there is no such run, it has no model or was fitted on that part, or its data have changed.
    """
    custom.trust(trust)
    with reporting(on_report) as report:
        return _evaluate(homes.ensure(home), run, split, report)


def _evaluate(home: Path, run: str, part: str, on_report: OnReport) -> RunResult:
    row = tracking.find(home, run)
    on_report(Progress("loading the model"))
    model, spec, _ = load_model(home, row)
    experiment = Experiment.reopen(spec, data_of(row, spec), part, home)
    record = tracking.Record(home, row.run_id)
    if part == "test":
        record.look()  # before the evaluation, as in a training
    judgment = Judgment({part: experiment.judge(model, part, on_report)}, {part: experiment.judge_baselines(part)})
    write_scores(record, judgment)
    write_cases(record, judgment)
    warnings = quality_warnings.report_warnings(judgment, spec, on_report)[part]
    record.warn(part, warnings)
    metrics = judgment.metrics()
    return RunResult(
        row.run_id,
        row.name,
        row.status,
        metrics.get("valid", row.valid),
        metrics.get("test"),
        judgment.baseline_metrics(),
        0,
        row.seconds,
        home,
        [*row.warnings.get("train", []), *warnings],
    )


def data_of(row: tracking.RunRow, spec: RunSpec) -> Dataset:
    """The data that a run was trained on.

    Raises
    ------
    InputError
        if they have changed since.
    """
    return open_data(spec, row.digest, f"that run {row.name} was trained on")


def load_model(home: Path, row: tracking.RunRow) -> tuple[Model, RunSpec, Schema]:
    """Model, spec and schema of a recorded run."""
    files = tracking.Artifacts(home)
    folder = files.path(row.run_id, "model")
    if not folder.is_dir():
        remedy = f"resume it with `t4r-lab train --resume {row.run_id[:8]}`"
        if row.status == "FINISHED":
            restore = "" if tracking.server() else f"bring back a copy of {tracking.artifacts(home, row.run_id)}, or "
            remedy = f"{restore}train its spec again"
        raise InputError(f"run {row.name}", f"{row.status.lower()}, it has no model", remedy)
    model, spec, schema = assembly.load(folder)
    return model, tracking.with_present_data(home, spec, row.digest), schema
