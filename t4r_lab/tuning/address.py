"""Addresses of storages, without what opens them, which takes a second to import."""

from __future__ import annotations

import re
from pathlib import Path

from t4r_lab.errors import InputError
from t4r_lab.homes import sqlite_path, sqlite_url

VARIABLE = "T4R_LAB_STORAGE"
"""Names the storage where no option does: a command line with a password could be read by everyone on the machine."""
HELP = "postgresql://user:password@host/database, for workers on several machines; default: one file under the home"


def address(home: Path, storage: str | None) -> str:
    """The URL of the storage: the one given, else that of the file under `home`."""
    if not storage:
        return sqlite_url(home / "studies" / "studies.db")
    if (file := sqlite_path(storage)) is not None:
        return sqlite_url(file)
    url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", storage)
    if not url.startswith("postgresql+psycopg://"):
        raise InputError(
            f"storage {shown(storage)}: expected postgresql://user:password@host/database, or nothing for a file"
        )
    return url


def shown(url: str) -> str:
    """`url` without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url.replace("+psycopg", ""))
