"""Jobs: runs in processes of their own, which outlive the kernel and the browser that launched them.

A job is a folder ``jobs/<id>/``: ``spec.json`` never changes; ``events.jsonl`` grows by one line a report;
``status.json`` is replaced atomically; ``control.json`` says what is asked of the worker; ``log.txt`` has what
it printed; ``lock`` is held by the worker while it lives, so that there is never a second one, and so that a dead
worker is told from a living one whatever became of its process id.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from t4r_lab import homes
from t4r_lab.errors import InputError, did_you_mean
from t4r_lab.report import Epoch, Progress, Report, Started, to_event
from t4r_lab.spec import RunSpec

ACTIVE = ("starting", "running", "stopping")
STARTING_SECONDS = 60
"""A worker that has not taken its lock after so long will not come."""
LOCK_SECONDS = 2.0
"""How long a worker tries for its lock: a watcher holds it for the moment in which it looks."""
PROGRESS_EVERY = 0.2
"""Seconds between two progress reports of one stage that are kept."""


@dataclass(frozen=True)
class Status:
    """A job at one moment.

    `state` is ``starting``, ``running`` or ``stopping``; then ``finished``, ``stopped``, ``failed`` or, where
    the worker died, ``lost``. `eta` is in seconds; `launched`, `started` (of the worker `pid`) and `heartbeat`
    (the latest report) are in seconds since 1970.
    """

    id: str
    name: str
    state: str = "starting"
    pid: int = 0
    launched: float = 0.0
    started: float = 0.0
    heartbeat: float = 0.0
    stage: str = "starting"
    done: int = 0
    total: int = 0
    unit: str = "steps"
    eta: float | None = None
    epochs: int = 1
    monitor: str = ""
    run_id: str = ""
    error: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    """validation metrics: of the latest epoch, at the end of the best"""


class Job:
    """One job by its folder; holds no state of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def id(self) -> str:
        return self.folder.name

    def spec(self) -> RunSpec:
        return RunSpec.load(self.folder / "spec.json")

    def status(self) -> Status:
        """The present state; a worker that died without saying so shows as ``lost``."""
        status = self._written()
        if status.state not in ACTIVE or self._worker_lives():
            return replace(status, state="stopping") if self._stop_asked() and status.state == "running" else status
        if status.state == "starting" and time.time() - status.launched < STARTING_SECONDS:
            return status
        return replace(
            status, state="lost", error=f"the worker is gone; resume it with `t4r-lab jobs resume {self.id}`"
        )

    def _written(self) -> Status:
        """What ``status.json`` says; a damaged one is that of a lost job, what a newer version added is left out."""
        try:
            content = json.loads((self.folder / "status.json").read_text(encoding="utf-8"))
            return Status(**{f.name: content[f.name] for f in fields(Status) if f.name in content})
        except (OSError, ValueError, TypeError, KeyError) as error:
            return Status(self.id, self.id, "lost", error=f"status.json can't be read ({type(error).__name__})")

    def events(self, since: int = 0) -> list[dict[str, Any]]:
        """Reports from number `since` on; a line that is still being written is left for the next call."""
        try:
            lines = (self.folder / "events.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines[since:]]

    def log(self, lines: int = 20) -> str:
        """The end of what the worker printed."""
        try:
            return "\n".join(
                (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
            )
        except FileNotFoundError:
            return ""

    def stop(self) -> None:
        """Ask the worker to finish the batch, keep its state and end."""
        write_atomically(self.folder / "control.json", {"action": "stop"})

    def resume(self) -> None:
        """Start a worker that goes on from the last checkpoint.

        Raises
        ------
        InputError
            while one still works, or when the job has finished.
        """
        status = self.status()
        if status.state in ACTIVE:
            raise InputError(f"job {self.id}: it is {status.state}; stop it first")
        if status.state == "finished":
            raise InputError(f"job {self.id}: it has finished; train its spec again for a new run")
        (self.folder / "control.json").unlink(missing_ok=True)
        self.write(replace(status, state="starting", launched=time.time(), error="", stage="starting", eta=None))
        self.start()

    def start(self) -> None:
        """A worker in a session of its own, so that no interrupt or shutdown of this process reaches it."""
        cwd = json.loads((self.folder / "job.json").read_text(encoding="utf-8"))["cwd"]
        with (self.folder / "log.txt").open("ab") as log:
            subprocess.Popen(
                [sys.executable, "-m", "t4r_lab.jobs", str(self.folder)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=cwd,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([_package_root(), os.environ.get("PYTHONPATH", "")])},
            )  # fmt: skip

    def write(self, status: Status) -> None:
        write_atomically(self.folder / "status.json", asdict(status))

    def _stop_asked(self) -> bool:
        return (self.folder / "control.json").exists()

    def _worker_lives(self) -> bool:
        """Whether somebody holds the lock."""
        try:
            with (self.folder / "lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            pass
        return False

    @contextmanager
    def lock(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """Be the one worker.

        Raises
        ------
        BlockingIOError
            if another one still is after `seconds`.
        """
        with (self.folder / "lock").open("w") as file:
            deadline = time.monotonic() + seconds
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
            yield


def launch(spec: RunSpec, home: Path) -> Job:
    """Start `spec` as a job of `home`; returns at once.

    Raises
    ------
    InputError
        if the home can't be written; nothing is left behind.
    """
    started = time.time()
    folder = homes.ensure(home) / "jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    job = Job(folder)
    try:
        folder.mkdir(parents=True)
        (folder / "spec.json").write_text(spec.to_json(), encoding="utf-8")
        write_atomically(folder / "job.json", {"cwd": os.getcwd()})
        job.write(Status(job.id, spec.name, launched=started, epochs=spec.train.epochs, monitor=spec.monitor))
        job.start()
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(f"{folder}: the job can't be written ({error.strerror}); free some space or mend it") from None
    return job


def all_jobs(home: Path) -> list[Job]:
    """The jobs of `home`, newest first."""
    folders = sorted((home / "jobs").glob("*/status.json"), reverse=True)
    return [Job(path.parent) for path in folders]


def find(home: Path, id: str) -> Job:
    """The job with that id or that beginning of one.

    Raises
    ------
    InputError
        if there is none, or several begin like that.
    """
    known = [job.id for job in all_jobs(home)]
    found = [name for name in known if name == id] or [name for name in known if name.startswith(id)]
    if len(found) == 1:
        return Job(home / "jobs" / found[0])
    if found:
        raise InputError(f"job {id!r}: {len(found)} ids begin like that; give more of it")
    remedy = did_you_mean(id, known) if known else f"there are none in {home}"
    raise InputError(f"job {id!r}: no such job; {remedy}")


def write_atomically(path: Path, content: Any) -> None:
    """Replace `path` by JSON in one step, so that a reader sees the old or the new state."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(content), encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _package_root() -> str:
    return str(Path(__file__).parent.parent)


# ── the worker ──────────────────────────────────────────────────────────────────────────────────


class Reporter:
    """Writes reports as events and keeps the status up to date; of progress within a stage at most 5 a second."""

    def __init__(self, job: Job) -> None:
        now = time.time()
        self.job = job
        self.status = replace(job.status(), state="running", pid=os.getpid(), started=now, heartbeat=now)
        self._first: tuple[float, int] | None = None
        self._wrote = 0.0
        _cut_torn_line(job.folder / "events.jsonl")
        job.write(self.status)

    def __call__(self, report: Report) -> None:
        now = time.time()
        if isinstance(report, Progress):
            more = report.stage == self.status.stage and report.done != report.total
            if more and now - self._wrote < PROGRESS_EVERY:
                return
            self._wrote = now
        with (self.job.folder / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": now, **to_event(report)}) + "\n")
        self.status = self._next(report, now)
        self.job.write(self.status)

    def _next(self, report: Report, now: float) -> Status:
        status = replace(self.status, heartbeat=now)
        if isinstance(report, Started):
            return replace(status, run_id=report.run_id)
        if isinstance(report, Epoch):
            return replace(status, metrics=report.valid)
        if not isinstance(report, Progress):
            return status
        if report.stage != status.stage or self._first is None:
            self._first = (now, report.done)
        seconds, steps = now - self._first[0], report.done - self._first[1]
        eta = seconds / steps * (report.total - report.done) if steps > 0 and report.total else None
        return replace(status, stage=report.stage, done=report.done, total=report.total, unit=report.unit, eta=eta)


def _cut_torn_line(path: Path) -> None:
    """Take off the line in whose midst an earlier worker died: unread so far, it would spoil the next one."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def work(folder: Path) -> int:
    """Run or resume the job in `folder`; the exit status."""
    job = Job(folder)
    try:
        with job.lock():
            return _work(job)
    except BlockingIOError:
        print(f"job {job.id} already has a worker", file=sys.stderr)
        return 1


def _work(job: Job) -> int:
    from t4r_lab.runner import run

    reporter, control = Reporter(job), job.folder / "control.json"
    resume = reporter.status.run_id or None
    try:
        result = run(
            job.spec(), home=job.folder.parent.parent, on_report=reporter, should_stop=control.exists,
            folder=job.folder / "checkpoints", resume=resume,
        )  # fmt: skip
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        job.write(replace(reporter.status, state="failed", error=str(error), eta=None))
        return 2
    except BaseException as error:
        job.write(replace(reporter.status, state="failed", error=f"{type(error).__name__}: {error}", eta=None))
        raise
    done = result.status == "FINISHED"
    metrics = result.valid or reporter.status.metrics
    job.write(replace(reporter.status, state="finished" if done else "stopped", metrics=metrics, eta=None))
    return 0


if __name__ == "__main__":
    raise SystemExit(work(Path(sys.argv[1])))
