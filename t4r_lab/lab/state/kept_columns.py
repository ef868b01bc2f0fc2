"""The columns of the table of runs on disk: each home keeps its choice."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError
from t4r_lab.base.files import write_json

FILE = "runs_table.json"


def keep_columns(home: Path, columns: list[str], grouped: str) -> None:
    """Write the chosen columns and the one that groups the rows; a home that can't be written keeps none."""
    with suppress(OSError, InputError):
        write_json(home / FILE, {"columns": columns, "grouped": grouped}, durable=False)


def kept_columns(home: Path) -> tuple[list[str], str] | None:
    """The chosen columns and the one that groups the rows; None if there is no choice that can be read."""
    try:
        content = read_json((home / FILE).read_text(encoding="utf-8"), FILE)
        columns, grouped = content["columns"], content["grouped"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    texts = isinstance(columns, list) and columns and all(isinstance(key, str) for key in columns)
    return (list(dict.fromkeys(columns)), grouped) if texts and isinstance(grouped, str) else None
