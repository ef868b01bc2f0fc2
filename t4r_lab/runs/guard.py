"""What keeps a training safe from others and the user's own haste: its folder, Ctrl-C, and several processes.

A run that the record has as RUNNING has a folder of checkpoints, whose lock its process holds: when that process
dies without a word, the system frees the lock, and whoever reads the record next can tell.
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
from typing import Any

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
def only_trainer(folder: Path | None) -> Iterator[None]:
    """No second process trains in `folder` meanwhile."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / LOCK))
        except BlockingIOError:
            raise Busy(folder, "another process is training this run", "wait for it or stop it") from None
        yield


def can_resume(folder: Path) -> bool:
    """Whether training left a checkpoint in `folder`."""
    from t4r_lab.training.checkpoint import FILE

    return (folder / FILE).is_file()


def clear(folder: Path) -> None:
    """Remove what training wrote into `folder`, and the folder if that was all: it may be the user's."""
    from t4r_lab.training.checkpoint import FILE, best_path, remove_torn

    remove_torn(folder)
    for path in (folder / FILE, best_path(folder), folder / LOCK):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def leave(home: Path, folder: Path) -> None:
    """Remove what a training wrote, after its home was deleted or unmounted, where that had been."""
    clear(folder)
    if (database := home / "mlflow.db").is_file() and not database.stat().st_size:  # SQLite makes one where none is
        database.unlink()
    for place in (folder.parent, *folder.parent.parents):
        if place.is_relative_to(home):
            with suppress(OSError):
                place.rmdir()


def discard(home: Path, folder: Path) -> None:
    """Give up the unfinished run with its checkpoints in `folder`: they go, the run is marked KILLED."""
    row = tracking.of_folder(home, folder)
    if row is not None and row.status != "FINISHED":
        tracking.Record(home, row.run_id).finish("KILLED", "canceled")
    clear(folder)


def runs(home: Path) -> list[tracking.RunRow]:
    """Every run of the home, newest first; one of this machine whose process died is first marked KILLED, by whoever
    may write."""
    rows = tracking.runs(home)
    dead = [_mark_if_dead(home, row) for row in rows if row.status == "RUNNING" and row.folder]
    return tracking.runs(home) if any(dead) else rows


def _mark_if_dead(home: Path, row: tracking.RunRow) -> bool:
    lock = Path(row.folder) / LOCK
    # a lock tells of those who see the same folder: this machine's processes, and whoever shares the home's own record
    ours = row.host == homes.host() or (not tracking.server() and lock.is_relative_to(home))
    if not ours:
        return False
    gone = lock.is_relative_to(home) and not lock.exists()  # nobody can go on with it
    try:
        with nullcontext() if gone else locked(lock, 0):
            return tracking.end(home, row.run_id, "KILLED", DIED)
    except (
        OSError,
        ValueError,
        InputError,
    ):  # it lives, its folder is another machine's, or this one has no right to write
        return False


# ── the end asked for ───────────────────────────────────────────────────────────────────────────


@contextmanager
def interruptible(should_stop: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Within it, the first Ctrl-C asks training to stop after the batch; a second one raises as usual."""
    asked = threading.Event()

    def ask(signum: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        retries.hurry.set()

    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread alone
        yield should_stop
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked.is_set() or should_stop()
    finally:
        signal.signal(signal.SIGINT, before)
        retries.hurry.clear()


# ── several processes ───────────────────────────────────────────────────────────────────────────


def is_main() -> bool:
    """Whether this is the only process, or the first of several: the one that reports and records."""
    return os.environ.get("RANK", "0") == "0"


def together(should_stop: Callable[[], bool]) -> Callable[[], bool]:
    """`should_stop` with one answer for all processes: one that left alone would leave the others waiting."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return should_stop
    import torch
    from accelerate import PartialState
    from accelerate.utils import reduce

    device = PartialState().device
    return lambda: float(reduce(torch.tensor(float(should_stop()), device=device), "sum")) > 0


BROKEN = re.compile("gloo|nccl|connection (was )?(closed|reset)|broken pipe|socket", re.IGNORECASE)
"""What torch says, in a `RuntimeError`, of processes that it can't reach any more."""
Crew = list[tuple[str, int]]
"""Host and number of every process, by rank."""


def muster() -> Crew:
    """All processes of this training; none where it is the only one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return []
    from accelerate.utils import gather_object

    crew: Crew = gather_object([(homes.host(), os.getpid())])
    return crew


def fallen(crew: Crew, error: BaseException, seconds: float = 2.0) -> str:
    """Which process of `crew` is gone, where that explains the `error` of this one; else nothing.

    From then on this process isn't interrupted any more: its launcher asks it to end while it says what happened.
    """
    broken = isinstance(error, RuntimeError) and BROKEN.search(f"{type(error)} {error}")
    if not crew or not (broken or isinstance(error, KeyboardInterrupt)):
        return ""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deadline = time.monotonic() + seconds  # its connections close a moment before it is gone
    while True:
        for rank, (host, pid) in enumerate(crew):
            if host == homes.host() and _is_gone(pid):
                return f"process {rank + 1} of {len(crew)} was killed or failed"
        if time.monotonic() > deadline:
            return "" if isinstance(error, KeyboardInterrupt) else f"one of {len(crew)} processes is gone"
        time.sleep(0.1)


def _is_gone(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def agree(run_id: str) -> str:
    """The first process's `run_id` in every process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return run_id
    from accelerate.utils import broadcast_object_list

    box = [run_id]
    broadcast_object_list(box)
    return box[0]
