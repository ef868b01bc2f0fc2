"""Processes of a run: the lock of its folder, a stop by Ctrl-C, and training in several processes.

A run with the status RUNNING has a folder of checkpoints whose lock its process holds. If that process dies, the
system frees the lock, so that the next reader of the record can mark the run as KILLED.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from t4r_lab import tracking
from t4r_lab.base import homes, retries
from t4r_lab.base.errors import InputError
from t4r_lab.base.files import locked

LOCK = "lock"
DIED = "its process died"

# ── the folder of checkpoints ───────────────────────────────────────────────────────────────────


class Busy(InputError):
    """Another process is training the same run."""


@contextmanager
def hold_lock(folder: Path | None) -> Iterator[None]:
    """Hold the lock of `folder`; raises `Busy` if another process trains there. Without a folder there is no lock."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / LOCK))
        except BlockingIOError:
            raise Busy(folder, "another process is training this run", "wait for it or stop it") from None
        yield


def can_resume(folder: Path) -> bool:
    """True if training left a checkpoint in `folder`."""
    from t4r_lab.training.checkpoint import FILE

    return (folder / FILE).is_file()


def remove_checkpoints(folder: Path) -> None:
    """Remove the files of training from `folder`, and the folder if it is empty then: it may be the user's."""
    from t4r_lab.training.checkpoint import FILE, best_path, remove_torn

    remove_torn(folder)
    for path in (folder / FILE, best_path(folder), folder / LOCK):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def remove_leftovers(home: Path, folder: Path) -> None:
    """Remove the files of a training that were written where its deleted or unmounted home had been."""
    remove_checkpoints(folder)
    if (database := home / "mlflow.db").is_file() and not database.stat().st_size:  # SQLite creates a missing file
        database.unlink()
    for parent in (folder.parent, *folder.parent.parents):
        if parent.is_relative_to(home):
            with suppress(OSError):
                parent.rmdir()


def discard_run(home: Path, folder: Path) -> None:
    """Remove the checkpoints in `folder`, and mark their unfinished run as KILLED."""
    row = tracking.run_in_folder(home, folder)
    if row is not None and row.status != "FINISHED":
        tracking.Record(home, row.run_id).finish("KILLED", "canceled")
    remove_checkpoints(folder)


def runs(home: Path) -> list[tracking.RunRow]:
    """Every run of the home, newest first.

    Runs of this machine whose process died are first marked as KILLED, if this process may write the record.
    """
    rows = tracking.runs(home)
    dead = [_mark_if_dead(home, row) for row in rows if row.status == "RUNNING" and row.folder]
    return tracking.runs(home) if any(dead) else rows


def _mark_if_dead(home: Path, row: tracking.RunRow) -> bool:
    lock = Path(row.folder) / LOCK
    # only processes that see the same folder share its lock: those of this machine, or with a record in the home
    is_visible = row.host == homes.host() or (not tracking.server() and lock.is_relative_to(home))
    if not is_visible:
        return False
    is_lost = lock.is_relative_to(home) and not lock.exists()  # no process can continue the run
    try:
        with nullcontext() if is_lost else locked(lock, 0):
            return tracking.end(home, row.run_id, "KILLED", DIED)
    except (OSError, ValueError, InputError):  # alive, in a folder of another machine, or the record is read-only
        return False


# ── a stop by Ctrl-C ────────────────────────────────────────────────────────────────────────────


@contextmanager
def interruptible(should_stop: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Yield `should_stop`, True too after a first Ctrl-C; a second Ctrl-C raises `KeyboardInterrupt` as usual."""
    interrupted = threading.Event()

    def interrupt(signum: int, frame: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        retries.hurry.set()

    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread alone
        yield should_stop
        return
    previous_handler = signal.signal(signal.SIGINT, interrupt)
    try:
        yield lambda: interrupted.is_set() or should_stop()
    finally:
        signal.signal(signal.SIGINT, previous_handler)
        retries.hurry.clear()


# ── several processes ───────────────────────────────────────────────────────────────────────────


def is_main() -> bool:
    """True in the only process or the first of several: the one that reports and records."""
    return os.environ.get("RANK", "0") == "0"


def joint_stop(should_stop: Callable[[], bool]) -> Callable[[], bool]:
    """`should_stop` with the same value in all processes: if one stopped alone, the others would wait for it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return should_stop
    import torch
    from accelerate import PartialState
    from accelerate.utils import reduce

    device = PartialState().device
    return lambda: float(reduce(torch.tensor(float(should_stop()), device=device), "sum")) > 0


BROKEN = re.compile("gloo|nccl|connection (was )?(closed|reset)|broken pipe|socket", re.IGNORECASE)
"""Words of torch, in a `RuntimeError`, about processes that it can no longer reach."""
ProcessIds = list[tuple[str, int]]
"""Host and process id of every process, by rank."""


def all_processes() -> ProcessIds:
    """All processes of this training; empty if it has only one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return []
    from accelerate.utils import gather_object

    processes: ProcessIds = gather_object([(homes.host(), os.getpid())])
    return processes


def ended_process(processes: ProcessIds, error: BaseException, seconds: float = 2.0) -> str:
    """A sentence on the process of `processes` that has ended, if that explains the `error` of this one; else empty.

    After it, this process ignores interrupts: its launcher would end it before it reports the cause.
    """
    broken = isinstance(error, RuntimeError) and BROKEN.search(f"{type(error)} {error}")
    if not processes or not (broken or isinstance(error, KeyboardInterrupt)):
        return ""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deadline = time.monotonic() + seconds  # its connections close shortly before it ends
    while True:
        for rank, (host, pid) in enumerate(processes):
            if host == homes.host() and _is_gone(pid):
                return f"process {rank + 1} of {len(processes)} was killed or failed"
        if time.monotonic() > deadline:
            return "" if isinstance(error, KeyboardInterrupt) else f"one of {len(processes)} processes is gone"
        time.sleep(0.1)


def _is_gone(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def broadcast(run_id: str) -> str:
    """The first process's `run_id` in every process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return run_id
    from accelerate.utils import broadcast_object_list

    shared = [run_id]
    broadcast_object_list(shared)
    return shared[0]
