"""Vocabulary: the mapping between raw ids and values and the ids of the model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.checksums import check_seal, seal
from t4r_lab.base.documents import Document, read_json
from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.data.formats.format_readers import PLAIN, read_file
from t4r_lab.data.prepared.folder import MANIFEST, read_manifest, unchanged
from t4r_lab.data.read.column_types import load_types
from t4r_lab.data.read.dialect import NoHeader
from t4r_lab.data.read.frames import REFUSALS, Frame, read_parquet, refusing, to_polars
from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.data.read.time_forms import form_like
from t4r_lab.data.read.times import seconds
from t4r_lab.data.read.values import ColumnType, numbers, texts, unreadable
from t4r_lab.data.sessions.arrays import Arrays, Sessions
from t4r_lab.data.sessions.codes import factorize
from t4r_lab.data.sessions.session_rows import rename_histories, unroll
from t4r_lab.data.sessions.sessionize import Log, find_sessions
from t4r_lab.schema.columns import PADDING, UNKNOWN, Column, Schema
from t4r_lab.spec.preparation import PrepareOptions

FOLDER = "vocabulary"
SESSIONS = "sessions.json"
"""File with the options by which events became sessions, beside the tables of categories."""
REMEDY = "prepare the data again, or train the run again where it is a run's"


class Vocabulary:
    """Items and category values of a prepared folder; enough to encode new sessions."""

    def __init__(self, folder: Path, schema: Schema, items: pl.DataFrame, digest: str = "") -> None:
        self.folder, self.schema, self.items, self._digest = folder, schema, items, digest

    @classmethod
    def open(cls, folder: str | Path) -> Vocabulary:
        """Read ``schema.json``, ``items.parquet`` and ``vocabulary/`` of `folder`.

        Raises
        ------
        InputError
            if a file is missing or damaged.
        """
        folder = Path(folder)
        digest = ""
        if (folder / MANIFEST).is_file():  # a prepared folder has its checksums in the manifest
            digest = read_manifest(folder).digest
        else:
            check_seal(folder, REMEDY)
        schema = Schema.load(folder / "schema.json")
        of_items = [c.name for c in schema if c.scope == "item" and c.role != "item"]
        items = _table(folder / "items.parquet", "item_id", "item", "title", "count", *of_items)
        return cls(folder, schema, items, digest)

    @property
    def _same_data(self) -> AbstractContextManager[None]:
        """Refuses what the block reads from a prepared folder into which other data were prepared since it was opened.

        A run keeps its files.
        """
        return unchanged(self.folder, self._digest) if self._digest else nullcontext()

    def copy_to(self, folder: Path) -> None:
        """Copy the files into another folder, with their checksums."""
        import shutil

        folder.mkdir(parents=True, exist_ok=True)
        self.schema.save(folder / "schema.json")
        self.items.write_parquet(folder / "items.parquet")
        with self._same_data:
            shutil.copytree(self.folder / FOLDER, folder / FOLDER, dirs_exist_ok=True)
        seal(folder)

    def values(self, column: str) -> pl.DataFrame:
        """``id`` and ``value`` (as text) of a category column."""
        with self._same_data:
            return _table(self.folder / FOLDER / f"{column}.parquet", "id", "value")

    def titles(self, ids: Sequence[int] | NDArray[np.integer]) -> list[str]:
        """The title of each item id, or its raw id as text."""
        return [self._titles[i - 1] for i in np.asarray(ids)]

    def own_ids(self, ids: Sequence[int] | NDArray[np.integer]) -> list[object]:
        """The raw id of each item id."""
        return [self._raw_ids[i - 1] for i in np.asarray(ids)]

    @cached_property
    def _raw_ids(self) -> list[object]:
        return self.items["item"].to_list()

    @cached_property
    def _raw_texts(self) -> pl.Series:
        return self.items["item"].cast(pl.String)

    @cached_property
    def _titles(self) -> list[str]:
        return self.items.select(pl.coalesce("title", pl.col("item").cast(pl.String))).to_series().to_list()

    def item_table(self) -> Arrays:
        """Item features by item id: (I+1,), or (I+1, K) of multi-valued ones, padded with 0. Row 0 is padding."""
        table: Arrays = {}
        for column in self.schema:
            if column.scope != "item" or column.role == "item":
                continue
            series = self.items[column.name]
            if column.multi:
                table[column.name] = _padded(series)
            else:
                values = series.to_numpy()
                table[column.name] = np.concatenate([np.zeros(1, values.dtype), values])
        return table

    def read(self, path: str | Path) -> pl.DataFrame:
        """Read new sessions from a file. A file without a header is read by the options of the training data.

        Raises
        ------
        InputError
            for a file that can't be read, or whose columns have no names.
        """
        path, reading = Path(path), PrepareOptions.parse(self._session_options["reading"])
        try:
            table = read_file(path)
            named = table.text is None or (table.text[1].header and table.frame.width > 1)
        except NoHeader:
            named = False
            if reading == PLAIN:
                names = ",".join(c.source for c in self.schema if c.source)
                raise InputError(
                    path, "the first line is not a header", f"write one above it, such as {names}"
                ) from None
        return table.frame if named or reading == PLAIN else read_file(path, reading).frame

    def encode(self, events: Frame) -> Sessions:
        """Encode new events as sessions, by raw or canonical column names; a row may hold a whole session.

        Sessions are formed as in preparing: by the session column, else by user and the inactivity gap, if one was
        set; without either column all events are one session. They come in the order of their first rows. Events of
        unknown items are left out and counted in ``dropped``; a session without any known item stays, empty.
        Missing columns of the training data count as unknown, and are named in ``absent`` unless the events have no
        other column than the items.

        Raises
        ------
        InputError
            for a missing item column, or an unreadable time.
        """
        with refusing("sessions", "can't be read", "give ids as whole numbers or text"):
            return self._encode(events)

    def _encode(self, events: Frame) -> Sessions:
        frame = rename_histories(to_polars(events, "sessions"), [c.source for c in self.schema if c.source])
        table = RawTable(frame, where="sessions")
        columns = {*frame.columns}
        names = {c.name: n for c in self.schema if (n := _column_name(columns, c)) is not None}
        if "item_id" not in names:
            item_name = self.schema.item.source or "item_id"
            raise InputError("sessions", f"column {item_name!r} is missing", did_you_mean(item_name, frame.columns))
        keys = {role: names.get(f"{role}_id") for role in ("item", "session", "user")}
        options = PrepareOptions(**keys, gap_minutes=self._session_options["gap_minutes"])
        table = unroll(table, options, is_test=True)
        frame = table.frame
        log, ids = self._sessions(table, names)
        in_vocabulary = log.item > 0
        dropped = int((~in_vocabulary).sum())
        first = log.row[log.offsets[:-1]]  # kept for sessions without any known item
        log = log.keep_events(in_vocabulary)
        values: Arrays = {"item_id": log.item}
        context: Arrays = {}
        unknown: dict[str, int] = {}
        nothing = pl.Series([None], dtype=pl.String).new_from_index(0, len(frame))
        for column in self.schema.features[1:]:
            if column.scope != "item":
                name = names.get(column.name)
                stored, lost = self._encode_column(frame[name] if name else nothing, column)
                if name is not None and lost:
                    unknown[name] = lost
                if column.scope == "event":
                    values[column.name] = stored[log.row]
                else:
                    context[column.name] = stored[first]
        absent = self._absent(names, frame.columns) if len(columns) > 1 else ()
        return Sessions(values, log.offsets, np.ones(len(log), np.int32), context, ids, dropped, unknown, absent)

    def _absent(self, names: Collection[str], columns: Collection[str]) -> tuple[str, ...]:
        """Raw names of columns of training that `names` lack: sessions' ids, and features by event or session."""
        key = self.schema.by_role("session") or self.schema.by_role("user")
        keys = [key] if key is not None and not {"session_id", "user_id"} & {*names, *columns} else []
        features = [c for c in self.schema.features[1:] if c.scope != "item" and c.name not in names]
        return tuple(c.source or c.name for c in (*keys, *features))

    def _sessions(self, table: RawTable, names: dict[str, str]) -> tuple[Log, NDArray[np.object_]]:
        """Events with item ids (0: unknown) as sessions in the order of their first rows, and the sessions' ids."""
        frame, settings = table.frame, self._session_options
        session, user = names.get("session_id"), names.get("user_id")
        if session is None and "session_id" in frame.columns:
            session = "session_id"
        key = session or user
        keys = _names(frame[key]) if key else pl.Series(["0"], dtype=pl.String).new_from_index(0, len(frame))
        if keys.null_count():
            row = int(keys.is_null().arg_max() or 0)
            raise InputError(table.line(row), f"column {key!r} is empty", "fill it in")
        group, key_values = factorize(keys)
        time = None
        if (at := names.get("timestamp")) is not None:
            time = seconds(table, at, form_like(table, at, settings["time_form"]), "training").to_numpy()
        gap = settings["gap_minutes"] if session is None and time is not None else None
        item = self.item_ids(frame[names["item_id"]])
        log = find_sessions(group, item, time, len(frame), None if gap is None else gap * 60)
        if settings["drop_repeats"]:
            log = log.keep_events(~log.repeats() | (log.item == PADDING))
        order = np.argsort(np.minimum.reduceat(log.row, log.offsets[:-1]), kind="stable") if len(log) else log.group
        log = log.take(order)
        ids = key_values.gather(log.group)
        if log.number is not None:
            ids = ids + "#" + pl.Series(log.number).cast(pl.String)
        return log, ids.to_numpy()

    @cached_property
    def types(self) -> dict[str, ColumnType]:
        """Type of each raw column, by raw name."""
        with self._same_data:
            return load_types(self.folder / FOLDER)

    @cached_property
    def _session_options(self) -> Document:
        """The options by which events became sessions."""
        path = self.folder / FOLDER / SESSIONS
        try:
            with self._same_data:
                content: Document = read_json(path.read_text(encoding="utf-8"), str(path))
        except OSError:
            raise InputError(path, "is missing or damaged", REMEDY) from None
        return content

    def item_ids(self, values: pl.Series) -> NDArray[np.int32]:
        """Item ids of raw ids, (N,); 0 where unknown."""
        type = self.types[self.schema.item.source]
        return _look_up(texts(values, type), values, type, self._raw_texts, self.items["item_id"], PADDING)

    def value_ids(self, column: Column, values: pl.Series) -> NDArray[np.int32]:
        """Ids of a category's values, (N,); 1 where unknown or missing."""
        return self._categories(values, column)[0]

    def _categories(self, values: pl.Series, column: Column) -> tuple[NDArray[np.int32], int]:
        """Ids of a category's values, (N,), and the number of values that are present but unknown."""
        table = self.values(column.name)
        type = self.types[column.source]
        value_texts = texts(values, type)
        ids = _look_up(value_texts, values, type, table["value"], table["id"], UNKNOWN)
        present = (value_texts.is_not_null() & (value_texts != "")).to_numpy()
        return ids, int((present & (ids == UNKNOWN)).sum())

    def _encode_column(self, values: pl.Series, column: Column) -> tuple[NDArray[Any], int]:
        """A feature of new events, (N,), and the number of its values that are unknown categories or no numbers.

        Missing values become unknown (categorical) or the mean (continuous).
        """
        if column.kind == "categorical":
            return self._categories(values, column)
        type = self.types[column.source]
        parsed = numbers(values, type)
        floats = parsed.fill_null(np.nan).to_numpy()
        stored = np.where(np.isfinite(floats), (floats - column.mean) / column.std, 0.0)
        return stored.astype(np.float32), int(unreadable(values, parsed, type).sum())


