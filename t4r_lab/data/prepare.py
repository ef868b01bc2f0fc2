"""Prepare: raw events become a folder of sessions. Everything runs in polars, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from t4r_lab.data.columns import Roles, check_items, find, find_roles, kind_of, seconds
from t4r_lab.data.dataset import PARTS, Dataset
from t4r_lab.data.profile import make_profile
from t4r_lab.data.readers import Source, Table, read_events, read_file
from t4r_lab.data.split import Split, split_sessions
from t4r_lab.data.vocabulary import FOLDER, encode_values, standardized, to_polars
from t4r_lab.data.write import check_target, written_whole
from t4r_lab.errors import InputError
from t4r_lab.report import OnReport, Progress, silent
from t4r_lab.schema import UNKNOWN, Column, Schema
from t4r_lab.spec.prepare import PrepareOptions

__all__ = ["PrepareOptions", "prepare"]

SESSION, ITEM, TIME, ROW, ID = "·session", "·item", "·time", "·row", "·id"
"""Internal names, which no user's column has."""


RESERVED = ("item_id", "session_id", "user_id", "timestamp", "session", "target_start")


@dataclass
class Feature:
    """A column to be kept: where it was found and what it depends on."""

    name: str
    kind: str
    scope: str
    role: str = "feature"


@dataclass
class Raw:
    """Events with internal columns, the item and user tables beside them, and what was left out on the way."""

    events: pl.DataFrame
    items: pl.DataFrame
    features: list[Feature]
    title: str | None
    left_out: dict[str, int] = field(default_factory=dict)


def prepare(
    events: Source | Sequence[str | Path],
    out: str | Path,
    options: PrepareOptions | None = None,
    *,
    test: Source | Sequence[str | Path] | None = None,
    items: Source | None = None,
    users: Source | None = None,
    on_report: OnReport = silent,
) -> Dataset:
    """Turn raw events into a prepared folder and open it.

    Parameters
    ----------
    events: files or a data frame, one row per event. RecBole's ``.inter`` brings its ``.item`` and ``.user``.
    out: folder to write; prepared data that stands there is replaced, anything else is refused.
    test: events of a given test part; then only validation is split off `events`.
    items, users: tables of attributes, joined by the item or user column.

    Raises
    ------
    InputError
        for whatever the user can mend; nothing half-written is left behind.
    """
    options, out = options or PrepareOptions(), Path(out)
    check_target(out)
    on_report(Progress("reading events", 0, 5, "stages"))
    table = read_events(events, options.layout)
    given = read_events(test, options.layout) if test is not None else None
    roles = find_roles(table, options)
    on_report(Progress("finding sessions", 1, 5, "stages"))
    raw = _raw(table, given, roles, options, *_side_tables(events, items, users))
    on_report(Progress("splitting", 2, 5, "stages"))
    split = split_sessions(raw.events, options, given is not None, raw.left_out)
    on_report(Progress("encoding", 3, 5, "stages"))
    with written_whole(out, options.split if given is None else "given") as folder:
        schema = _write(folder, raw, split, roles, options)
        on_report(Progress("profiling", 4, 5, "stages"))
        make_profile(folder, schema, split, raw.left_out, options)
    on_report(Progress("profiling", 5, 5, "stages"))
    return Dataset.open(out)


# ── events ──────────────────────────────────────────────────────────────────────────────────────


def _side_tables(events: Any, items: Source | None, users: Source | None) -> tuple[Table | None, Table | None]:
    """Attribute tables, given or standing beside a RecBole file."""
    found: list[Table | None] = []
    for source, ending in ((items, ".item"), (users, ".user")):
        beside = Path(events).with_suffix(ending) if isinstance(events, (str, Path)) else None
        if source is None and beside is not None and Path(events).suffix == ".inter" and beside.is_file():
            source = beside
        if source is None:
            found.append(None)
        elif isinstance(source, (str, Path)):
            found.append(read_file(Path(source)))
        else:
            found.append(Table(to_polars(source), where=f"{ending[1:]}s"))
    return found[0], found[1]


