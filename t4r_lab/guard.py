"""What keeps a training safe from others and the user's own haste: its folder, Ctrl-C, and several processes."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from t4r_lab.errors import InputError

LOCK = "lock"

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
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{folder}: another process is training this run; wait for it or stop it") from None
        yield


def can_resume(folder: Path) -> bool:
    """Whether training left a checkpoint in `folder`."""
    from t4r_lab.checkpoint import FILE

    return (folder / FILE).is_file()


def clear(folder: Path) -> None:
    """Remove what training wrote into `folder`, and the folder if that was all: it may be the user's."""
    from t4r_lab.checkpoint import FILE, best_path, remove_torn

    remove_torn(folder)
    for path in (folder / FILE, best_path(folder), folder / LOCK):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


# ── the end asked for ───────────────────────────────────────────────────────────────────────────


@contextmanager
def interruptible(should_stop: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
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


def agree(run_id: str) -> str:
    """The first process's `run_id` in every process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return run_id
    from accelerate.utils import broadcast_object_list

    box = [run_id]
    broadcast_object_list(box)
    return box[0]
