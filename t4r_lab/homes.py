"""Home: the one folder in which runs, jobs, studies and prepared data are kept."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from t4r_lab.errors import InputError

VARIABLE = "T4R_LAB_HOME"


def locate() -> Path:
    """``$T4R_LAB_HOME``, else the nearest ``mlruns/`` at or above the working directory, else ``./mlruns``."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser().absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "mlruns").is_dir():
            return folder / "mlruns"
    return here / "mlruns"


def ensure(home: str | Path | None = None) -> Path:
    """The home as an absolute path, made if need be, and certain to be writable.

    Raises
    ------
    InputError
        if it can't be made or written.
    """
    path = Path(home).expanduser().absolute() if home is not None else locate()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(
            f"{path}: the home can't be written ({error.strerror}); set {VARIABLE} to a folder of yours"
        ) from None
    return path


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