def _table(path: Path, *columns: str) -> pl.DataFrame:
    try:
        frame = read_parquet(path)
    except (OSError, *REFUSALS):
        raise InputError(path, "is missing or damaged", REMEDY) from None
    lost = next((name for name in columns if name not in frame.columns), None)
    if lost is not None:
        raise InputError(path, f"has no column {lost!r}", REMEDY)
    return frame


def _look_up(
    texts: pl.Series, values: pl.Series, type: ColumnType, vocabulary: pl.Series, ids: pl.Series, default: int
) -> NDArray[np.int32]:
    """The id of each text, (N,); equal for equal values, whatever else is in the table.

    If training had texts, a number may stand with or without a point: 7 and 7.0 are the same.
    """
    result = _ids(texts, vocabulary, ids, default)
    if type.kind == "text" and values.dtype.is_numeric():
        whole = texts.str.ends_with(".0")
        alternative = pl.select(pl.when(whole).then(texts.str.strip_suffix(".0")).otherwise(texts + ".0")).to_series()
        result = np.where(result == default, _ids(alternative, vocabulary, ids, default), result)
    return result


def _ids(texts: pl.Series, vocabulary: pl.Series, ids: pl.Series, default: int) -> NDArray[np.int32]:
    used = vocabulary.is_in(texts.unique().implode())  # only these values get into the hash table
    result = texts.replace_strict(vocabulary.filter(used), ids.filter(used), default=default, return_dtype=pl.Int32)
    return result.to_numpy()


def _names(keys: pl.Series) -> pl.Series:
    """Ids of sessions or users as text; whole numbers stored as floats, because one is missing, have no point."""
    return texts(keys, ColumnType("integer")) if keys.dtype.is_float() else keys.cast(pl.String)


def _padded(lists: pl.Series) -> NDArray[np.int32]:
    """I lists as an array (I+1, longest), padded with 0; row 0 is padding."""
    lengths = np.concatenate([[0], lists.list.len().fill_null(0).to_numpy()]).astype(np.int64)
    table = np.full((len(lengths), max(int(lengths.max()), 1)), PADDING, np.int32)
    table[np.arange(table.shape[1]) < lengths[:, None]] = lists.explode(
        empty_as_null=False, keep_nulls=False
    ).to_numpy()
    return table


def _column_name(names: Collection[str], column: Column) -> str | None:
    """The raw or canonical name of `column` among `names`; None if neither is in it."""
    return next((n for n in (column.source, column.name) if n and n in names), None)
