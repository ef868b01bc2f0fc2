"""Addresses of storages, without what opens them, which takes a second to import."""

from __future__ import annotations

import re
from pathlib import Path

from t4r_lab.base.errors import InputError
from t4r_lab.base.homes import sqlite_path, sqlite_url
from t4r_lab.base.urls import shown

VARIABLE = "T4R_LAB_STORAGE"
"""Names the storage where no option does: a command line with a password could be read by everyone on the machine."""
HELP = "postgresql://user:password@host/database, for workers on several machines; default: one file under the home"
FORM = "postgresql://user:password@host/database"


def address(home: Path, storage: str | None) -> str:
    """The URL of the storage: `storage`, else that of the file under `home`.

    Raises
    ------
    InputError
        if `storage` is no address, or would be read as another one.
    """
    if not storage:
        return sqlite_url(home / "studies" / "studies.db")
    if (file := sqlite_path(storage)) is not None:
        name = storage.partition(":///")[2]
        if name in ("", ":memory:") or name.startswith("file:") or "?" in name:
            raise InputError(
                f"storage {storage}", "names no file", "write sqlite:////path/of/a/file.db (a ? in it is written %3F)"
            )
        return sqlite_url(file)
    url = re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", storage)
    if not url.startswith("postgresql+psycopg://"):
        raise InputError(
            f"storage {shown(storage)}", "not an address of a storage", f"write {FORM}, or nothing for a file"
        )
    authority, _, query = url.partition("://")[2].partition("?")
    server = re.sub("^[^:/]*(:[^@]*)?@", "", authority)
    if "@" in server or any("=" not in pair for pair in query.split("&") if query):
        raise InputError(
            f"storage {shown(storage)}",
            "has a character that separates parts of an address",
            "write an @, / or ? in user or password as %40, %2F or %3F",
        )
    if re.search(r":(?!\d*(,|$))", re.sub(r"\[.*?]", "", server.partition("/")[0])):
        raise InputError(f"storage {shown(storage)}", "its port is not a number", f"write {FORM}")
    return url
