"""Dataset: a prepared folder, opened lazily."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.data.prepared.folder import Manifest, check_folder, part_file, read_sessions, unchanged
from t4r_lab.data.prepared.profile_content import Profile
from t4r_lab.data.prepared.vocabulary import Vocabulary
from t4r_lab.data.read.frames import Frame
from t4r_lab.data.sessions.arrays import PARTS, Arrays, Sessions, join
from t4r_lab.schema.columns import Schema

BEFORE_TEST = "train+valid"
"""Name of training and validation together, for the final training before testing."""


class Dataset:
    """A folder written by `prepare`. Use `Dataset.open`.

    Examples
    --------
    >>> data = Dataset.open("mlruns/data/shop")          # doctest: +SKIP
    >>> len(data.part("train")), data.schema.n_items     # doctest: +SKIP
    (16000, 2933)
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._parts: dict[str, Sessions] = {}

    @classmethod
    def open(cls, path: str | Path) -> Dataset:
        """Check the folder against its manifest and open it; tables are read at first use.

        Raises
        ------
        InputError
            if it isn't a prepared folder, or one of its files is missing, changed or foreign; and later, at the first
            use of a table, if other data were prepared into the folder since.
        """
        path = Path(path)
        return cls(path, check_folder(path))

    def __repr__(self) -> str:
        return f"Dataset({str(self.path)!r}, {self.schema.n_items:,} items)"

    @property
    def digest(self) -> str:
        """SHA-256 over the contents of the folder, in hexadecimal."""
        return self.manifest.digest

    @property
    def split(self) -> str:
        """``time``, ``given`` (a separate test file), or ``leave_one_out`` (each session is in every part)."""
        return self.manifest.split

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The mapping between raw values and ids, read once.

        Raises
        ------
        InputError
            as `Vocabulary.open` does.
        """
        with unchanged(self.path, self.digest):
            return Vocabulary.open(self.path)

    @cached_property
    def profile(self) -> Profile:
        """The content of ``profile.json``: sizes, lengths, popularity, features, dropped events, leakage checks."""
        path = self.path / "profile.json"
        with unchanged(self.path, self.digest):
            content: Profile = read_json(path.read_text(encoding="utf-8"), str(path))
        return content

    def part(self, name: str) -> Sessions:
        """Return the sessions of ``train``, ``valid``, ``test`` or ``train+valid`` (each event once)."""
        if name not in (*PARTS, BEFORE_TEST):
            raise InputError(name, "no such part of the data", did_you_mean(name, (*PARTS, BEFORE_TEST)))
        if name not in self._parts:
            self._parts[name] = self._before_test() if name == BEFORE_TEST else self._read_part(name)
        return self._parts[name]

    def _read_part(self, name: str) -> Sessions:
        with unchanged(self.path, self.digest):
            return read_sessions(self.path / part_file(name))

    def _before_test(self) -> Sessions:
        train, valid = self.part("train"), self.part("valid")
        if self.split == "leave_one_out":  # a session's validation row holds its training events too
            train_ids, valid_ids = (pl.Series(np.asarray(part.ids), dtype=pl.String) for part in (train, valid))
            train = train.take(np.flatnonzero(~train_ids.is_in(valid_ids.implode()).to_numpy()))
        return join(train, valid)

    # taken from the vocabulary -----------------------------------------------------------------------

    @property
    def schema(self) -> Schema:
        """The columns of the sessions, with their roles and cardinalities."""
        return self.vocabulary.schema

    @property
    def items(self) -> pl.DataFrame:
        """One row per item: ``item_id``, ``item`` (the raw id), ``title``, ``count``, item features."""
        return self.vocabulary.items

    def item_table(self) -> Arrays:
        """Columns of item scope: name → array with one row per item id, row 0 for padding."""
        return self.vocabulary.item_table()

    def encode(self, events: Frame) -> Sessions:
        """Encode new events as sessions of ids, by the vocabulary of training; see `Vocabulary.encode`."""
        return self.vocabulary.encode(events)

    def titles(self, ids: Sequence[int] | NDArray[np.integer]) -> list[str]:
        """Titles of item `ids`; the raw id if an item has no title."""
        return self.vocabulary.titles(ids)

    def own_ids(self, ids: Sequence[int] | NDArray[np.integer]) -> list[object]:
        """Raw ids of item `ids`, as they stand in the events."""
        return self.vocabulary.own_ids(ids)
