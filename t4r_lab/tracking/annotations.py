"""What people write beside a recorded run: its name, notes and tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from t4r_lab.base.errors import InputError, shortened
from t4r_lab.spec.run_spec import LONGEST_NAME
from t4r_lab.tracking.client import writer_of
from t4r_lab.tracking.names import NOTE
from t4r_lab.tracking.recorded_runs import RunRow, runs

RESERVED = ("mlflow.", "t4r.")
"""Beginnings of the tags that MLflow and the Lab write."""
TAG = re.compile(r"[\w ./-]{1,100}")
LONGEST_TEXT = 5000
"""Of a tag's value and of notes, in characters."""


def user_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that a person has set and can change here; those of other programs with line breaks are left alone."""
    return {key: value for key, value in sorted(tags.items()) if _is_own(key) and value.isprintable()}


def annotate(
    home: Path,
    row: RunRow,
    *,
    name: str | None = None,
    notes: str | None = None,
    notes_before: str | None = None,
    tags: Mapping[str, str | None] | None = None,
) -> None:
    """Give a recorded run another name or other notes; None leaves each as it is.

    Parameters
    ----------
    notes_before
        the notes that the new ones shall replace: if others were written meanwhile, they stay.
    tags
        those to set; one whose value is None is taken away, all others stay.

    Raises
    ------
    InputError
        before anything is written, for a name that is empty, too long or another run's, for notes that someone else
        has changed, and for tags that the record can't hold or that are not the owner's.
    """
    if name is not None:
        name = _checked_name(home, row, name)
    for key, text in {**(tags or {}), "notes": notes}.items():
        _check_text(key, text or "")
    client, _ = writer_of(home)
    recorded = client.get_run(row.run_id).data.tags
    if notes_before is not None and recorded.get(NOTE, "") not in (notes_before, notes):
        remedy = "keep a copy of yours, choose another run and this one again, and add it there"
        raise InputError("notes", "someone else has changed them since you opened the run", remedy)
    if name is not None and name != row.name:
        client.update_run(row.run_id, name=name)
    if notes is not None:
        client.set_tag(row.run_id, NOTE, notes)
    for key, value in (tags or {}).items():
        if value is not None:
            client.set_tag(row.run_id, key, value)
        elif key in recorded:
            client.delete_tag(row.run_id, key)


def _checked_name(home: Path, row: RunRow, name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise InputError("name", f"{shortened(name)} is not a name", f"give 1 to {LONGEST_NAME} printable characters")
    if any(other.name == name and other.run_id != row.run_id for other in runs(home)):
        raise InputError("name", f"another run is called {shortened(name)}", "give one that no run has")
    return name


def _is_own(key: str) -> bool:
    return TAG.fullmatch(key) is not None and not key.startswith(RESERVED)


def _check_text(key: str, text: str) -> None:
    if not _is_own(key):
        remedy = "use letters, digits, spaces and . / - _, and begin neither with mlflow. nor with t4r."
        raise InputError("tags", f"{shortened(key)} can't be the name of a tag", remedy)
    if len(text) > LONGEST_TEXT:
        raise InputError(key, f"{len(text):,} characters are too many", f"give at most {LONGEST_TEXT:,}")
