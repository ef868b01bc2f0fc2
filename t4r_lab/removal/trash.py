"""Delete runs, jobs, studies and prepared data of a home, and bring them back.

``trash/<id>.json`` in the home says what was deleted; folders are moved to ``trash/<id>/``, runs stay in the record as
MLflow's deleted ones. The entry is written first, so that a kill in between loses nothing: `restore` brings back
whatever has gone. Nothing is erased before `empty`.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.base.files import write_json
from t4r_lab.removal.kinds import KINDS, Removal, restore_study

TRASH = "trash"
NAMED = 3
"""The most things that a refusal names."""


@dataclass(frozen=True)
class Deleted:
    """Something deleted: its `kind` and `name`, `time` in seconds since 1970, and what is needed to bring it back."""

    id: str
    kind: str
    name: str
    time: float
    runs: Sequence[str] = ()
    """ids of runs in the record"""
    folders: Sequence[str] = ()
    """of the home, by their paths in it"""
    study: str = ""
    """name of a study in the storage of the home"""


def delete(kind: str, name: str, *, home: str | Path | None = None) -> Deleted:
    """Delete a run, job, study or data set of a home; `restore` undoes it.

    Parameters
    ----------
    kind
        run, job, study or data.
    name
        as lists show it: id or name of a run, id of a job, name of a study or of a data folder of the home.

    Raises
    ------
    InputError
        if there is no such thing, or something still needs it, with who.
    """
    if kind not in KINDS:
        raise InputError("delete", f"{kind!r} can't be deleted", did_you_mean(kind, KINDS))
    home_path = homes.ensure(home)
    with KINDS[kind](home_path, name) as plan:
        _refuse_needed(plan)
        entry = Deleted(
            f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}",
            kind,
            plan.name,
            time.time(),
            plan.runs,
            plan.folders,
            plan.study,
        )
        trashed = home_path / TRASH / entry.id
        trashed.mkdir(parents=True)
        plan.keep_study(trashed)
        write_json(trashed.with_suffix(".json"), asdict(entry))
        for folder in plan.folders:
            (trashed / folder).parent.mkdir(parents=True, exist_ok=True)
            (home_path / folder).rename(trashed / folder)
        if plan.runs:
            tracking.delete_runs(home_path, plan.runs)
        plan.remove_study()
    return entry


def _refuse_needed(plan: Removal) -> None:
    if not plan.needed_by:
        return
    more = len(plan.needed_by) - NAMED
    who = f"{', '.join(plan.needed_by[:NAMED])}{f' and {more} more' if more > 0 else ''}"
    raise InputError(f"{plan.kind} {plan.name}", f"needed by {who}", plan.remedy)


def deleted(*, home: str | Path | None = None) -> list[Deleted]:
    """What can be brought back, the latest first."""
    entries = []
    for path in (homes.locate(home) / TRASH).glob("*.json"):
        try:
            entries.append(Deleted(**read_json(path.read_text(encoding="utf-8"), path.name)))
        except (OSError, ValueError, TypeError):  # damaged, or of a later version
            continue
    return sorted(entries, key=lambda entry: entry.time, reverse=True)


def restore(id: str, *, home: str | Path | None = None) -> Deleted:
    """Bring back what was deleted, by the id of its entry, the beginning of it, or its name (the latest of that name).

    Raises
    ------
    InputError
        if there is no such entry, or another thing has its name by now.
    """
    home_path = homes.ensure(home)
    entry = _entry(home_path, id)
    trashed = home_path / TRASH / entry.id
    for folder in entry.folders:
        if (trashed / folder).exists() and (home_path / folder).exists():
            raise InputError(f"{entry.kind} {entry.name}", f"{folder} exists again", "move or delete that first")
    if entry.study:
        restore_study(home_path, entry.study, trashed)
    for folder in entry.folders:
        if (trashed / folder).exists():
            (home_path / folder).parent.mkdir(parents=True, exist_ok=True)
            (trashed / folder).rename(home_path / folder)
    if entry.runs:
        tracking.restore_runs(home_path, entry.runs)
    _forget(trashed)
    return entry


def empty(*, home: str | Path | None = None) -> list[Deleted]:
    """Erase for good what was deleted; returns it."""
    home_path = homes.ensure(home)
    entries = deleted(home=home_path)
    for entry in entries:
        if entry.runs:
            tracking.erase_files(home_path, entry.runs)
        _forget(home_path / TRASH / entry.id)
    return entries


def _forget(trashed: Path) -> None:
    trashed.with_suffix(".json").unlink(missing_ok=True)
    shutil.rmtree(trashed, ignore_errors=True)


def _entry(home: Path, id: str) -> Deleted:
    entries = deleted(home=home)
    matching = [e for e in entries if e.id == id or e.name == id] or [e for e in entries if e.id.startswith(id)]
    if not matching:
        names = [entry.name for entry in entries]
        raise InputError(
            "trash", f"nothing deleted is called {id!r}", did_you_mean(id, names) if names else "it is empty"
        )
    return matching[0]
