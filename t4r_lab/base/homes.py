"""Home: the one folder in which runs, jobs, studies and prepared data are kept."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote

from t4r_lab.base.errors import InputError

VARIABLE = "T4R_LAB_HOME"
MOST_BYTES = 480
"""Of a home's path: SQLite opens no file whose path has more than 512, and ours have names and endings yet."""


def locate(home: str | Path | None = None) -> Path:
    """The home as an absolute path, as it is, for those who only read it.

    `home`, else ``$T4R_LAB_HOME``, else the nearest ``mlruns/`` at or above the working directory, else ``./mlruns``.
    """
    if home is not None or os.environ.get(VARIABLE):
        return Path(home or os.environ[VARIABLE]).expanduser().absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "mlruns").is_dir():
            return folder / "mlruns"
    return here / "mlruns"


def ensure(home: str | Path | None = None) -> Path:
    """The home as an absolute path, made if need be, and certain to be writable: for those who write into it.

    Raises
    ------
    InputError
        if it can't be made or written, or has a path that no database can be opened at.
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
    """The URL of the SQLite file at an absolute path, whatever characters that has.

    The driver is named where something is quoted: MLflow takes other URLs for paths, and makes their folders.

    >>> sqlite_url(Path("/a/b.db")), sqlite_url(Path("/a?{b}/c%25.db"))
    ('sqlite:////a/b.db', 'sqlite+pysqlite:////a%3F%7Bb%7D/c%2525.db')
    """
    quoted = quote(str(path), safe=" +/")
    return f"sqlite{'' if quoted == str(path) else '+pysqlite'}:///{quoted}"


def sqlite_path(url: str) -> Path | None:
    """The file at a URL of SQLite's; None for a server's.

    >>> sqlite_path("sqlite+pysqlite:////a%3Fb.db")
    PosixPath('/a?b.db')
    """
    driver, _, path = url.partition(":///")
    return Path(unquote(path)).absolute() if driver in ("sqlite", "sqlite+pysqlite") else None


def beside(home: Path, path: str | Path) -> list[Path]:
    """Where in `home` what was at `path` may lie now, if `path` was in a home that has been moved or copied since."""
    parts = Path(path).parts
    found = (home.joinpath(*parts[at:]) for at in range(1, len(parts)))
    return [place for place in found if place.is_dir()]


@cache
def host() -> str:
    """This machine, as no other one is called: its name and the beginning of its id, where it has one."""
    own = ""
    with suppress(OSError):
        own = Path("/etc/machine-id").read_text(encoding="ascii").strip()[:8]
    return f"{socket.gethostname()} {own}".strip()


def disk_is_full(error: BaseException | None) -> bool:
    """Whether `error` or what caused it is a full disk; SQLite and safetensors say so in words only."""
    while error is not None:
        words = str(error)
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in words or "disk is full" in words:
            return True
        error = error.__cause__ or error.__context__
    return False
