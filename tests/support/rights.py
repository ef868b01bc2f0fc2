"""Folders that may only be read, for a while."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def readonly(folder: Path) -> Iterator[None]:
    """May be read only. Root may write anywhere, so for the file system this thread is nobody meanwhile."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in folder.parents:  # pytest's own folders are closed to others
        if path != Path("/") and path.owner() == Path(folder).owner():
            path.chmod(path.stat().st_mode | 0o055)
    libc, user = ctypes.CDLL(None), os.getuid()
    libc.setfsuid(user or 65534)
    try:
        yield
    finally:
        libc.setfsuid(user)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
