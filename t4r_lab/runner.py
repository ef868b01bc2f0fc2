"""The one door: a spec becomes data, baselines, a trained model, its evaluation and its record."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t4r_lab import build, homes, track
from t4r_lab.errors import InputError
from t4r_lab.report import Baseline, OnReport, Progress, Report, Started, Stopped, silent
from t4r_lab.spec import ModelSpec, RunSpec, TowerSpec

if TYPE_CHECKING:
    from t4r_lab.data.dataset import Dataset
    from t4r_lab.judge import Judged
    from t4r_lab.nn.heads import Model

Metrics = dict[str, float]
LOCK = "lock"


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
    home: where the record is kept; by default as `t4r_lab.homes.locate` finds it.
    test: also look at the test part, once, and count the look.
    on_report: called with every report; a progress bar by default.
    should_stop: asked after each batch. Ctrl-C does the same as True here: the batch is finished, the state
        kept, the run marked KILLED.
    folder: where the checkpoints go; by default under the home.
    resume: id of a stopped run that goes on, to the same result as if it had never stopped.

    Raises
    ------
    InputError
        for anything the user can mend; checks come before anything is written.
    """
    if on_report is None:
        from t4r_lab.progress import Console

        with Console() as console:
            return run(
                spec, home=home, test=test, on_report=console, should_stop=should_stop, folder=folder, resume=resume
            )
    if not _is_main():
        on_report = silent
    on_report(Progress("loading data"))
    place = homes.ensure(home)
    from t4r_lab.data.dataset import Dataset

    dataset = Dataset.open(spec.data.path)
    build.check(spec, dataset.schema)
    vectors = _vectors(spec, dataset)
    on_report(Progress("importing torch"))
    from t4r_lab.train import make_accelerator

    make_accelerator(spec.train)  # refuses a precision that the device lacks before anything is written
    _check_labels(spec, dataset)
    on_report(Progress("opening the record"))
    record = _open_record(place, spec, dataset, resume, Path(folder) if folder else None)
    run_id = _agree(record.run_id if record else "")
    checkpoints = Path(folder) if folder else place / "jobs" / f"run-{run_id[:12]}"
    try:
        with _only_trainer(checkpoints if record else None):
            if record:
                record.begin(checkpoints)
                on_report(Started(run_id))
            result = _train(
                spec, dataset, vectors, record, place, run_id, checkpoints, test, on_report, should_stop, bool(resume)
            )
    except _Busy:
        raise  # the run is another process's
    except BaseException as error:
        if record:
            killed = isinstance(error, KeyboardInterrupt)
            with suppress(Exception):  # the record may be what failed; the first error is what counts
                record.finish("KILLED" if killed else "FAILED", f"{type(error).__name__}: {error}")
            if not can_resume(checkpoints):
                clear(checkpoints)
        if homes.disk_is_full(error):
            remedy = f"resume run {run_id[:12]}" if can_resume(checkpoints) else "train again"
            raise InputError(f"{place}: the disk is full; free some space, then {remedy}") from None
        raise
    if result.status == "FINISHED" and record:
        clear(checkpoints)  # the weights are in the record now
    return result


def resume(
    run_id: str, *, home: str | Path | None = None, test: bool = False, on_report: OnReport | None = None
) -> RunResult:
    """Go on with a run that was stopped, or whose process died, from its last checkpoint."""
    place = homes.ensure(home)
    row = track.find(place, run_id)
    _refuse_finished(row)
    folder = Path(track.tags(place, row.run_id).get(track.FOLDER, ""))
    if not can_resume(folder):
        raise InputError(f"run {row.name} ({row.run_id[:8]}) left no checkpoint; train its spec again for a new run")
    spec = RunSpec.load(track.artifacts(place, row.run_id) / "spec.yaml")
    return run(spec, home=place, test=test, on_report=on_report, folder=folder, resume=row.run_id)


def can_resume(folder: Path) -> bool:
    """Whether training left a checkpoint in `folder`."""
    from t4r_lab.checkpoint import FILE

    return (folder / FILE).is_file()


