"""A spec becomes data, baselines, a trained model, its evaluation and its record."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Baseline, Caution, Epoch, OnReport, Progress, Started, Stopped, silent
from t4r_lab.base.retries import Away
from t4r_lab.runs import doubts, guard, results
from t4r_lab.spec import RunSpec
from t4r_lab.training import assembly
from t4r_lab.training.experiment import Experiment, check_labels, open_data

if TYPE_CHECKING:
    from t4r_lab.data.prepared.dataset import Dataset
    from t4r_lab.nn.heads.model import Model
    from t4r_lab.training.judgment import Judged

Metrics = dict[str, float]


@dataclass(frozen=True)
class RunResult:
    """What a run found. Metrics are named like ``ndcg@10``; `test` is None unless it was asked for."""

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
        where the record is kept; by default as `t4r_lab.base.homes.locate` finds it.
    test
        also look at the test part, once, and count the look.
    on_report
        called with every report; a progress bar by default.
    should_stop
        asked after each batch. Ctrl-C does the same as True here: the batch is finished, the state
        kept, the run marked KILLED.
    folder
        where the checkpoints go; by default under the home.
    resume
        id of a stopped run that goes on, to the same result as if it had never stopped.

    Raises
    ------
    InputError
        for anything the user can mend; checks come before anything is written.
    """
    if on_report is None:
        from t4r_lab.runs.progress import Console

        with Console() as console:
            return run(
                spec, home=home, test=test, on_report=console, should_stop=should_stop, folder=folder, resume=resume
            )
    if not guard.is_main():
        on_report = silent
    on_report(Progress("loading data"))
    place = homes.ensure(home)
    experiment = Experiment.open(spec, _data_to_resume(place, resume, spec) if resume else None)
    on_report(Progress("importing torch"))
    from t4r_lab.training.accelerator import make_accelerator

    make_accelerator(spec.train)  # now, since several processes agree by it
    on_report(Progress("opening the record"))
    checkpoints = Path(folder) if folder else place / "jobs" / guard.agree(f"run-{secrets.token_hex(6)}")
    crew = guard.muster()
    record, run_id = None, ""
    try:
        with guard.only_trainer(checkpoints if guard.is_main() else None):  # before there is a run that counts on it
            record = _open_record(place, experiment, resume, checkpoints)
            run_id = guard.agree(record.run_id if record else "")
            on_report(Started(run_id))
            result = _train(experiment, record, place, run_id, checkpoints, test, on_report, should_stop, bool(resume))
    except guard.Busy:
        raise  # the run is another process's
    except BaseException as error:
        if refusal := _end_badly(error, guard.fallen(crew, error), record, run_id, place, checkpoints):
            raise refusal from None
        raise
    if result.status == "FINISHED" and record:
        guard.clear(checkpoints)  # the weights are in the record now
    return result


def _end_badly(
    error: BaseException, fallen: str, record: tracking.Record | None, run_id: str, home: Path, checkpoints: Path
) -> InputError | None:
    """End the record of a run that `error` ended, and remove what nobody can go on from; what to say in its place.

    `fallen` says which process of several has ended; empty: none.
    """
    if record and not isinstance(error, Away):
        killed = isinstance(error, KeyboardInterrupt) or fallen
        with suppress(Exception):  # the record may be what failed; the first error is what counts
            record.finish("KILLED" if killed else "FAILED", fallen or f"{type(error).__name__}: {error}")
    if record and (refusal := tracking.gone(home)):
        guard.leave(home, checkpoints)
        return refusal
    if guard.is_main() and not guard.can_resume(checkpoints):
        guard.clear(checkpoints)
    if homes.disk_is_full(error):
        remedy = f"resume run {record.run_id[:12]}" if record and guard.can_resume(checkpoints) else "train again"
        return InputError(f"{home}: the disk is full; free some space, then {remedy}")
    if fallen:
        remedy = f"go on with --resume {run_id[:12]}" if guard.can_resume(checkpoints) else "train again"
        return InputError(f"{fallen}; see above whether it said why, then {remedy}")
    return None


def resume(
    run_id: str, *, home: str | Path | None = None, test: bool = False, on_report: OnReport | None = None
) -> RunResult:
    """Go on with a run that was stopped, or whose process died, from its last checkpoint."""
    place = homes.ensure(home)
    row = tracking.find(place, run_id)
    _refuse_finished(row)
    folder = Path(row.folder)
    if not row.folder or not guard.can_resume(folder):
        raise InputError(f"run {row.name} ({row.run_id[:8]}) left no checkpoint; {_anew(row)}")
    return run(tracking.spec(place, row), home=place, test=test, on_report=on_report, folder=folder, resume=row.run_id)