def _raw(
    table: Table, given: Table | None, roles: Roles, options: PrepareOptions, items: Table | None, users: Table | None
) -> Raw:
    frame = _checked(table, roles)
    if given is not None:
        if missing := [c for c in table.frame.columns if c not in given.frame.columns]:
            raise InputError(f"{given.where}: column {missing[0]!r} is missing; the test part needs the same columns")
        other = _checked(given, roles).select(frame.columns)
        frame = pl.concat(
            [frame.with_columns(given=pl.lit(False)), other.with_columns(given=pl.lit(True))], how="vertical_relaxed"
        )
        frame = frame.rename({"given": "·given"})
    else:
        frame = frame.with_columns(pl.lit(False).alias("·given"))
    frame = frame.with_row_index(ROW)
    frame = _with_sessions(frame, roles, options)
    if options.drop_repeats:
        before = len(frame)
        frame = frame.filter(
            (pl.col(ITEM) != pl.col(ITEM).shift(1)).fill_null(True) | (pl.col(SESSION) != pl.col(SESSION).shift(1))
        )
        repeats = before - len(frame)
    kept = Raw(frame, pl.DataFrame(), [], None, {"repeats": repeats} if options.drop_repeats else {})
    _describe_columns(kept, table, roles, options, items, users)
    return kept


def _checked(table: Table, roles: Roles) -> pl.DataFrame:
    """The raw frame with checked item and time columns."""
    check_items(table, roles.item)
    frame = table.frame.with_columns(pl.col(roles.item).alias(ITEM))
    for name in (roles.session, roles.user):
        if name is not None and table.frame[name].null_count():
            row = int(table.frame[name].is_null().arg_max() or 0)
            raise InputError(f"{table.line(row)}: column {name!r} is empty; remove the row or fill it in")
    return frame.with_columns(
        (seconds(table, roles.time) if roles.time else pl.Series([0.0]).new_from_index(0, len(frame))).alias(TIME)
    )


def _with_sessions(frame: pl.DataFrame, roles: Roles, options: PrepareOptions) -> pl.DataFrame:
    """Sorted by session, time and place in the file, with the session's key; test sessions are apart."""
    group = roles.session or roles.user
    assert group is not None
    frame = frame.sort("·given", group, TIME, ROW)
    if roles.session is None and options.gap_minutes is not None:
        new = (pl.col(group) != pl.col(group).shift(1)) | (
            pl.col(TIME) - pl.col(TIME).shift(1) > options.gap_minutes * 60
        )
        new = (new | (pl.col("·given") != pl.col("·given").shift(1))).fill_null(True)
        frame = frame.with_columns(new.cum_sum().alias(SESSION))
        first = pl.col(SESSION).min().over(group)
        name = pl.concat_str(
            [pl.col(group).cast(pl.String), (pl.col(SESSION) - first + 1).cast(pl.String)], separator="#"
        )
        return frame.with_columns(name.alias("·name"))
    new = (pl.col(group) != pl.col(group).shift(1)) | (pl.col("·given") != pl.col("·given").shift(1))
    return frame.with_columns(
        new.fill_null(True).cum_sum().alias(SESSION), pl.col(group).cast(pl.String).alias("·name")
    )


def _describe_columns(
    raw: Raw, table: Table, roles: Roles, options: PrepareOptions, items: Table | None, users: Table | None
) -> None:
    """Decide which columns are kept, their kinds and what they depend on; joins the user table."""
    special = {roles.item, roles.session, roles.time, roles.user}
    raw.title = find(table, options.title, "title")
    frame = raw.events
    names = [c for c in table.frame.columns if c not in special and c != raw.title and c not in options.ignore]
    if options.features is not None:
        names = [c for c in names if c in options.features or c in options.targets]
    by_item, by_session = _constant(frame, ITEM, names), _constant(frame, SESSION, names)
    for name in names:
        kind = kind_of(name, frame[name], table, options)
        if kind == "multi" and name not in by_item:
            raise InputError(
                f"{table.where}: column {name!r} holds lists per event; join them into one value, or --ignore {name}"
            )
        if name in RESERVED:
            raise InputError(
                f"{table.where}: column {name!r} has a name that prepared data needs; rename it or --ignore {name}"
            )
        target = name in options.targets
        scope = "session" if name in by_session else "item" if name in by_item and not target else "event"
        raw.features.append(Feature(name, kind, scope, "target" if target else "feature"))
    if users is not None and roles.user is not None and roles.session is None and options.gap_minutes is None:
        raw.events = _join_users(raw, users, roles.user, options)
    wanted = [f.name for f in raw.features if f.scope == "item"]
    title = [raw.title] if raw.title else []
    raw.items = frame.sort(ROW).group_by(ITEM, maintain_order=True).agg(pl.col(n).last() for n in [*wanted, *title])
    if items is not None:
        _join_items(raw, items, roles.item, options)


