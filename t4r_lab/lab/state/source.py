"""Data of the panels: the only module where the front end reads records, jobs and prepared data."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t4r_lab import jobs, tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import OnReport
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.lab.parts.text import error_text, number
from t4r_lab.lab.state.views import DataSummary, JobState, News, NextItems, Preview, Raw, RunSummary
from t4r_lab.runs import processes
from t4r_lab.runs.recommend import Item, LeftOut, Recommender
from t4r_lab.runs.recorded.run_filter import facts
from t4r_lab.spec import RunSpec
from t4r_lab.spec.preparation import PrepareOptions

if TYPE_CHECKING:
    from t4r_lab.data.read.frames import Frame
    from t4r_lab.data.read.raw_table import RawTable
    from t4r_lab.runs.analyze import Analysis, Case, Cases
    from t4r_lab.tracking.pages import Server


def datasets(home: Path) -> list[Path]:
    """Prepared folders of the home, by name."""
    return sorted(p.parent for p in (home / "data").glob("*/manifest.json") if not p.parent.name.startswith("."))


def summarize(path: Path) -> DataSummary:
    """Open prepared data and summarize it."""
    from t4r_lab.data.pipeline.describe import left_out
    from t4r_lab.data.pipeline.split_checks import findings
    from t4r_lab.training.label_evaluation import heads_by_label

    data = Dataset.open(path)
    remarks, checks = tuple(left_out(data.profile)), findings(data.profile)
    return DataSummary(data.path, data.schema, data.profile, remarks, checks, data.digest, heads_by_label(data))


def is_as_opened(data: DataSummary) -> bool:
    """True if the folder is unchanged since it was opened."""
    from t4r_lab.data.prepared.folder import read_manifest

    with suppress(InputError):
        return read_manifest(data.path).digest == data.digest
    return False


def namespace() -> Mapping[str, object]:
    """The names of the notebook; none outside of one."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return {} if shell is None else shell.user_ns


def frames(names: Mapping[str, Any]) -> dict[str, str]:
    """Data frames among `names` that could hold events → their library and size.

    >>> import polars as pl
    >>> frames({"clicks": pl.DataFrame({"a": [1, 2], "b": [3, 4]}), "_": 3})
    {'clicks': 'polars, 2 × 2'}
    """
    sizes = {}
    for name, value in list(names.items()):
        kind = type(value).__module__.partition(".")[0]
        if kind in ("pandas", "polars") and type(value).__name__ == "DataFrame" and not name.startswith("_"):
            rows, columns = value.shape
            if rows and columns > 1:
                sizes[name] = f"{kind}, {rows:,} × {columns}"
    return sizes


def read(raw: Raw, options: Mapping[str, object]) -> RawTable:
    """The raw events of a file, parsed by `options`, or of a data frame of the notebook."""
    from t4r_lab.data.formats.format_readers import read_events

    if not raw.frame:
        return read_events(Path(raw.path).expanduser(), PrepareOptions.parse(options))
    names = namespace()
    if raw.frame not in names:
        raise InputError(raw.frame, "the notebook has no such data frame any more", "run its cell again")
    table = read_events(names[raw.frame])
    table.where = raw.frame
    return table


def preview(table: RawTable, options: Mapping[str, object]) -> Preview:
    """The columns and the split as they would be prepared by `options`, and the first rows."""
    from t4r_lab.data.pipeline.inspection import inspect
    from t4r_lab.data.pipeline.split_preview import preview_split

    parsed = PrepareOptions.parse(options)
    columns, refusal = inspect(table, parsed)
    split = split_refusal = None
    try:
        split = None if refusal else preview_split(table, parsed)
    except InputError as error:
        split_refusal = error
    frame = table.frame.select([c.name for c in columns if c.name in table.frame.columns]).head(5)
    rows = tuple(tuple("" if v is None else str(v)[:40] for v in row) for row in frame.iter_rows())
    return Preview(columns, rows, len(table.frame), refusal, table.notes, split, split_refusal)