def _train(
    experiment: Experiment, record: tracking.Record | None, home: Path, run_id: str, checkpoints: Path, test: bool,
    on_report: OnReport, should_stop: Callable[[], bool], resume: bool,
) -> RunResult:  # fmt: skip
    from t4r_lab.training.evaluation import figures
    from t4r_lab.training.judgment import judge

    spec, dataset, counts = experiment.spec, experiment.dataset, experiment.counts
    on_report(Progress("scoring baselines"))
    parts = (["valid"] if spec.train.fit_on == "train" else []) + (["test"] if test else [])
    baselines: dict[str, dict[str, Judged]] = {"valid": _baselines(spec, dataset, "valid")} if "valid" in parts else {}
    for name, found in baselines.get("valid", {}).items():
        on_report(Baseline(name, figures(found.ranks, found.labels)))
        if record:
            record.scores("valid", found.metrics(), name)
    on_report(Progress("building the model"))
    model = experiment.build()
    watch = doubts.LossWatch(spec, dataset.schema)
    stopped = _fit(model, experiment, watch, record, checkpoints, on_report, should_stop, resume)
    interrupted = stopped.reason == "interrupted"
    scored: dict[str, Judged] = {}
    fitted: Metrics = {}
    if "valid" in parts and not interrupted and spec.model.fits_temperature:
        fitted = _fit_temperature(model, spec, dataset, counts)
    for part in parts if not interrupted else []:
        if part == "test":
            if record:
                record.look()  # before it is made: whoever is killed in its midst may have seen it
            baselines["test"] = _baselines(spec, dataset, "test")
        scored[part] = judge(model, dataset.part(part), spec, counts, on_report)
    if fitted:
        scored["valid"] = replace(scored["valid"], beside={**scored["valid"].beside, **fitted})
    if record and not interrupted:
        on_report(Progress("recording"))
        results.write_results(record, scored, baselines, stopped.best_epoch, spec, dataset, model)
    warnings = {} if watch.warnings is None else {"train": watch.warnings}  # else those of before a stop stay
    warnings |= _warn(scored, baselines, spec, on_report)
    if record:
        for part, words in warnings.items():
            record.warn(part, words)
    status = "KILLED" if interrupted else "FINISHED"
    if record:
        record.finish(status, stopped.reason)
    metrics = {part: judged.metrics() for part, judged in scored.items()}
    return RunResult(
        run_id, spec.name, status, metrics.get("valid", {}), metrics.get("test"),
        {part: {name: judged.metrics() for name, judged in found.items()} for part, found in baselines.items()},
        stopped.best_epoch, stopped.seconds, home, [one for words in warnings.values() for one in words],
    )  # fmt: skip


def _fit(
    model: Model, experiment: Experiment, watch: doubts.LossWatch, record: tracking.Record | None, checkpoints: Path,
    on_report: OnReport, should_stop: Callable[[], bool], resume: bool,
) -> Stopped:  # fmt: skip
    """Train `model`, tell and record each epoch; how it ended."""
    from t4r_lab.training.trainer import fit

    stopped = Stopped("finished", 0, 0.0)
    with guard.interruptible(should_stop) as stop:
        for report in fit(model, experiment.dataset, experiment.spec, checkpoints, guard.together(stop), resume):
            on_report(report)
            if isinstance(report, Epoch):
                if record:
                    record.epoch(report)
                for warning in watch(report):  # at once, since the rest of the training may be in vain
                    on_report(Caution(warning))
            if isinstance(report, Stopped):
                stopped = report
    return stopped


def _warn(
    scored: dict[str, Judged], baselines: dict[str, dict[str, Judged]], spec: RunSpec, on_report: OnReport
) -> dict[str, list[str]]:
    """Part → what its figures should make doubtful, which is told too."""
    found = {part: doubts.doubt_metrics(part, judged, baselines[part], spec) for part, judged in scored.items()}
    for warnings in found.values():
        for words in warnings:
            on_report(Caution(words))
    return found


