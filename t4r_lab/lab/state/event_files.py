"""Folders and files to choose from, below a few roots."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from t4r_lab.base.errors import InputError

MOST = 500
"""The most entries of a folder that are listed."""


@dataclass(frozen=True)
class Entry:
    """A folder or file."""

    path: Path
    words: str
    """its name; of a file with its size, of a folder with a slash"""
    folder: bool


def entries(folder: Path, roots: Sequence[Path]) -> tuple[Entry, ...]:
    """Folders, then files in `folder`, by name, without hidden ones; first the way up, or the roots to go to.

    Raises
    ------
    InputError
        if it lies below none of the `roots`, or can't be read.
    """
    folder = folder.resolve()
    resolved = [root.resolve() for root in roots]
    if not any(folder.is_relative_to(root) for root in resolved):
        raise InputError(folder, "not below the notebook's folder or the home", "type its path")
    try:
        with os.scandir(folder) as scan:
            listed = [_entry(each) for each in scan if not each.name.startswith(".")]
    except OSError as error:
        raise InputError(folder, f"the folder can't be read ({error.strerror})", "choose another") from None
    listed.sort(key=lambda entry: (not entry.folder, entry.path.name.casefold()))
    up = [Entry(folder.parent, "../", True)] if any(folder.parent.is_relative_to(root) for root in resolved) else []
    others = [Entry(root, f"{root}/", True) for root in resolved if not folder.is_relative_to(root)]
    return (*up, *others, *listed[:MOST])


def _entry(each: os.DirEntry[str]) -> Entry:
    if each.is_dir():
        return Entry(Path(each.path), f"{each.name}/", True)
    try:
        size = each.stat().st_size
    except OSError:  # a link to nothing
        size = 0
    return Entry(Path(each.path), f"{each.name} · {_size(size)}", False)


def _size(n_bytes: float) -> str:
    """A size as text.

    >>> _size(999), _size(1500), _size(2.5e9)
    ('999 B', '1.5 kB', '2.5 GB')
    """
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"
