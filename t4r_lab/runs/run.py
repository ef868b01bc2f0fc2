"""Train a spec: load its data, score baselines, fit the model, evaluate and record it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Baseline, Caution, Epoch, OnReport, Progress, Started, Stopped, silent
from t4r_lab.base.retries import Unavailable
from t4r_lab.families.metrics.metric_table import metrics_of
from t4r_lab.runs import processes, quality_warnings, results
from t4r_lab.runs.evaluate import data_of
from t4r_lab.runs.progress import reporting
from t4r_lab.runs.results import Judgment, Metrics, RunResult
from t4r_lab.spec import RunSpec
from t4r_lab.training.experiment import Experiment

if TYPE_CHECKING:
    from t4r_lab.data.prepared.prepared_data import Dataset
    from t4r_lab.nn.heads.model import Model
    from t4r_lab.training.judgment import Judged


def run(
    spec: RunSpec,
    *,
    home: str | Path | None = None,
    test: bool = False,
    on_report: OnReport | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    folder: str | Path | None = None,
    resume: str | None = None,
) -> RunResult:
    """Train and evaluate `spec` and record it.

    Parameters
    ----------
    home
        the home of the record; by default as `t4r_lab.base.homes.locate` finds it.
    test
        score the test part too, once, and count that look at it.
    on_report
        a function that receives every report; by default a progress bar.
    should_stop
        called after each batch. If it returns True, or at Ctrl-C, the batch is finished, the state saved and the
        run marked KILLED.
    folder
        the folder of the checkpoints; by default under the home.
    resume
        id of a stopped run to continue, with the same result as if it had never stopped.

    Raises
    ------
    InputError
        for anything the user can fix; checks come before anything is written.
    """
    with reporting(on_report) as report:
        return _run(spec, homes.ensure(home), test, report, should_stop, Path(folder) if folder else None, resume)


def _run(
    spec: RunSpec,
    home: Path,
    test: bool,
    on_report: OnReport,
    should_stop: Callable[[], bool],
    folder: Path | None,
    resume: str | None,
) -> RunResult:
    if not processes.is_main():
        on_report = silent
    # ── everything is refused before anything is written
    on_report(Progress("loading data"))
    experiment = Experiment.open(spec, _data_to_resume(home, resume, spec) if resume else None, home)
    on_report(Progress("importing torch"))
    from t4r_lab.training.accelerator import make_accelerator

    make_accelerator(spec.train)  # first, since it connects several processes
    # ── one trainer of the folder, one record
    on_report(Progress("opening the record"))
    checkpoints = folder or home / "jobs" / processes.broadcast(f"run-{secrets.token_hex(6)}")
    training_processes = processes.all_processes()
    record, run_id = None, ""
    try:
        with processes.hold_lock(checkpoints if processes.is_main() else None):  # before a run relies on it
            record = _open_record(experiment, resume, checkpoints)
            run_id = processes.broadcast(record.run_id if record else "")
            on_report(Started(run_id))
            training = _Training(experiment, record, run_id, checkpoints, on_report)
            result = training.result(test, should_stop, bool(resume))
    except processes.Busy:
        raise  # the run belongs to another process
    except BaseException as error:
        if refusal := _close_failed_run(
            error, processes.ended_process(training_processes, error), record, run_id, home, checkpoints
        ):
            raise refusal from None
        raise
    if result.status == "FINISHED" and record:
        processes.remove_checkpoints(checkpoints)  # the weights are in the record now
    return result


def _close_failed_run(
    error: BaseException, ended: str, record: tracking.Record | None, run_id: str, home: Path, checkpoints: Path
) -> InputError | None:
    """End the record of a run that failed with `error`, and remove a folder without a checkpoint.

    Returns the refusal to raise instead of `error`, None to raise it as it is. `ended` names the process that ended
    of several; empty if none did.
    """
    if record and not isinstance(error, Unavailable):
        is_killed = isinstance(error, KeyboardInterrupt) or ended
        with suppress(Exception):  # the record may be the cause; only the first error matters
            record.finish("KILLED" if is_killed else "FAILED", ended or f"{type(error).__name__}: {error}")
    if record and (refusal := tracking.missing_home(home)):
        processes.remove_leftovers(home, checkpoints)
        return refusal
    if processes.is_main() and not processes.can_resume(checkpoints):
        processes.remove_checkpoints(checkpoints)
    if reason := homes.no_room(error):
        problem, remedy = reason
        then = f"resume run {record.run_id[:12]}" if record and processes.can_resume(checkpoints) else "train again"
        return InputError(home, problem, f"{remedy}, then {then}")
    if ended:
        remedy = f"continue with --resume {run_id[:12]}" if processes.can_resume(checkpoints) else "train again"
        return InputError("", ended, f"see its output above, then {remedy}")
    return None


def resume(
    run_id: str, *, home: str | Path | None = None, test: bool = False, on_report: OnReport | None = None
) -> RunResult:
    """Continue a run that was stopped, or whose process died, from its last checkpoint."""
    home_path = homes.ensure(home)
    row = tracking.find(home_path, run_id)
    _refuse_finished(row)
    folder = Path(row.folder)
    if not row.folder or not processes.can_resume(folder):
        raise InputError(f"run {row.name} ({row.run_id[:8]})", "it left no checkpoint", _train_again(row))
    return run(
        tracking.spec(home_path, row), home=home_path, test=test, on_report=on_report, folder=folder, resume=row.run_id
    )


@dataclass(frozen=True)
class _Training:
    """A run in training. Only the first of several processes has a record."""

    experiment: Experiment
    record: tracking.Record | None
    run_id: str
    checkpoints: Path
    on_report: OnReport

    def result(self, test: bool, should_stop: Callable[[], bool], resume: bool) -> RunResult:
        """Score baselines, train, evaluate and record; return the result."""
        experiment = self.experiment
        spec, judgment = experiment.spec, Judgment()
        # ── baselines first, so that every epoch is seen beside them
        self.on_report(Progress("scoring baselines"))
        if experiment.validates:
            judgment.baselines["valid"] = self._baselines()
        # ── training
        self.on_report(Progress("building the model"))
        model = experiment.build()
        watch = quality_warnings.LossWatch(spec, experiment.dataset.schema)
        stopped = self._fit(model, watch, should_stop, resume)
        # ── evaluation, unless training will be resumed
        if stopped.reason != "interrupted":
            self._judge(model, judgment, test)
            if self.record:
                self.on_report(Progress("recording"))
                results.write_results(self.record, judgment, stopped.best_epoch, experiment, model)
        # ── warnings, and the end of the record
        warnings = {} if watch.warnings is None else {"train": watch.warnings}  # else those from before a stop stay
        warnings |= quality_warnings.report_warnings(judgment, spec, self.on_report)
        status = "KILLED" if stopped.reason == "interrupted" else "FINISHED"
        if self.record:
            for part, doubted in warnings.items():
                self.record.warn(part, doubted)
            self.record.finish(status, stopped.reason)
        metrics, lines = judgment.metrics(), [line for part in warnings.values() for line in part]
        return RunResult(
            self.run_id,
            spec.name,
            status,
            metrics.get("valid", {}),
            metrics.get("test"),
            judgment.baseline_metrics(),
            stopped.best_epoch,
            stopped.seconds,
            experiment.home,
            lines,
        )

    def _baselines(self) -> dict[str, Judged]:
        """Evaluate the baselines on the validation part, and report and record them at once."""
        from t4r_lab.training.evaluation import task_metrics

        baselines = self.experiment.judge_baselines("valid")
        for name, judged in baselines.items():
            self.on_report(Baseline(name, task_metrics(judged.ranks, judged.labels)))
            if self.record:
                self.record.scores("valid", judged.metrics(), name)
        return baselines

    def _fit(
        self, model: Model, watch: quality_warnings.LossWatch, should_stop: Callable[[], bool], resume: bool
    ) -> Stopped:
        """Train `model`, report and record each epoch, and return the last report."""
        stopped = Stopped("finished", 0, 0.0)
        with processes.interruptible(should_stop) as stop:
            for report in self.experiment.fit(model, self.checkpoints, processes.joint_stop(stop), resume):
                self.on_report(report)
                if isinstance(report, Epoch):
                    if self.record:
                        self.record.epoch(report)
                    for warning in watch(report):  # at once, since the rest of the training may be useless
                        self.on_report(Caution(warning))
                if isinstance(report, Stopped):
                    stopped = report
        return stopped

    def _judge(self, model: Model, judgment: Judgment, test: bool) -> None:
        """Evaluate the model on the validation part and, with its baselines, on the test part; adds to `judgment`."""
        experiment = self.experiment
        if experiment.validates:
            fitted = _fit_temperature(experiment, model) if experiment.spec.model.fits_temperature else {}
            judged = experiment.judge(model, "valid", self.on_report)
            judgment.model["valid"] = replace(judged, extra_metrics={**judged.extra_metrics, **fitted})
        if test:
            if self.record:
                self.record.look()  # before the evaluation: a process killed during it may have shown its metrics
            judgment.baselines["test"] = experiment.judge_baselines("test")
            judgment.model["test"] = experiment.judge(model, "test", self.on_report)


def _fit_temperature(experiment: Experiment, model: Model) -> Metrics:
    """Fit the temperature of the scores on the validation part; returns it and the calibration metrics before it."""
    before = experiment.judge(model, "valid").extra_metrics
    temperature = experiment.fit_temperature(model)
    return {"temperature": temperature, **{f"{name}_before": before[name] for name in metrics_of("probabilities")}}


# ── record ──────────────────────────────────────────────────────────────────────────────────────


def _data_to_resume(home: Path, run: str, spec: RunSpec) -> Dataset:
    row = tracking.find(home, run)
    _refuse_finished(row)
    return data_of(row, spec)


def _open_record(experiment: Experiment, resume: str | None, folder: Path) -> tracking.Record | None:
    """Open the record of the run, now RUNNING; None in all but the first of several processes."""
    if not processes.is_main():
        return None
    spec, dataset, home = experiment.spec, experiment.dataset, experiment.home
    if resume is None:
        return tracking.start(home, spec, dataset, folder)
    _refuse_finished(tracking.find(home, resume))
    record = tracking.Record(home, resume)
    record.begin(folder)
    record.describe(spec, dataset)  # the process that opened it may have been killed before
    return record


def _refuse_finished(row: tracking.RunRow) -> None:
    if row.status == "FINISHED":
        raise InputError(f"run {row.name} ({row.run_id[:8]})", "it has finished", _train_again(row))


def _train_again(row: tracking.RunRow) -> str:
    return f"train its spec again with `t4r-lab train --again {row.run_id[:8]}`"