def evaluate_run(
    run: str, split: str = "valid", *, home: str | Path | None = None, on_report: OnReport | None = None
) -> RunResult:
    """Score a recorded run on a part of its data; a look at the test part is counted on the run."""
    if on_report is None:
        from t4r_lab.runs.progress import Console

        with Console() as console:
            return evaluate_run(run, split, home=home, on_report=console)
    from t4r_lab.training.judgment import judge

    place = homes.ensure(home)
    row = tracking.find(place, run)
    on_report(Progress("loading the model"))
    model, spec, _ = load_model(place, row)
    if split == "valid" and spec.train.fit_on != "train":
        raise InputError(f"run {row.name}: it was fitted on the validation part too; evaluate it with --split test")
    dataset = data_of(row, spec)
    check_labels(spec, dataset)
    record = tracking.Record(place, row.run_id)
    if split == "test":
        record.look()  # before it is made, as in a training
    counts = dataset.part(spec.train.fit_on).item_counts(dataset.schema.n_items)
    judged, baselines = judge(model, dataset.part(split), spec, counts, on_report), _baselines(spec, dataset, split)
    record.scores(split, judged.metrics())
    for name, found in baselines.items():
        record.scores(split, found.metrics(), name)
    results.write_cases(record, {split: judged}, {split: baselines})
    warnings = _warn({split: judged}, {split: baselines}, spec, on_report)[split]
    record.warn(split, warnings)
    scores = {split: {name: found.metrics() for name, found in baselines.items()}}
    valid, test = (judged.metrics(), None) if split == "valid" else (row.valid, judged.metrics())
    warnings = [*row.warnings.get("train", []), *warnings]
    return RunResult(row.run_id, row.name, row.status, valid, test, scores, 0, row.seconds, place, warnings)


def data_of(row: tracking.RunRow, spec: RunSpec) -> Dataset:
    """The data that a run was trained on, refused if they are not what they were."""
    return open_data(spec, row.digest, f"that run {row.name} was trained on")


def load_model(home: Path, row: tracking.RunRow) -> tuple[Model, RunSpec, Any]:
    """Model, spec and schema of a recorded run."""
    files = tracking.Artifacts(home)
    folder = files.path(row.run_id, "model")
    if not folder.is_dir():
        how = f"resume it with `t4r-lab train --resume {row.run_id[:8]}`"
        if row.status == "FINISHED":
            lost = "" if tracking.server() else f"bring back a copy of {tracking.artifacts(home, row.run_id)}, or "
            how = f"{lost}train its spec anew"
        raise InputError(f"run {row.name} ({row.status.lower()}) has no model; {how}")
    model, spec, schema = assembly.load(folder)
    return model, tracking.on_its_data(home, spec, row.digest), schema


# ── pieces ──────────────────────────────────────────────────────────────────────────────────────


def _data_to_resume(home: Path, run: str, spec: RunSpec) -> Dataset:
    row = tracking.find(home, run)
    _refuse_finished(row)
    return data_of(row, spec)


def _open_record(home: Path, experiment: Experiment, resume: str | None, folder: Path) -> tracking.Record | None:
    """The record of the run, which is RUNNING from now on; only the first of several processes has one."""
    if not guard.is_main():
        return None
    spec, dataset = experiment.spec, experiment.dataset
    if resume is None:
        return tracking.start(home, spec, dataset, folder)
    _refuse_finished(tracking.find(home, resume))
    record = tracking.Record(home, resume)
    record.begin(folder)
    record.describe(spec, dataset)  # whoever opened it may have been killed before
    return record


def _refuse_finished(row: tracking.RunRow) -> None:
    if row.status == "FINISHED":
        raise InputError(f"run {row.name} ({row.run_id[:8]}) has finished; {_anew(row)}")


def _anew(row: tracking.RunRow) -> str:
    return f"train its spec anew with `t4r-lab train --again {row.run_id[:8]}`"


def _baselines(spec: RunSpec, dataset: Dataset, part: str) -> dict[str, Judged]:
    """Every baseline of what the spec predicts, fitted on what the model is fitted on, judged on `part`."""
    from t4r_lab.baselines.counts import BASELINES
    from t4r_lab.training.judgment import Judged, judge_baseline
    from t4r_lab.training.labels import constant

    fitted, sessions, n_items = dataset.part(spec.train.fit_on), dataset.part(part), dataset.schema.n_items
    found = {}
    if spec.model.next_item:
        counts = fitted.item_counts(n_items)
        for name, make in BASELINES.items():
            found[name] = judge_baseline(make(fitted, n_items), sessions, spec.evaluation, counts)
    if spec.model.labels:
        found["constant"] = Judged(labels=constant(spec, dataset.schema, fitted, sessions))
    return found


def _fit_temperature(model: Model, spec: RunSpec, dataset: Dataset, counts: Any) -> Metrics:
    """Fit the temperature of the scores on the validation part: its value, and the calibration there before it."""
    from t4r_lab.training.evaluation import fit_temperature
    from t4r_lab.training.judgment import judge

    before = judge(model, dataset.part("valid"), spec, counts).beside
    temperature = fit_temperature(model, dataset.part("valid"), spec)
    return {"temperature": temperature, **{f"{name}_before": before[name] for name in ("ece", "brier", "nll")}}