def _constant(frame: pl.DataFrame, key: str, names: list[str]) -> set[str]:
    """Columns that have one value per `key`, where some key has several events."""
    plain = [n for n in names if not isinstance(frame.schema[n], pl.List)]
    lists = {n for n in names if n not in plain}
    if not names or frame[key].n_unique() == len(frame):
        return lists
    same = frame.group_by(key).agg(
        (pl.col(n).min().eq_missing(pl.col(n).max()) & (pl.col(n).is_null().any() == pl.col(n).is_null().all())).alias(
            n
        )
        for n in plain
    )
    return lists | {n for n in plain if same[n].all()}


def _join_users(raw: Raw, users: Table, user: str, options: PrepareOptions) -> pl.DataFrame:
    key = find(users, user if user in users.frame.columns else None, "user")
    if key is None:
        raise InputError(f"{users.where}: no user column among {', '.join(users.frame.columns)}; name it like {user!r}")
    names = _wanted(users, key, raw, options)
    frame = users.frame.unique(key, keep="last", maintain_order=True).select(
        pl.col(key).alias("·key").cast(raw.events.schema[user]), *names
    )
    for name in names:
        raw.features.append(Feature(name, kind_of(name, frame[name], users, options), "session"))
    return raw.events.join(frame, left_on=user, right_on="·key", how="left", maintain_order="left")


def _join_items(raw: Raw, items: Table, item: str, options: PrepareOptions) -> None:
    key = find(items, item if item in items.frame.columns else None, "item")
    if key is None:
        raise InputError(f"{items.where}: no item column among {', '.join(items.frame.columns)}; name it like {item!r}")
    title = find(items, options.title if options.title in items.frame.columns else None, "title")
    names = [n for n in _wanted(items, key, raw, options) if n != title]
    dtype = raw.items.schema[ITEM]
    frame = items.frame.unique(key, keep="last", maintain_order=True).select(
        pl.col(key).cast(dtype, strict=False).alias(ITEM), *names, *([title] if title else [])
    )
    for name in names:
        raw.features.append(Feature(name, kind_of(name, frame[name], items, options), "item"))
    if title:
        if isinstance(frame.schema[title], pl.List):
            frame = frame.with_columns(pl.col(title).list.join(" "))
        if raw.title and raw.title in raw.items.columns:
            raw.items = raw.items.drop(raw.title)
        raw.title = title
    raw.items = raw.items.join(frame, on=ITEM, how="left", maintain_order="left")


def _wanted(table: Table, key: str, raw: Raw, options: PrepareOptions) -> list[str]:
    """Columns of a side table that are features and not there yet."""
    known = {f.name for f in raw.features}
    names = [c for c in table.frame.columns if c != key and c not in known and c not in options.ignore]
    return names if options.features is None else [n for n in names if n in options.features]


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def _write(folder: Path, raw: Raw, split: Split, roles: Roles, options: PrepareOptions) -> Schema:
    """Vocabularies, items, parts and schema."""
    (folder / FOLDER).mkdir()
    train, everything = split.events.filter(pl.col("·part") == 0), split.events
    counts = train.group_by(ITEM).agg(pl.len().alias("count"), pl.col(ROW).min().alias("first"))
    if options.keeps_unseen:
        unseen = everything.join(counts, on=ITEM, how="anti").group_by(ITEM).agg(pl.col(ROW).min().alias("first"))
        counts = pl.concat([counts, unseen.with_columns(pl.lit(0, pl.UInt32).alias("count"))], how="diagonal_relaxed")
    counts = (
        counts.sort("count", "first", descending=[True, False]).with_row_index("item_id", 1).cast({"item_id": pl.Int32})
    )
    items = counts.select("item_id", ITEM, "count").join(raw.items, on=ITEM, how="left", maintain_order="left")
    columns, expressions = [_item_column(len(items), roles)], [pl.col(ID).alias("item_id")]
    in_items: list[pl.Expr] = []
    for feature in raw.features:
        source = items if feature.scope == "item" else train
        column, expression = _encode(folder, feature, source)
        columns.append(column)
        (in_items if feature.scope == "item" else expressions).append(expression)
    title = pl.col(raw.title).cast(pl.String) if raw.title and raw.title in items.columns else pl.lit(None, pl.String)
    items.select(
        "item_id", pl.col(ITEM).alias("item"), title.alias("title"), pl.col("count").cast(pl.Int64), *in_items
    ).write_parquet(folder / "items.parquet")
    if roles.time:
        columns.append(Column(name="timestamp", kind="timestamp", role="time", source=roles.time))
        expressions.append(pl.col(TIME).alias("timestamp"))
    schema = Schema(columns=(*columns, *_key_columns(roles)))
    schema.save(folder / "schema.json")
    encoded = everything.join(
        counts.select(ITEM, pl.col("item_id").alias(ID)), on=ITEM, how="inner", maintain_order="left"
    )
    encoded = encoded.select(SESSION, "·name", "·part", *expressions)
    lists = [c.name for c in schema if c.name in encoded.columns and c.scope == "event"]
    scalars = [c.name for c in schema if c.name in encoded.columns and c.scope == "session"]
    _write_parts(folder, encoded, lists, scalars, options, split)
    return schema


