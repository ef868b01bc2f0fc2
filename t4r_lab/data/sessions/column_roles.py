"""Roles and kinds of raw columns: roles from options or usual names, kinds inferred, ids checked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.data.read.column_types import Odd, infer_type, type_of
from t4r_lab.data.read.dialect import USUAL, is_value, normalize_name
from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.data.read.values import ColumnType, null_usual_words, texts
from t4r_lab.data.sessions.event_time import sole_datetime
from t4r_lab.spec.preparation import PrepareOptions

MANY_VALUES = 1000
"""Whole numbers with more distinct values than this are quantities, unless their name says otherwise."""
CODE_NAMES = ("id", "code", "category", "type", "class", "brand")
"""Endings of the names of whole numbers that are categories, however many values they have."""


@dataclass(frozen=True)
class Roles:
    """The raw names of the columns with a role; None where there is none."""

    item: str
    session: str | None
    time: str | None
    user: str | None

    @property
    def group(self) -> str:
        """The column whose rows belong together."""
        group = self.session or self.user
        assert group is not None
        return group

    def names(self) -> set[str]:
        """Names of the columns that have a role."""
        return {n for n in (self.item, self.session, self.time, self.user) if n is not None}


def find_roles(table: RawTable, options: PrepareOptions, test_is_given: bool = False) -> Roles:
    """Return the columns named by options, else by usual names. If `test_is_given`, splitting needs no time.

    Where a time is needed, the sole column of dates is taken if no name says which it is.

    Raises
    ------
    InputError
        for a column that is named but missing, or needed and not found, or ambiguous.
    """
    if (item := find(table, options.item, "item", options.ignore)) is None:
        raise InputError(
            table.where, f"no item column among {_column_list(table)}", _naming_remedy(table, "name it with --item")
        )
    taken = {n for n in (options.session, options.item, options.time, options.user, options.title) if n is not None}
    taken |= {*options.ignore, *options.targets}
    session, user = _session_and_user(table, options, taken)
    time = find(table, options.time, "time", taken)
    needs_time = (options.split == "time" and not test_is_given) or options.gap_minutes is not None
    if time is None and needs_time:
        ids = [name for name in (item, session, user) if name is not None]
        time = sole_datetime(table, {*taken, *ids}, [item] if session else ids)
    if time is None and needs_time:
        raise InputError(
            table.where,
            f"no time column among {_column_list(table)}",
            "name it with --time, or use --split leave_one_out for events that are in order",
        )
    roles = Roles(item, session, time, user)
    _check_roles(table, options, roles)
    return roles


def _session_and_user(
    table: RawTable, options: PrepareOptions, taken: Collection[str]
) -> tuple[str | None, str | None]:
    """The session and user columns, at least one; with an inactivity gap only the user column."""
    session, user = find(table, options.session, "session", taken), find(table, options.user, "user", taken)
    if options.gap_minutes is not None:
        if user is None:
            raise InputError(
                table.where,
                f"--gap-minutes cuts the events of a user, but there is no user column among {_column_list(table)}",
                "name it with --user",
            )
        if options.session is not None:
            raise InputError("", "gap_minutes and session both say what a session is", "give one")
        session = None
    if session is None and user is None:
        raise InputError(
            table.where,
            f"no session or user column among {_column_list(table)}",
            _naming_remedy(table, "name one with --session or --user"),
        )
    return session, user


def _check_roles(table: RawTable, options: PrepareOptions, roles: Roles) -> None:
    """Refuse a column with two roles, and a key that is also a label or a feature of another kind."""
    requested = [options.item, options.session, options.time, options.user]
    names = [name for name in (roles.item, roles.session, roles.time, roles.user) if name is not None]
    for name in names:
        if names.count(name) > 1 and name in requested:
            raise InputError(table.where, f"column {name!r} can't play two parts", "name a column for each", [name])
        if name in options.targets:
            raise InputError(
                table.where,
                f"column {name!r} is an id or the time of the events, and no label",
                "take it out of --targets",
                [name],
            )
        kind = "timestamp" if name == roles.time else "categorical"
        if options.kinds.get(name, kind) != kind:
            raise InputError(
                table.where,
                f"column {name!r} is {'the time of the events' if name == roles.time else 'an id'}, and no "
                f"{options.kinds[name]} feature",
                "take it out of --kinds",
                [name],
            )


def find(table: RawTable, requested: str | None, role: str, taken: Collection[str] = ()) -> str | None:
    """Return the `requested` column, else the one with a usual name of the role that isn't `taken`; None without any.

    Raises
    ------
    InputError
        if the requested column is missing, or several have usual names and none the first of them.
    """
    columns = table.frame.columns
    if requested is not None:
        if requested not in columns:
            raise InputError(
                table.where,
                f"column {requested!r} (--{role}) is missing",
                did_you_mean(requested, columns),
                [requested],
            )
        return requested
    usual = [normalize_name(name) for name in USUAL[role]]
    candidates = [c for c in columns if normalize_name(c) in usual and c not in taken]
    canonical = [c for c in candidates if normalize_name(c) == usual[0]]
    if len(canonical) == 1 or role == "title":
        return min(candidates, key=lambda c: usual.index(normalize_name(c)), default=None)
    if len(candidates) > 1:
        raise InputError(
            table.where,
            f"{' and '.join(map(repr, candidates))} could both be the {role} column",
            f"say which with --{role}",
            candidates,
        )
    return candidates[0] if candidates else None


def _column_list(table: RawTable) -> str:
    names = table.frame.columns
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _naming_remedy(table: RawTable, remedy: str) -> str:
    names = table.frame.columns
    if len(names) == 1 and not names[0].isidentifier():
        return "say what stands between them with --separator"
    if any(map(is_value, names)):
        return f"{remedy}, or give all names with --columns if the first line is not a header"
    return remedy


def check_names(options: PrepareOptions, events: RawTable, side_tables: Collection[RawTable]) -> None:
    """Refuse an option that names a column of no table."""
    columns = {c: table.where for table in (*side_tables, events) for c in table.frame.columns}
    for option in ("targets", "features", "ignore", "kinds", "scopes", "title"):
        names = getattr(options, option) or ()
        for name in [names] if isinstance(names, str) else names:
            if name not in columns:
                raise InputError(
                    events.where, f"column {name!r} is missing (--{option})", did_you_mean(name, columns), [name]
                )


def with_whole_ids(frame: pl.DataFrame, names: Collection[str]) -> pl.DataFrame:
    """Return the frame with decimals in the columns `names`, alone or in lists, as whole numbers if all of them are.

    >>> with_whole_ids(pl.DataFrame({"item": [[6.0], [7.0, None]], "user": [6.5, 7.0]}), ["item", "user"]).to_dicts()
    [{'item': [6], 'user': 6.5}, {'item': [7, None], 'user': 7.0}]
    """
    for name in names:
        values = frame[name]
        dtype = values.dtype.inner if isinstance(values.dtype, pl.List) else values.dtype
        if isinstance(dtype, (pl.Float32, pl.Float64)):
            flat = values.explode(empty_as_null=False, keep_nulls=False) if values.dtype.is_nested() else values
            if _is_whole(flat.drop_nulls()).all():
                frame = frame.with_columns(values.cast(pl.List(pl.Int64) if values.dtype.is_nested() else pl.Int64))
    return frame


def _is_whole(values: pl.Series) -> pl.Series:
    """True for decimals that are whole numbers, up to the largest that they hold exactly."""
    return values.is_finite() & (values == values.floor()) & (values.abs() <= 2**53)


def check_ids(table: RawTable, name: str, what: str) -> None:
    """Refuse ids that are neither whole numbers nor text, or missing on a row.

    Raises
    ------
    InputError
        naming the first such row.
    """
    values = table.frame[name]
    if values.dtype.is_float():
        broken = ~_is_whole(values).fill_null(False)
        row = int(broken.arg_max() or 0)
        value = "NaN or nothing" if values[row] is None or values[row] != values[row] else values[row]
        raise InputError(
            table.line(row),
            f"{what} column {name!r} holds decimal numbers or NaN ({value})",
            "use whole numbers or text on every row",
            [name],
        )
    if not (
        values.dtype.is_integer()
        or values.dtype == pl.Null
        or isinstance(values.dtype, (pl.String, pl.Categorical, pl.Enum, pl.Boolean))
    ):
        raise InputError(
            table.where, f"{what} column {name!r} holds {values.dtype}", "use whole numbers or text", [name]
        )
    if values.null_count():
        row = int(values.is_null().arg_max() or 0)
        raise InputError(table.line(row), f"column {name!r} has no {what}", "remove the row or fill it in", [name])


# ── Features ────────────────────────────────────────────────────────────────────────────────────

RESERVED = frozenset(
    ("session", "target_start", "item_id", "item", "title", "count", "timestamp", "session_id", "user_id")
)
"""Names of the fixed columns of prepared tables."""
DEVICES = frozenset(
    ("con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)))
)
"""File names that Windows refuses, whatever the ending."""
LONGEST_NAME = 200
"""Maximal bytes of a name; a file name may have 255 with its ending."""


class Names:
    """Unique names of features, valid as a file on any system, in a dotted path and as a module.

    >>> names = Names()
    >>> [names.give(name) for name in ("price.eur/unit", "count", "Size", "size", "con")]
    ['price_eur_unit', 'count_2', 'Size', 'size_2', 'con_2']
    """

    def __init__(self) -> None:
        self._number = dict.fromkeys((*RESERVED, *DEVICES), 1)
        """case-folded name → last number appended to it"""

    def give(self, name: str) -> str:
        """Return a name that differs from all earlier ones by more than case."""
        plain = re.sub(r"[^\w \-]", "_", name).strip() or "column"
        plain = _shortened(plain, LONGEST_NAME).strip()
        free, folded = plain, _folded(plain)
        number = self._number.get(folded, 0)
        while _folded(free) in self._number:
            number += 1
            free = f"{_shortened(plain, LONGEST_NAME - 8).strip()}_{number}"
        self._number[folded] = max(number, 1)
        self._number.setdefault(_folded(free), 1)
        return free


def _shortened(name: str, size: int) -> str:
    return name.encode()[:size].decode(errors="ignore")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


@dataclass(frozen=True)
class RawColumn:
    """A column as read: its values, their type, and the values that kept it from being numeric."""

    values: pl.Series
    type: ColumnType
    odd: Odd = ()


def read_column(name: str, table: RawTable, options: PrepareOptions) -> RawColumn:
    """Read a column that may be a feature or label; its type is inferred from all of its values.

    A column declared a category keeps its texts. The type of a label is inferred even then, since a word for a
    missing value is no class.
    """
    values, kind = table.frame[name], _requested_kind(name, table, options)
    if name not in table.raw or not isinstance(values.dtype, pl.String):
        return RawColumn(values, type_of(values, options.missing))
    if kind == "categorical" and name not in options.targets:
        return RawColumn(values, ColumnType("text", tuple(sorted(options.missing))))
    type, odd = infer_type(values, options.missing)
    if type.kind == "integer":
        return RawColumn(texts(values, type).cast(pl.Int64), type)
    if kind == "categorical" and type.kind == "number":
        return RawColumn(null_usual_words(values), ColumnType("text", type.missing))
    return RawColumn(values, type, odd if kind is None else ())


def _requested_kind(name: str, table: RawTable, options: PrepareOptions) -> str | None:
    return options.kinds.get(name) or table.kinds.get(name)


def kind_of(name: str, raw: RawColumn, different: int, table: RawTable, options: PrepareOptions) -> str:
    """Return the kind of a column, from option, header or values: categorical, continuous, timestamp or multi.

    `different` is the number of distinct values, needed for whole numbers only.
    """
    if (kind := _requested_kind(name, table, options)) is not None:
        return kind
    if isinstance(raw.values.dtype, (pl.List, pl.Array)):
        return "multi"
    if raw.type.kind == "time":
        return "continuous" if isinstance(raw.values.dtype, (pl.Duration, pl.Time)) else "timestamp"
    if raw.type.kind in ("number", "single"):
        return "continuous"
    if raw.type.kind == "integer" and different > MANY_VALUES and not normalize_name(name).endswith(CODE_NAMES):
        return "continuous"
    return "categorical"
