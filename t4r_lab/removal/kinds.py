"""Kinds of things that can be deleted: how each is named, who needs it, and what goes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from t4r_lab import jobs, tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.runs import processes
from t4r_lab.runs.prepare_data import referring

STUDY_FILE = "study.db"
"""In the entry's folder: an Optuna storage with a copy of the study."""


def _nothing(folder: Path) -> None:
    pass


@dataclass(frozen=True)
class Removal:
    """What goes if a thing is deleted, and who still needs it."""

    kind: str
    name: str
    needed_by: list[str]
    remedy: str
    runs: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    study: str = ""
    keep_study: Callable[[Path], None] = _nothing
    remove_study: Callable[[], None] = lambda: None


@contextmanager
def plan_run(home: Path, name: str) -> Iterator[Removal]:
    """A run: needed by its training, a job that may go on, an alias of the registry, and the study that it tests."""
    row = tracking.choose(processes.runs(home), name, home)
    needed = ["its training, which runs"] if row.status == "RUNNING" else []
    for job in jobs.all_jobs(home):
        status = job.status()
        if status.run_id == row.run_id and status.state in (*jobs.ACTIVE, jobs.QUEUED):
            needed.append(f"job {job.id} ({status.state})")
    needed += [f"the alias {alias}" for alias in tracking.promoted(home).get(row.run_id, [])]
    if study := tracking.study_of(home, row.tags):
        needed.append(f"study {study}, whose result it tests")
    yield Removal("run", row.name, needed, "end or delete that first, or promote another run", runs=[row.run_id])


@contextmanager
def plan_job(home: Path, name: str) -> Iterator[Removal]:
    """A job: needed while it runs or waits for its turn. The run that it trained stays."""
    job = jobs.find(home, name)
    state = job.status().state
    busy = [f"its training ({state})"] if state in (*jobs.ACTIVE, jobs.QUEUED) else []
    try:
        with job.lock() if not busy else nullcontext():  # no worker starts meanwhile
            yield Removal("job", job.id, busy, f"run `t4r-lab jobs cancel {job.id}` first", folders=[f"jobs/{job.id}"])
    except BlockingIOError:
        raise InputError(f"job {job.id}", "needed by its training (starting)", "stop it first") from None


@contextmanager
def plan_data(home: Path, name: str) -> Iterator[Removal]:
    """Prepared data of the home: needed by runs, by studies, and by jobs that haven't ended."""
    from t4r_lab.data.prepared.folder import read_manifest

    folder = home / "data" / name
    names = sorted(path.parent.name for path in (home / "data").glob("*/manifest.json"))
    if name not in names:
        raise InputError(f"data {name!r}", f"no such folder in {home / 'data'}", did_you_mean(name, names))
    needed = referring(folder, read_manifest(folder).digest, home)
    for job in jobs.all_jobs(home):
        state = job.status().state
        if state not in ("finished", "canceled") and _is_of(job, folder):
            needed.append(f"job {job.id} ({state})")
    yield Removal("data", name, needed, "delete those first", folders=[f"data/{name}"])


def _is_of(job: jobs.Job, folder: Path) -> bool:
    try:
        path = Path(job.spec().data.path)
    except InputError:
        return False
    return path == folder or folder in homes.beside(folder.parent.parent, path)


@contextmanager
def plan_study(home: Path, name: str) -> Iterator[Removal]:
    """A study in the home's own storage: needed by its workers. Its trials go with it, also those in the record."""
    from t4r_lab.tuning.detached import find
    from t4r_lab.tuning.studies.copied_study import copy_study, remove_study
    from t4r_lab.tuning.studies.leader_lock import leading
    from t4r_lab.tuning.studies.open_study import load
    from t4r_lab.tuning.studies.storage import connect
    from t4r_lab.tuning.studies.storage_address import address

    store = connect(address(home, None))
    study, launched = load(name, store), find(name, home)
    status = study.status(launched.is_running())
    busy = [f"its workers ({status})"] if status in ("running", "paused", "stopping") else []
    folder = str(launched.folder.relative_to(home)) if launched.folder.is_dir() else ""

    with leading(store, name, home) if not busy else nullcontext():  # nobody continues it meanwhile
        yield Removal(
            "study",
            name,
            busy,
            f"run `t4r-lab studies stop {name}` first",
            tracking.runs_of_study(home, name),
            [folder] if folder else [],
            name,
            lambda kept_in: copy_study(store, name, kept_in / STUDY_FILE),
            lambda: remove_study(store, name),
        )


def restore_study(home: Path, name: str, folder: Path) -> None:
    """Copy a deleted study back into the home's storage.

    Raises
    ------
    InputError
        if another study has its name by now.
    """
    from t4r_lab.tuning.studies.copied_study import bring_back
    from t4r_lab.tuning.studies.storage import connect
    from t4r_lab.tuning.studies.storage_address import address

    bring_back(connect(address(home, None)), name, folder / STUDY_FILE)


KINDS: dict[str, Callable[[Path, str], AbstractContextManager[Removal]]] = {
    "run": plan_run,
    "job": plan_job,
    "study": plan_study,
    "data": plan_data,
}
"""What can be deleted → its plan, which holds its locks."""
