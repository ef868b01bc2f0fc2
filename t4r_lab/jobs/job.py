"""Jobs: runs in processes of their own, which outlive the kernel and the browser that launched them.

A job is a folder ``jobs/<id>/``:

| file | content |
|---|---|
| ``spec.json`` | the spec of the run, never changed |
| ``job.json`` | the working directory, version, tracking server and processors of its launch |
| ``events.jsonl`` | the reports, one line each |
| ``status.json`` | the present status, replaced as a whole |
| ``control.json`` | the last request to the worker: pause, resume, stop or cancel |
| ``log.txt`` | the output of the worker |
| ``checkpoints/`` | the state from which it can be resumed |
| ``lock`` | held by the worker while it runs |

The launcher takes the lock and the worker inherits it, so that a job never has two workers, and a dead worker is
detected without its process id, which may be reused.
"""

from __future__ import annotations

import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from t4r_lab import __version__
from t4r_lab.base import homes, system
from t4r_lab.base.documents import Document, read_json
from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.base.files import LOCK_SECONDS, is_locked, locked, replacing, tail, write_json
from t4r_lab.families.custom import refuse_notebook
from t4r_lab.jobs.job_status import (
    ACTIVE,
    ENDED,
    QUEUED,
    REQUESTS,
    RESUMABLE,
    STATUS,
    Status,
    read_status,
    write_status,
)
from t4r_lab.jobs.launch_record import is_of, launch_record, worker_environment, working_directory
from t4r_lab.spec import RunSpec

EVENTS, CONTROL = "events.jsonl", "control.json"
LOG_BYTES = 16_384
"""Bytes read from the end of a log, which may have gigabytes."""