def _write_parts(
    folder: Path, encoded: pl.DataFrame, lists: list[str], scalars: list[str], options: PrepareOptions, split: Split
) -> None:
    sessions = encoded.group_by(SESSION, maintain_order=True).agg(
        pl.col("·name").first().alias("session"), pl.col("·part").first(), *(pl.col(n).first() for n in scalars), *lists
    )
    length = pl.col("item_id").list.len().cast(pl.Int32)
    for number, part in enumerate(PARTS):
        if split.leave_one_out:
            long = sessions.filter(length >= 3) if number else sessions.filter(length >= 2)
            less = pl.when(length >= 3).then(2 - number).otherwise(0)
            start = (length - 2 + (number - 1)) if number else pl.lit(1, pl.Int32)
            rows = long.with_columns(
                start.cast(pl.Int32).alias("target_start"), *(pl.col(n).list.head(length - less) for n in lists)
            )
        else:
            rows = sessions.filter((pl.col("·part") == number) & (length >= options.min_session_length))
            rows = rows.with_columns(pl.lit(1, pl.Int32).alias("target_start"))
        if rows.is_empty():
            raise InputError(f"the {part} part is empty; {split.remedy(part)}")
        rows.select("session", "target_start", *scalars, *lists).write_parquet(
            folder / f"{part}.parquet", statistics=False
        )


def _item_column(n_items: int, roles: Roles) -> Column:
    return Column(name="item_id", kind="categorical", role="item", source=roles.item, size=n_items + 1)


def _key_columns(roles: Roles) -> list[Column]:
    """Session and user columns by their source names, so that new events can be read alike."""
    columns = []
    if roles.session:
        columns.append(
            Column(name="session_id", kind="categorical", role="session", scope="session", source=roles.session)
        )
    if roles.user:
        columns.append(Column(name="user_id", kind="categorical", role="user", scope="session", source=roles.user))
    return columns


def _encode(folder: Path, feature: Feature, source: pl.DataFrame) -> tuple[Column, pl.Expr]:
    """The column of the schema and the expression that makes its stored values; fitted on training data."""
    name, values = feature.name, pl.col(feature.name)
    base: dict[str, Any] = {"name": name, "role": feature.role, "scope": feature.scope, "source": name}
    if feature.kind == "continuous":
        mean, std = 0.0, 1.0
        if feature.role != "target":
            numbers = source.select(values.cast(pl.Float64, strict=False).fill_nan(None)).to_series()
            mean, std = _number(numbers.mean(), 0.0), _number(numbers.std(), 1.0) or 1.0
        return Column(kind="continuous", mean=mean, std=std, **base), standardized(values, mean, std).alias(name)
    if feature.kind == "timestamp":
        _ = seconds(Table(source.select(name), where=name), name)
        return Column(kind="timestamp", **base), values.cast(pl.Datetime("us"), strict=False).dt.epoch("us").truediv(
            1e6
        ).alias(name)
    texts = source.select(values).to_series()
    multi = feature.kind == "multi"
    if multi:
        texts = texts.list.explode(empty_as_null=False, keep_nulls=False) if hasattr(texts, "list") else texts
    counted = (
        texts.cast(pl.String).drop_nulls().value_counts(sort=False, name="n").sort("n", name, descending=[True, False])
    )
    table = counted.select(pl.col(name).alias("value")).filter(pl.col("value") != "").with_row_index("id", UNKNOWN + 1)
    table = table.select(pl.col("id").cast(pl.Int32), "value")
    table.write_parquet(folder / FOLDER / f"{name}.parquet")
    column = Column(kind="categorical", size=len(table) + UNKNOWN + 1, multi=multi, **base)
    if multi:
        return column, values.list.eval(encode_values(pl.element(), table)).fill_null([]).alias(name)
    return column, encode_values(values, table).alias(name)


def _number(value: Any, default: float) -> float:
    return float(value) if value is not None and value == value else default
