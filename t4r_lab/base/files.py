"""Files that are replaced atomically, so that a reader, a kill or a full disk leaves the old or the new one; and locks,
which the system frees when their process dies.
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
"""The time to wait for a lock, since a process that tests it holds it for a moment."""


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, which replaces it at the end of the block.

    With `durable` it is flushed to the disk first, so that a power cut too leaves the old or the new file.
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
            system.flush(path.parent)  # which holds the name
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: object, durable: bool = True) -> None:
    """Replace `path` by `content` as JSON."""
    with replacing(path, durable) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def append(path: Path, text: str) -> None:
    """Add `text` to the end of `path`: all of it or, with an OSError, nothing."""
    data = text.encode()
    with path.open("ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            if file.write(data) < len(data):  # a full disk takes a part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            file.truncate(end)
            raise


def tail(path: Path, most: int) -> str:
    """The last `most` bytes of a text file of any size; empty if it does not exist."""
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - most, 0))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


@contextmanager
def locked(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[IO[str]]:
    """Hold the lock of `path`, a file that is created if missing; yields it open, so that a child can inherit the lock.

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
    """True if a process holds the lock of `path`."""
    try:
        with path.open("rb") as file:
            return system.is_held(file.fileno())
    except FileNotFoundError:
        return False


# ── temporary folders ───────────────────────────────────────────────────────────────────────────


@contextmanager
def scratch(parent: Path, name: str) -> Iterator[Path]:
    """An empty folder in `parent`, removed at the end unless it has been moved.

    Folders of the same `name` that killed processes left behind are removed first.
    """
    sweep(parent, name)
    folder = Path(tempfile.mkdtemp(prefix=f".{_short(name)}.", suffix=f".{system.owner()}.part", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _short(name: str) -> str:
    """A name that leaves room for a suffix within the 255 bytes of a file name."""
    return name if len(os.fsencode(name)) <= 150 else hashlib.sha256(os.fsencode(name)).hexdigest()[:32]


def left_behind(parent: Path, name: str, ending: str = ".part") -> list[Path]:
    """Unfinished files and folders of that name by dead processes of this machine, the latest last."""
    begin = f".{_short(name)}."
    try:
        names = [n for n in os.listdir(parent) if n.startswith(begin) and n.endswith(ending)]
    except OSError:
        return []
    parts = {n: n.removeprefix(begin).split(".") for n in names}
    dead = [parent / n for n, part in parts.items() if len(part) == 3 and system.is_dead(part[1])]
    return sorted(dead, key=lambda path: path.lstat().st_mtime)


def sweep(parent: Path, name: str, ending: str = ".part") -> None:
    """Remove the folders among `left_behind`."""
    for folder in left_behind(parent, name, ending):
        shutil.rmtree(folder, ignore_errors=True)