class Job:
    """A job by its folder, in which all state is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def id(self) -> str:
        """The id: the name of its folder."""
        return self.folder.name

    @property
    def home(self) -> Path:
        """The home in which its run is recorded."""
        return self.folder.parent.parent

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return self.folder / "checkpoints"

    # watching -----------------------------------------------------------------------------------

    def spec(self) -> RunSpec:
        """The spec of its run.

        Raises
        ------
        InputError
            if it can't be read, for example since a later version wrote it.
        """
        try:
            return RunSpec.load(self.folder / "spec.json")
        except InputError as error:
            made_by = self._launch().get("version", __version__)
            if made_by == __version__:
                raise InputError(f"job {self.id}", f"its spec can't be read ({error})", "remove the folder") from None
            raise InputError(
                f"job {self.id}", f"of t4r-lab {made_by}, while this is {__version__} ({error})", "use that version"
            ) from None

    def status(self) -> Status:
        """The present status; ``lost`` if the worker was killed."""
        status = self.written()
        if status.state not in ACTIVE:
            return status
        if self._worker_runs():
            return replace(status, state=REQUESTS.get(self.request(), status.state))
        status = self.written()  # it may have ended between the two tests
        if status.state not in ACTIVE:
            return status
        message = f"the worker is gone; resume it with `t4r-lab jobs resume {self.id}`"
        return replace(status, state="lost", eta=None, error=message)

    def written(self) -> Status:
        """The status in ``status.json``, see `read_status`."""
        return read_status(self.folder)

    def events(self) -> list[Document]:
        """All reports as events, a damaged one empty, without a line that is still being written."""
        return self.follow()[0]

    def follow(self, offset: int = 0) -> tuple[list[Document], int]:
        """The reports from byte `offset` of their file on, and the offset of the next ones."""
        try:
            with (self.folder / EVENTS).open("rb") as file:
                file.seek(offset)
                *lines, torn = file.read().split(b"\n")
                return [_parsed(line.decode(errors="replace")) for line in lines], file.tell() - len(torn)
        except FileNotFoundError:
            return [], offset

    def log(self, lines: int = 20) -> str:
        """The last lines that the worker printed, of its last `LOG_BYTES`."""
        return "\n".join(tail(self.folder / "log.txt", LOG_BYTES).splitlines()[-lines:])

    def request(self) -> str:
        """The last request to the worker; empty without one, or if its file is damaged: then it must be repeated."""
        return str(_read(self.folder / CONTROL).get("action", ""))

    # requests -----------------------------------------------------------------------------------

    def pause(self) -> None:
        """Finish the batch, keep the state and end the process, which frees its memory, until `resume`."""
        self._send("pause")

    def stop(self) -> None:
        """Finish the batch, keep the state and end the process. It differs from `pause` only in the state shown."""
        self._send("stop")

    def cancel(self) -> None:
        """End for good, after the batch if a worker runs. The run is marked KILLED, its checkpoints are removed."""
        from t4r_lab.runs import processes

        try:
            with self.lock():
                self._refuse(ENDED, "there is nothing to cancel")
                self.write(replace(self.written(), state="canceled", eta=None, error="", refusal=[]))
                processes.discard_run(self.home, self.checkpoints)
        except BlockingIOError:
            self._send("cancel")

    def resume(self) -> None:
        """Start a worker from the last checkpoint; the result is the same as without the interruption.

        Raises
        ------
        InputError
            while a worker runs, if the job has ended for good, or as `Experiment.open`.
        """
        try:
            with self.lock() as lock:
                self._refuse(ENDED, "train its spec again for a new run")
                self._begin(lock)
        except BlockingIOError:
            raise self._busy() from None
        except OSError as error:
            raise InputError(f"job {self.id}", f"cannot be resumed ({error})", "fix that and try again") from None

    def enqueue(self) -> None:
        """Let it wait for its turn to go on from its last checkpoint.

        Raises
        ------
        InputError
            as `resume`.
        """
        try:
            with self.lock():
                self._refuse(ENDED, "train its spec again for a new run")
                self._check()
                waiting = replace(self.written(), state=QUEUED, stage=QUEUED, eta=None, error="", refusal=[])
                self.write(waiting)
        except BlockingIOError:
            raise self._busy() from None

    def start_queued(self) -> bool:
        """Start a worker if it still waits; False if it doesn't, or is refused, which makes it ``failed``.

        Raises
        ------
        BlockingIOError
            if another process holds its lock.
        OSError
            if its folder can't be written; it waits on.
        """
        with self.lock() as lock:
            if self.written().state != QUEUED:
                return False
            try:
                self._begin(lock)
            except InputError as error:
                self.write(replace(self.written(), state="failed", error=str(error), refusal=list(error.parts)))
                return False
        return True

    def is_at_home(self) -> bool:
        """True if it was launched in this home, not copied with it, for the tracking server that is set here."""
        return is_of(self._launch(), self.home)

    def _launch(self) -> Document:
        return _read(self.folder / "job.json")

    def _check(self) -> RunSpec:
        from t4r_lab.training.experiment import Experiment

        spec = self.spec()
        Experiment.open(spec, home=self.home)
        return spec

    def _begin(self, lock: int) -> None:
        before, spec = self.written(), self._check()
        write_json(self.folder / CONTROL, {"action": "resume"})
        self.write(replace(_new(self.id, spec, before.launched), run_id=before.run_id, metrics=before.metrics))
        self.start(lock)

    def _busy(self) -> InputError:
        return InputError(f"job {self.id}", f"it is {self.status().state}", "stop it first, or wait for it")

    def _send(self, action: str) -> None:
        if (state := self.status().state) not in ACTIVE:
            raise InputError(f"job {self.id}", f"it is {state}", f"there is nothing to {action}")
        try:
            write_json(self.folder / CONTROL, {"action": action})
        except OSError as error:
            remedy = f"fix that, or end it with `kill -INT {self.written().pid}`"
            raise InputError(f"job {self.id}", f"can't be asked to {action} ({error})", remedy) from None

    def _refuse(self, states: tuple[str, ...], remedy: str) -> None:
        state = self.written().state
        if state in states:
            raise InputError(f"job {self.id}", f"it {'has finished' if state == 'finished' else f'is {state}'}", remedy)
        if state not in (*ACTIVE, *RESUMABLE, QUEUED):
            raise InputError(
                f"job {self.id}", f"its state {state!r} is of another version of t4r-lab", "use that version"
            )

    def start(self, lock: int) -> None:
        """Start a worker with the `lock`, in its own session: no interrupt or shutdown of this process reaches it."""
        launch = self._launch()
        is_shared = any(job.status().state in ACTIVE for job in all_jobs(self.home) if job.id != self.id)
        environment, cwd = worker_environment(launch, is_shared), str(working_directory(launch, self.home))
        with (self.folder / "log.txt").open("ab") as log:
            command = [sys.executable, "-m", "t4r_lab.jobs.job_worker", str(self.folder), str(lock)]
            system.start_detached(command, lock, log, environment, cwd)

    def write(self, status: Status) -> None:
        """Replace the status file."""
        write_status(self.folder, status)

    def _worker_runs(self) -> bool:
        """True if a worker holds the lock."""
        return is_locked(self.folder / "lock")

    @contextmanager
    def lock(self, seconds: float = LOCK_SECONDS) -> Iterator[int]:
        """Hold the lock of the job within the block; yields its descriptor, so that a worker can inherit it.

        Raises
        ------
        BlockingIOError
            if a worker still holds it after `seconds`.
        """
        with locked(self.folder / "lock", seconds) as file:
            yield file.fileno()


def create(spec: RunSpec, home: Path, waits: bool) -> Job:
    """Make a job of `home` for `spec`, and start it unless it `waits` in the queue; returns at once.

    Raises
    ------
    InputError
        as `Experiment.open`, or if the home can't be written; nothing is left behind.
    """
    from t4r_lab.training.experiment import Experiment

    home_path = homes.ensure(home)  # the faster check comes first
    refuse_notebook(spec.flat())
    Experiment.open(spec, home=home_path)
    folder = home_path / "jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    job = Job(folder)
    try:
        folder.mkdir(parents=True)
        with replacing(folder / "spec.json") as path:
            path.write_text(spec.to_json(), encoding="utf-8")
            path.chmod(0o444)
        write_json(folder / "job.json", launch_record(home_path))
        with job.lock() as lock:
            job.write(replace(_new(job.id, spec), state=QUEUED, stage=QUEUED) if waits else _new(job.id, spec))
            if not waits:
                job.start(lock)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(
            folder, f"the job can't be written ({error.strerror})", "free some space or fix its permissions"
        ) from None
    return job


def _new(id: str, spec: RunSpec, launched: float = 0.0) -> Status:
    return Status(id, spec.name, launched=launched or time.time(), epochs=spec.train.epochs, monitor=spec.monitor)


def all_jobs(home: Path) -> list[Job]:
    """The jobs of `home`, newest first."""
    folders = sorted((home / "jobs").glob(f"*/{STATUS}"), reverse=True)
    return [Job(path.parent) for path in folders]


def find(home: Path, id: str) -> Job:
    """The job whose id is, or begins with, `id`.

    Raises
    ------
    InputError
        if no job has such an id, or several have.
    """
    ids = [job.id for job in all_jobs(home)]
    matches = [name for name in ids if name == id] or [name for name in ids if name.startswith(id)]
    if len(matches) == 1:
        return Job(home / "jobs" / matches[0])
    if matches:
        raise InputError(f"job {id!r}", f"{len(matches)} ids begin like that", "give more of it")
    remedy = did_you_mean(id, ids) if ids else f"there are none in {home}"
    raise InputError(f"job {id!r}", "no such job", remedy)


def _read(path: Path) -> Document:
    """The JSON object in `path`; empty if it can't be read."""
    try:
        return _parsed(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return {}


def _parsed(text: str) -> Document:
    try:
        content = read_json(text, "a file of a job")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