def _train(
    spec: RunSpec, dataset: Dataset, vectors: dict[str, Any], record: track.Record | None, home: Path, run_id: str,
    checkpoints: Path, test: bool, on_report: OnReport, should_stop: Callable[[], bool], resume: bool,
) -> RunResult:  # fmt: skip
    from t4r_lab.judge import judge
    from t4r_lab.train import figures, fit

    on_report(Progress("scoring baselines"))
    parts = (["valid"] if spec.train.fit_on == "train" else []) + (["test"] if test else [])
    baselines: dict[str, dict[str, Judged]] = {"valid": _baselines(spec, dataset, "valid")} if "valid" in parts else {}
    for name, found in baselines.get("valid", {}).items():
        on_report(Baseline(name, figures(found.ranks, found.labels)))
        if record:
            record.scores("valid", found.metrics(), name)
    on_report(Progress("building the model"))
    counts = dataset.part(spec.train.fit_on).item_counts(dataset.schema.n_items)
    model = build.build(spec, dataset.schema, dataset.item_table(), vectors, counts)
    stopped = Stopped("finished", 0, 0.0)
    with _interruptible(should_stop) as stop:
        for report in fit(model, dataset, spec, checkpoints, _together(stop), resume):
            on_report(report)
            if record:
                _record_report(record, report)
            if isinstance(report, Stopped):
                stopped = report
    interrupted = stopped.reason == "interrupted"
    scored: dict[str, Judged] = {}
    fitted: Metrics = {}
    if "valid" in parts and not interrupted and spec.model.fits_temperature:
        fitted = _fit_temperature(model, spec, dataset, counts)
    for part in parts if not interrupted else []:
        if part == "test":
            baselines["test"] = _baselines(spec, dataset, "test")
        scored[part] = judge(model, dataset.part(part), spec, counts, on_report)
    if fitted:
        scored["valid"] = replace(scored["valid"], beside={**scored["valid"].beside, **fitted})
    if record and not interrupted:
        on_report(Progress("recording"))
        _write_results(record, scored, baselines, stopped.best_epoch, spec, dataset, model)
    status = "KILLED" if interrupted else "FINISHED"
    if record:
        record.finish(status, stopped.reason)
    metrics = {part: judged.metrics() for part, judged in scored.items()}
    return RunResult(
        run_id, spec.name, status, metrics.get("valid", {}), metrics.get("test"),
        {part: {name: judged.metrics() for name, judged in found.items()} for part, found in baselines.items()},
        stopped.best_epoch, stopped.seconds, home,
    )  # fmt: skip


def evaluate_run(
    run: str, split: str = "valid", *, home: str | Path | None = None, on_report: OnReport | None = None
) -> RunResult:
    """Score a recorded run on a part of its data; a look at the test part is counted on the run."""
    if on_report is None:
        from t4r_lab.progress import Console

        with Console() as console:
            return evaluate_run(run, split, home=home, on_report=console)
    from t4r_lab.judge import judge

    place = homes.ensure(home)
    row = track.find(place, run)
    on_report(Progress("loading the model"))
    model, spec, _ = load_model(place, row)
    if split == "valid" and spec.train.fit_on != "train":
        raise InputError(f"run {row.name}: it was fitted on the validation part too; evaluate it with --split test")
    dataset = data_of(row, spec)
    counts = dataset.part(spec.train.fit_on).item_counts(dataset.schema.n_items)
    judged, baselines = judge(model, dataset.part(split), spec, counts, on_report), _baselines(spec, dataset, split)
    record = track.Record(place, row.run_id)
    if split == "test":
        record.look()
    record.scores(split, judged.metrics())
    for name, found in baselines.items():
        record.scores(split, found.metrics(), name)
    _write_cases(record, {split: judged}, {split: baselines})
    scores = {split: {name: found.metrics() for name, found in baselines.items()}}
    valid, test = (judged.metrics(), None) if split == "valid" else (row.valid, judged.metrics())
    return RunResult(row.run_id, row.name, row.status, valid, test, scores, 0, row.seconds, place)


