"""What the panels show, read from the house: the only place where the front end calls the floors below."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from t4r_lab import jobs, track
from t4r_lab.data.dataset import Dataset
from t4r_lab.errors import InputError
from t4r_lab.spec.prepare import PrepareOptions
from t4r_lab.widgets.train import outcome
from t4r_lab.widgets.views import DataSummary, JobState, Preview, RunSummary


def datasets(home: Path) -> list[Path]:
    """Prepared folders of the home, by name."""
    return sorted(p.parent for p in (home / "data").glob("*/manifest.json") if not p.parent.name.startswith("."))


def summarize(path: Path) -> DataSummary:
    """Open prepared data and put it into figures."""
    data = Dataset.open(path)
    profile = data.profile
    lengths = {int(n): count for n, count in profile["lengths"]["histogram"].items()}
    left_out = [f"left out · {_remark(key, value)}" for key, value in profile["left_out"].items() if value]
    checks = [_remark(key, value) for key, value in profile["checks"].items() if value]
    return DataSummary(data.path, data.schema, profile["parts"], lengths, (*left_out, *checks))


def _remark(key: str, value: Any) -> str:
    """One line of a profile, a share as percent.

    >>> _remark("rare_item_events", 1200), _remark("valid_last_items_without_training", 0.04)
    ('rare item events: 1,200', 'valid last items without training: 4.0 %')
    """
    shown = (
        f"{value:.1%}".replace("%", " %")
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else value
    )
    return f"{key.replace('_', ' ')}: {shown}"


def preview(path: str) -> Preview:
    """The columns of a raw file, the roles their names suggest, and its first rows."""
    from t4r_lab.data.columns import USUAL, find
    from t4r_lab.data.readers import read_file

    table = read_file(Path(path).expanduser())
    roles = {role: column for role in USUAL if (column := find(table, None, role)) is not None}
    rows = tuple(tuple("" if v is None else str(v)[:40] for v in row) for row in table.frame.head(5).iter_rows())
    return Preview(tuple(table.frame.columns), rows, roles, len(table.frame))


def first(home: Path) -> Path:
    """The data of the newest job, so that one goes on where one was; else the built-in data, prepared if need be."""
    for job in jobs.all_jobs(home)[:1]:
        with suppress(InputError):
            if (last := Path(job.spec().data.path)) in datasets(home):
                return last
    from t4r_lab.data.synthetic import demo_dataset

    return demo_dataset(home / "data" / "demo").path


def prepare(home: Path, source: str, name: str, options: dict[str, Any]) -> Path:
    """Prepare a file into the home's data folder."""
    from t4r_lab.data.prepare import prepare as run

    return run(str(Path(source).expanduser()), home / "data" / name, PrepareOptions.parse(options)).path


def job_states(home: Path) -> list[JobState]:
    """Every job of the home, newest first."""
    return [_job_state(job) for job in jobs.all_jobs(home)]


def _job_state(job: jobs.Job) -> JobState:
    try:
        status, spec = job.status(), job.spec()
    except (InputError, OSError, ValueError, TypeError) as error:  # one damaged folder must not hide the others
        return JobState(job.id, job.id, "lost", error=f"jobs/{job.id} can't be read ({error}); remove the folder")
    stage = status.stage
    if status.state not in jobs.ACTIVE:
        stage = outcome(status.metrics, status.monitor)
    return JobState(
        id=job.id, name=status.name, state=status.state, what=f"{spec.model.body.kind} · {spec.model.masking.kind}",
        stage=stage, done=status.done, total=status.total, unit=status.unit, eta=status.eta, error=status.error,
        monitor=status.monitor, epochs=status.epochs, launched=status.launched, run_id=status.run_id,
    )  # fmt: skip


def events(home: Path, id: str, since: int) -> list[dict[str, Any]]:
    """What a job has reported from number `since` on; nothing where its folder is gone or damaged."""
    try:
        return jobs.Job(home / "jobs" / id).events(since)
    except (OSError, ValueError):
        return []


def runs(home: Path) -> list[RunSummary]:
    """Every recorded run, newest first, by its validation metrics."""
    return [
        RunSummary(
            r.run_id, r.name, r.status, r.started, r.seconds, r.body, r.masking, r.valid, r.baselines["valid"], Path(r.data).name
        )
        for r in track.runs(home)
    ]  # fmt: skip
