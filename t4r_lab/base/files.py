"""Files that change in one step: whoever reads, and whoever is killed or finds the disk full, meets old or new.

And locks, of which the system frees those of a process that dies.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from t4r_lab.base import system

LOCK_SECONDS = 0.5
"""How long a lock is tried for: a watcher holds it for the moment in which it looks."""


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place at the end.

    With `durable` it is on the disk before that, so that not even a power cut leaves less than the old or the new.
    """
    for left in left_behind(path.parent, path.name):
        left.unlink(missing_ok=True)
    temporary = path.with_name(f".{_short(path.name)}.{threading.get_ident()}.{system.owner()}.part")
    try:
        yield temporary
        if durable:
            system.flush(temporary)
        os.replace(temporary, path)
        if durable:
            system.flush(path.parent)  # where the name stands
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: object, durable: bool = True) -> None:
    """Replace `path` by JSON."""
    with replacing(path, durable) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def append(path: Path, text: str) -> None:
    """Add `text` to the end of `path`: all of it or, with an OSError, nothing."""
    data = text.encode()
    with path.open("ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            if file.write(data) < len(data):  # a disk that fills takes a part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            file.truncate(end)
            raise


def tail(path: Path, most: int) -> str:
    """The last `most` bytes of a text that may be huge; nothing where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - most, 0))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


@contextmanager
def locked(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[IO[str]]:
    """Hold the lock of `path`, a file that is made if need be; yields it open, for a child to hold on to.

    Raises
    ------
    BlockingIOError
        if another process still holds it after `seconds`.
    """
    with path.open("a") as file:
        deadline = time.monotonic() + seconds
        while not system.try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise BlockingIOError(errno.EAGAIN, "another process holds the lock", str(path))
            time.sleep(0.02)
        yield file


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of `path`."""
    try:
        with path.open("rb") as file:
            return system.is_held(file.fileno())
    except FileNotFoundError:
        return False


# ── folders for a while ─────────────────────────────────────────────────────────────────────────


@contextmanager
def scratch(parent: Path, name: str) -> Iterator[Path]:
    """An empty folder in `parent` that goes at the end, unless it has been moved; those of the same `name` that
    processes left behind when they were killed go at the beginning."""
    sweep(parent, name)
    folder = Path(tempfile.mkdtemp(prefix=f".{_short(name)}.", suffix=f".{system.owner()}.part", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _short(name: str) -> str:
    """A name that leaves room for more within the 255 bytes that a disk takes."""
    return name if len(os.fsencode(name)) <= 150 else hashlib.sha256(os.fsencode(name)).hexdigest()[:32]


def left_behind(parent: Path, name: str, ending: str = ".part") -> list[Path]:
    """What was half written under that name by processes of this machine that are dead, the latest last."""
    begin = f".{_short(name)}."
    try:
        names = [n for n in os.listdir(parent) if n.startswith(begin) and n.endswith(ending)]
    except OSError:
        return []
    parts = {n: n.removeprefix(begin).split(".") for n in names}
    dead = [parent / n for n, part in parts.items() if len(part) == 3 and system.is_dead(part[1])]
    return sorted(dead, key=lambda path: path.lstat().st_mtime)


def sweep(parent: Path, name: str, ending: str = ".part") -> None:
    """Remove the folders among them."""
    for folder in left_behind(parent, name, ending):
        shutil.rmtree(folder, ignore_errors=True)