def first(home: Path, last: Path, on_report: OnReport) -> Path:
    """The `last` data if they are there, else those of the newest job, else the built-in ones, prepared if need be."""
    if last in datasets(home):
        return last
    for job in jobs.all_jobs(home)[:1]:
        with suppress(InputError):
            if (path := Path(job.spec().data.path)) in datasets(home):
                return path
    from t4r_lab.data.pipeline.synthetic import demo_dataset

    return demo_dataset(home / "data" / "demo", on_report).path


def prepare(
    home: Path, events: str | Frame, name: str, options: Mapping[str, object], on_report: OnReport, force: bool = False
) -> Path:
    """Prepare a file or frame into the home's data folder; with `force` also over data that runs refer to."""
    from t4r_lab.runs.prepare_data import prepare as run

    if isinstance(events, str):
        events = str(Path(events).expanduser())
    out = home / "data" / name
    return run(events, out, PrepareOptions.parse(options), on_report=on_report, force=force, home=home).path


def job_states(home: Path) -> list[JobState]:
    """Every job of the home, newest first; those whose turn has come are started."""
    states = [_job_state(job) for job in jobs.all_jobs(home)]
    if not any(state.queued for state in states):
        return states
    refusal = ""
    try:
        jobs.start_next(home)
    except InputError as error:
        refusal = error_text(error)
    waiting = [job.id for job in jobs.queued(home)]
    positions = {id: (position, len(waiting) - position) for position, id in enumerate(waiting, 1)}
    return [_in_queue(state, *positions[state.id], refusal) if state.id in positions else state for state in states]


def jobs_at_once(home: Path) -> int | None:
    """The most jobs of the home that run at once; None for no limit, and where it can't be read, see `job_states`."""
    try:
        return jobs.limit(home)
    except InputError:
        return None


def _in_queue(state: JobState, position: int, behind: int, refusal: str) -> JobState:
    return replace(state, position=position, behind=behind, error=refusal if position == 1 else "")


def _job_state(job: jobs.Job) -> JobState:
    try:
        status = job.status()
    except (OSError, ValueError, TypeError) as failure:  # one damaged folder must not hide the others
        return JobState(job.id, job.id, "lost", error=f"jobs/{job.id} can't be read ({failure}); remove the folder")
    active = status.state in jobs.ACTIVE
    stage, error = status.stage if active else outcome(status.metrics, status.monitor), status.error
    if status.refusal:
        error = error_text(InputError(*status.refusal))
    try:
        what, judged_by = _model_of(job.folder)
    except InputError as refusal:  # damaged, or of a later version, whose worker may well be running
        what, judged_by, error = "", (), error if active else error_text(refusal)
    return JobState(
        id=job.id,
        name=status.name,
        state=status.state,
        what=what,
        stage=stage,
        done=status.done,
        total=status.total,
        unit=status.unit,
        eta=status.eta,
        error=error,
        metrics=tuple(dict.fromkeys([status.monitor, *judged_by])),
        epochs=status.epochs,
        launched=status.launched,
        run_id=status.run_id,
        silent=time.time() - status.heartbeat if active and status.heartbeat else 0.0,
    )


@lru_cache(maxsize=1024)
def _model_of(folder: Path) -> tuple[str, tuple[str, ...]]:
    """Body and masking of a job, and the metric that decides for each head; cached, since its spec never changes."""
    spec = jobs.Job(folder).spec()
    judged_by = tuple(head.deciding(spec.evaluation.cutoffs) for head in spec.model.heads)
    return f"{spec.model.body.kind} · {spec.model.masking.kind}", judged_by


def news(home: Path, id: str, read: int, log: bool) -> News:
    """The reports of a job from byte `read` on, and its log if `log`; empty if its folder was removed."""
    job = jobs.Job(home / "jobs" / id)
    try:
        events, read = job.follow(read)
        return News(events, read, job.log() if log else "")
    except OSError:
        return News(read=read)


def runs(home: Path) -> list[RunSummary]:
    """Every recorded run, newest first, with its validation metrics, and test metrics of promoted runs only."""
    promoted = tracking.promoted(home)
    return [_summary(row, promoted.get(row.run_id)) for row in processes.runs(home)]


