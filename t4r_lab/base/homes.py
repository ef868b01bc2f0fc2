"""Home: the folder in which runs, jobs, studies and prepared data are kept."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote

from t4r_lab.base import system
from t4r_lab.base.errors import InputError

VARIABLE = "T4R_LAB_HOME"
MOST_BYTES = 480
"""Longest path of a home: SQLite opens no path of more than 512 bytes, and file names are added to it."""


def locate(home: str | Path | None = None) -> Path:
    """The home as an absolute path, for readers: nothing is created or checked.

    `home`, else ``$T4R_LAB_HOME``, else the nearest ``mlruns/`` at or above the working directory, else ``./mlruns``.
    """
    if home is not None or os.environ.get(VARIABLE):
        return Path(home or os.environ[VARIABLE]).expanduser().absolute()
    working = Path.cwd()
    for folder in (working, *working.parents):
        if (folder / "mlruns").is_dir():
            return folder / "mlruns"
    return working / "mlruns"


def ensure(home: str | Path | None = None) -> Path:
    """The home as an absolute path, for writers: it is created if missing, and tested to be writable.

    Raises
    ------
    InputError
        if it can't be created or written, or its path is too long or not UTF-8.
    """
    path = locate(home)
    remedy = f"set {VARIABLE} to a folder of yours"
    try:
        size = len(str(path).encode())
    except UnicodeEncodeError:
        raise InputError(str(path).encode(errors="replace").decode(), "the home's path isn't UTF-8", remedy) from None
    if size > MOST_BYTES:
        raise InputError(path, f"the home's path has {size} bytes, SQLite can use {MOST_BYTES}", remedy)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(path, f"the home can't be written ({error.strerror})", remedy) from None
    return path


def sqlite_url(path: Path) -> str:
    """The URL of the SQLite file at an absolute path with any characters.

    The driver is named if a character is quoted: MLflow takes other URLs for paths, and creates their folders.

    >>> sqlite_url(Path("/a/b.db")), sqlite_url(Path("/a?{b}/c%25.db"))
    ('sqlite:////a/b.db', 'sqlite+pysqlite:////a%3F%7Bb%7D/c%2525.db')
    """
    quoted = quote(str(path), safe=" +/")
    return f"sqlite{'' if quoted == str(path) else '+pysqlite'}:///{quoted}"


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite URL; None for that of a server.

    >>> sqlite_path("sqlite+pysqlite:////a%3Fb.db")
    PosixPath('/a?b.db')
    """
    driver, _, path = url.partition(":///")
    return Path(unquote(path)).absolute() if driver in ("sqlite", "sqlite+pysqlite") else None


def beside(home: Path, path: str | Path) -> list[Path]:
    """Folders in `home` that may be the one formerly at `path`, if that was in a home that has been moved or copied."""
    parts = Path(path).parts
    candidates = (home.joinpath(*parts[at:]) for at in range(1, len(parts)))
    return [folder for folder in candidates if folder.is_dir()]


@cache
def host() -> str:
    """A unique name of this machine: its host name and the beginning of its machine id, if it has one."""
    machine = ""
    with suppress(OSError):
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()[:8]
    return f"{socket.gethostname()} {machine}".strip()


FULL, LIMIT = "the disk is full", "a file would exceed the limit on the size of files"
NO_ROOM = {
    FULL: (
        "free some space",
        (errno.ENOSPC, errno.EDQUOT),
        ("No space left on device", "disk is full", "quota exceeded"),
    ),
    LIMIT: ("raise it (`ulimit -f`)", (errno.EFBIG,), ("File too large",)),
}
"""Why a file can't grow → the remedy, and the numbers and messages of its errors."""


def no_room(error: BaseException | None) -> tuple[str, str] | None:
    """Problem and remedy if `error` or its cause is a file that can't grow; None for any other error.

    SQLite, polars and safetensors report that only in their messages, and SQLite a limit on the size of files as an
    error of the disk.
    """
    while error is not None:
        number, message = getattr(error, "errno", None), str(error)
        for problem, (remedy, numbers, messages) in NO_ROOM.items():
            if number in numbers or any(words in message for words in messages):
                return problem, remedy
        if "disk I/O error" in message and system.limits_files():
            return LIMIT, NO_ROOM[LIMIT][0]
        error = error.__cause__ or error.__context__
    return None
