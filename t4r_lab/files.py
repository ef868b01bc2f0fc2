"""Files that change in one step: whoever reads, and whoever is killed or finds the disk full, meets old or new.

And locks, of which the system frees those of a process that dies.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

LOCK_SECONDS = 0.5
"""How long a lock is tried for: a watcher holds it for the moment in which it looks."""


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place at the end.

    With `durable` it is on the disk before that, so that not even a power cut leaves less than the old or the new.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        yield temporary
        if durable:
            _flush(temporary)
        os.replace(temporary, path)
        if durable:
            _flush(path.parent)  # where the name stands
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any, durable: bool = True) -> None:
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
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        yield file