def data_of(row: track.RunRow, spec: RunSpec) -> Dataset:
    """The data that a run was trained on, refused if they are not what they were."""
    from t4r_lab.data.dataset import Dataset

    dataset = Dataset.open(spec.data.path)
    if dataset.digest != row.digest:
        raise InputError(
            f"{spec.data.path}: not the data that run {row.name} was trained on; prepare it as it was then"
        )
    return dataset


def load_model(home: Path, row: track.RunRow) -> tuple[Model, RunSpec, Any]:
    """Model, spec and schema of a recorded run."""
    folder = track.artifacts(home, row.run_id) / "model"
    if not folder.is_dir():
        raise InputError(
            f"run {row.name} ({row.status.lower()}) has no model; "
            f"resume it with `t4r-lab train --resume {row.run_id[:8]}`"
        )
    return build.load(folder)


# ── pieces ──────────────────────────────────────────────────────────────────────────────────────


def _vectors(spec: RunSpec, dataset: Dataset) -> dict[str, Any]:
    """The vectors that the features of every tower name, read and checked."""
    from t4r_lab.data.vectors import read_vectors

    found: dict[str, Any] = {}
    files: dict[str, Any] = {}
    parts: list[ModelSpec | TowerSpec] = [spec.model, *spec.model.towers]
    for part in parts:
        named = {name: f.vectors for name, f in (part.inputs.features or {}).items() if f.vectors is not None}
        for name, vectors in named.items():
            if files.setdefault(name, vectors) != vectors:
                raise InputError(f"vectors of {name!r} differ between towers; give the second feature another name")
        found |= read_vectors(part.inputs, dataset.vocabulary, part.body.d_model)
    return found


def _open_record(
    home: Path, spec: RunSpec, dataset: Dataset, resume: str | None, folder: Path | None
) -> track.Record | None:
    """The record of the run; only the first of several processes has one."""
    if not _is_main():
        return None
    if resume is None:
        return track.start(home, spec, dataset, folder)
    _refuse_finished(track.find(home, resume))
    record = track.Record(home, resume)
    record.describe(spec, dataset)  # whoever opened it may have been killed before
    return record


def _refuse_finished(row: track.RunRow) -> None:
    if row.status == "FINISHED":
        raise InputError(f"run {row.name} ({row.run_id[:8]}) has finished; train its spec again for a new run")


def _is_main() -> bool:
    """Whether this is the only process, or the first of several: the one that reports and records."""
    return os.environ.get("RANK", "0") == "0"


def _together(should_stop: Callable[[], bool]) -> Callable[[], bool]:
    """`should_stop` with one answer for all processes: one that left alone would leave the others waiting."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return should_stop
    import torch
    from accelerate import PartialState
    from accelerate.utils import reduce

    device = PartialState().device
    return lambda: float(reduce(torch.tensor(float(should_stop()), device=device), "sum")) > 0


def _agree(run_id: str) -> str:
    """The first process's `run_id` in every process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return run_id
    from accelerate.utils import broadcast_object_list

    box = [run_id]
    broadcast_object_list(box)
    return box[0]


def _check_labels(spec: RunSpec, dataset: Dataset) -> None:
    """Refuse labels that can't be trained on or judged."""
    from t4r_lab.labels import check_labels

    if spec.model.labels:
        for part in (spec.train.fit_on, *(["valid"] if spec.train.fit_on == "train" else [])):
            check_labels(spec, dataset.part(part), part)


def _baselines(spec: RunSpec, dataset: Dataset, part: str) -> dict[str, Judged]:
    """Every baseline of what the spec predicts, fitted on what the model is fitted on, judged on `part`."""
    from t4r_lab.baselines import BASELINES
    from t4r_lab.judge import Judged, judge_baseline
    from t4r_lab.labels import constant

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
    from t4r_lab.judge import judge
    from t4r_lab.train import fit_temperature

    before = judge(model, dataset.part("valid"), spec, counts).beside
    temperature = fit_temperature(model, dataset.part("valid"), spec)
    return {"temperature": temperature, **{f"{name}_before": before[name] for name in ("ece", "brier", "nll")}}