def _summary(row: tracking.RunRow, aliases: list[str] | None) -> RunSummary:
    shown = aliases is not None
    return RunSummary(
        row.run_id,
        row.name,
        row.status,
        row.started,
        row.seconds,
        row.body,
        row.masking,
        row.valid,
        row.baselines["valid"],
        Path(row.data).name,
        shown,
        tuple(aliases or ()),
        row.test if shown else {},
        row.baselines["test"] if shown else {},
        row.looks,
        tuple(words for part, lines in row.warnings.items() if shown or part != "test" for words in lines),
        row.knobs,
        facts(row),
    )


# ── runs used again ─────────────────────────────────────────────────────────────────────────────


def analyze(home: Path, runs: Sequence[str], metric: str | None) -> Analysis:
    """Metrics, intervals and figures of recorded runs; see `t4r_lab.runs.analyze.analyze`."""
    from t4r_lab.runs.analyze import analyze as run

    return run(runs, metric, home=home)


def spec(home: Path, run: str) -> RunSpec:
    """The spec of a recorded run, by its id, its beginning or its name."""
    return tracking.spec(home, tracking.find(home, run))


def repeat(home: Path, run: str) -> str:
    """Launch a job with the spec of a recorded run; return the job's id."""
    from t4r_lab.runs.promote import spec_to_repeat

    return jobs.launch(spec_to_repeat(run, home=home), home).id


def more_seeds(home: Path, run: str, count: int) -> str:
    """Launch jobs that train a recorded run with other seeds; return the first one's id."""
    return jobs.repeat(run, count, home)[0].id


def promote(home: Path, run: str, alias: str) -> None:
    """Register a run's model under an alias; see `t4r_lab.runs.promote.promote`."""
    from t4r_lab.base.reports import silent
    from t4r_lab.runs.promote import promote as register

    register(run, alias, home=home, on_report=silent)


def record_page(server: Server, home: Path, run: str) -> str:
    """The address of a run in the MLflow UI, which is started if need be."""
    from t4r_lab.tracking.pages import page

    return page(home, server.address(), run)


# ── recommendations ─────────────────────────────────────────────────────────────────────────────


def _recommender(home: Path, run: str) -> Recommender:
    if (home, run) not in _loaded:
        recommender = Recommender.open(run, home=home)
        while len(_loaded) >= MODELS:
            _loaded.pop(next(iter(_loaded)), None)
        _loaded[home, run] = recommender
    return _loaded[home, run]


MODELS = 4
"""The most models in memory."""
_loaded: dict[tuple[Path, str], Recommender] = {}


def is_loaded(home: Path, runs: Sequence[str]) -> bool:
    """True if the models of all `runs` are in memory."""
    return all((home, run) in _loaded for run in runs)


def search(home: Path, run: str, text: str) -> list[Item]:
    """Items of a run's data whose title or id matches `text`."""
    return _recommender(home, run).search(text)


def answer(home: Path, run: str, items: Sequence[Item], case: Case | None, k: int) -> NextItems:
    """The next items by `run`, for a recorded case (with all features of its events) or a list of items."""
    recommender = _recommender(home, run)
    if case is not None and case.digest == recommender.row.digest:
        session = recommender.beginning(case.row, case.position)
    else:
        session = recommender.session_of([item.id for item in items])
    top = recommender.top(session, k)
    rows = zip(top["item"], top["title"], top["probability"], strict=True)
    return NextItems(
        tuple((Item(str(id), title), float(p)) for id, title, p in rows), LeftOut(**top.attrs["left_out"]).words
    )


def cases(home: Path, run: str) -> Cases:
    """Validation cases that the run and the better baseline rank most differently; see `won_and_lost`."""
    from t4r_lab.runs.analyze import won_and_lost

    return won_and_lost(_recommender(home, run))


def draw_case(home: Path, run: str) -> Case:
    """A random validation case, ranked by the run and the better baseline."""
    from t4r_lab.runs.analyze import draw_case as draw

    return draw(_recommender(home, run))


def outcome(metrics: Mapping[str, float], monitor: str) -> str:
    """The monitored metric a job ended with, as text; empty if it has none."""
    return f"{monitor} {number(metrics[monitor])}" if monitor in metrics else ""