def _record_report(record: track.Record, report: Report) -> None:
    from t4r_lab.report import Epoch

    if isinstance(report, Epoch):
        record.epoch(report)


def _write_results(
    record: track.Record, scored: dict[str, Judged], baselines: dict[str, dict[str, Judged]], best_epoch: int,
    spec: RunSpec, dataset: Dataset, model: Model,
) -> None:  # fmt: skip
    """Final metrics, ranks and labels of each case, model, spec, schema, vocabulary and environment."""
    for part, judged in scored.items():
        record.scores(part, judged.metrics(), step=best_epoch)
        for name, found in baselines[part].items():
            record.scores(part, found.metrics(), name, best_epoch)
        if part == "test":
            record.look()
    record.metrics({"train/best_epoch": best_epoch})
    with tempfile.TemporaryDirectory(dir=record.home) as scratch:
        folder = Path(scratch)
        build.save(model, folder / "model", spec, dataset.schema)
        (folder / "environment.txt").write_text(track.environment(), encoding="utf-8")
        dataset.schema.save(folder / "schema.json")
        dataset.vocabulary.copy_to(folder / "data")
        record.artifacts(folder)
    _write_cases(record, scored, baselines)


def _write_cases(record: track.Record, scored: dict[str, Judged], baselines: dict[str, dict[str, Judged]]) -> None:
    """Every case, of the model and of each baseline: what comparisons are made from.

    Ranks of next items stand in ``ranks/PART/NAME.parquet``, labels in ``labels/PART/LABEL/NAME.parquet``, slices and
    the reliability curve in ``detail/PART/NAME.json``.
    """
    with tempfile.TemporaryDirectory(dir=record.home) as scratch:
        for part, judged in scored.items():
            for name, found in {"model": judged, **baselines[part]}.items():
                frames = {f"labels/{part}/{label}": cases.frame() for label, cases in found.labels.items()}
                if found.ranks is not None:
                    frames[f"ranks/{part}"] = found.ranks.frame()
                    detail = Path(scratch) / "detail" / part / f"{name}.json"
                    detail.parent.mkdir(parents=True, exist_ok=True)
                    content = {"slices": found.slices, "reliability": found.reliability}
                    detail.write_text(json.dumps(content, indent=1), encoding="utf-8")
                for folder, frame in frames.items():
                    (Path(scratch) / folder).mkdir(parents=True, exist_ok=True)
                    frame.write_parquet(Path(scratch) / folder / f"{name}.parquet")
        record.artifacts(Path(scratch))


def discard(home: Path, folder: Path) -> None:
    """Give up the unfinished run with its checkpoints in `folder`: they go, the run is marked KILLED."""
    row = track.of_folder(home, folder)
    if row is not None and row.status != "FINISHED":
        track.Record(home, row.run_id).finish("KILLED", "canceled")
    clear(folder)


class _Busy(InputError):
    """Another process is training the same run."""


def clear(folder: Path) -> None:
    """Remove what training wrote into `folder`, and the folder if that was all: it may be the user's."""
    from t4r_lab.checkpoint import FILE, best_path, remove_torn

    remove_torn(folder)
    for path in (folder / FILE, best_path(folder), folder / LOCK):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def _only_trainer(folder: Path | None) -> Iterator[None]:
    """No second process trains in `folder` meanwhile."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _Busy(f"{folder}: another process is training this run; wait for it or stop it") from None
        yield


@contextmanager
def _interruptible(should_stop: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Within it, the first Ctrl-C asks training to stop after the batch; a second one raises as usual."""
    asked = threading.Event()

    def ask(signum: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread alone
        yield should_stop
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked.is_set() or should_stop()
    finally:
        signal.signal(signal.SIGINT, before)
