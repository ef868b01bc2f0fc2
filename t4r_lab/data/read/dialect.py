"""Dialects of text files: separator and column names, by options or inferred from the first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from t4r_lab.base.errors import InputError
from t4r_lab.data.read.compression import open_text


class NoHeader(InputError):
    """Refusal of a file without a header whose columns no option names."""


SPACES = " "
"""One or more spaces or tabs, in `Dialect.separator`."""
WORDS = {"space": SPACES, "spaces": SPACES, "tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
"""Words for separators that a shell or a form would lose."""
csv.field_size_limit(2**31 - 1)  # fields of any length, as in polars
SHOWN_CHARACTERS = 60
"""Characters of a line that a message shows."""

USUAL = {
    "session": ("session_id", "session", "visit_id", "session_key"),
    "item": (
        "item_id",
        "item",
        "product_id",
        "product",
        "article_id",
        "movie_id",
        "track_id",
        "video_id",
        "sku",
        "asin",
        "parent_asin",
        "aid",
    ),
    "time": (
        "timestamp",
        "time",
        "event_time",
        "datetime",
        "date",
        "ts",
        "event_date",
        "event_timestamp",
        "created_at",
        "unix_timestamp",
        "unix_review_time",
    ),
    "user": ("user_id", "user", "visitor_id", "customer_id", "reviewer_id", "member_id"),
    "title": ("title", "item_title", "movie_title", "product_name", "product_title", "item_name", "name"),
}
"""Usual names of each role, compared without case and punctuation; the first is canonical and takes precedence."""
FORMS = {
    "i": r"\d{1,19}",  # a whole-number id
    "r": r"(10|\d)(\.\d)?",  # a rating
    "t": r"[1-4]?\d{9}(\d{3})?",  # seconds, or thousandths, since 1970
    "d": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*",
    "f": r"-?\d+(\.\d+)?",
    "x": r".*",
}
"""Patterns of fields, by letter."""
PUBLIC_FILES = (
    ("iirt", ("::", "\t"), ("user_id", "item_id", "rating", "timestamp")),  # MovieLens
    ("idix", (",",), ("session_id", "timestamp", "item_id", "category")),  # yoochoose-clicks.dat
    ("idiii", (",",), ("session_id", "timestamp", "item_id", "price", "quantity")),  # yoochoose-buys.dat
    ("idffi", ("\t",), ("user_id", "timestamp", "latitude", "longitude", "item_id")),  # Gowalla, Brightkite
    ("ii", (SPACES, "\t"), ("user_id", "item_id")),  # SASRec
)
"""Public data sets without a header: patterns of their fields, separators, column names."""


@dataclass(frozen=True)
class Dialect:
    """Separator, quoting and column names of a text file.

    `names` are the names for a file without a header, or instead of its header; None: the header's. `header` is True
    if there is one. `note` describes to the user what was recognized.
    """

    separator: str
    quote: str | None
    names: tuple[str, ...] | None = None
    header: bool = True
    note: str = ""

    @property
    def plain(self) -> bool:
        """True if the separator is one character, so that fields may be quoted."""
        return len(self.separator) == 1 and self.separator != SPACES

    @property
    def _quoting(self) -> Literal[0, 3]:
        return csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE

    def fields(self, line: str) -> list[str]:
        """Return the fields of a record on a single line."""
        if self.separator == SPACES:
            return line.split()
        if not self.plain:
            return line.rstrip("\r\n").split(self.separator)
        try:
            return next(csv.reader([line], delimiter=self.separator, quoting=self._quoting), [])
        except csv.Error:  # a carriage return within the line, which the reader of the file takes for its end
            return line.split(self.separator)

    def records(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """Iterate over header, if any, and records, with the number of their first line, skipping blank ones."""
        with open_text(path, newline="" if self.plain else None) as file:
            if not self.plain:
                yield from ((n, self.fields(line)) for n, line in enumerate(file, start=1) if line.strip())
                return
            reader, line = csv.reader(file, delimiter=self.separator, quoting=self._quoting), 1
            for row in reader:
                if any(field.strip() for field in row):
                    yield line, row
                line = reader.line_num + 1


def recognize(path: Path, head: Sequence[str], columns: Sequence[str] = (), separator: str | None = None) -> Dialect:
    """Return the dialect of a file, given its first nonblank lines.

    Parameters
    ----------
    columns, separator: options of the user; inferred if empty or None.

    Raises
    ------
    InputError
        for a file without a header or recognized columns, or if `columns` and fields differ in number.
    """
    delimiter = _detect_separator(head) if separator is None else WORDS.get(separator.lower(), separator) or SPACES
    dialect = Dialect(delimiter, None if {".inter", ".item", ".user"} & {*path.suffixes} else '"')
    first, *rest = [dialect.fields(line) for line in head]
    shown = head[0][:SHOWN_CHARACTERS] + ("…" if len(head[0]) > SHOWN_CHARACTERS else "")
    if columns:
        if len(columns) != len(first):
            raise InputError(
                path,
                f"--columns names {len(columns)} columns, but the first line has {len(first)} ({shown})",
                "name each, or say what stands between them with --separator",
            )
        return Dialect(delimiter, dialect.quote, tuple(columns), _is_header(first, rest))
    if not _is_data(first, rest):
        note = f"fields separated by {'spaces' if delimiter == SPACES else delimiter}" if not dialect.plain else ""
        return Dialect(delimiter, dialect.quote, note=note)
    names = _public_columns([first, *rest], delimiter)
    if names is None:
        example = f"--columns {','.join(_example_names(first))}"
        whole = delimiter == SPACES and all(field.isdigit() for row in (first, *rest) for field in row)
        lists = ", or read each line as a user and its items with --layout lines" if whole and len(first) > 2 else ""
        raise NoHeader(
            path,
            f"the first line looks like data ({shown})",
            f"name its {len(first)} columns, for example with {example}{lists}",
        )
    shown = (" " if delimiter in (SPACES, "\t") else delimiter).join(names)
    return Dialect(delimiter, dialect.quote, names, False, f"no header: columns taken as {shown}")


def _detect_separator(lines: Sequence[str]) -> str:
    """Infer the separator from the first lines."""
    first = lines[0]
    if "::" in first and len({line.count("::") for line in lines}) == 1:
        return "::"
    if any(c in first for c in "\t,;|"):
        return max("\t,;|", key=first.count)
    counts = {len(line.split()) for line in lines}
    return SPACES if len(counts) == 1 and counts != {1} else ","


# ── Is the first line a header? ─────────────────────────────────────────────────────────────────


def is_value(field: str) -> bool:
    """True for a number, date or time, which is no column name."""
    return re.fullmatch(r"[-+]?\d[\d.:TZ\s/+-]*", field.strip()) is not None


def _has_usual(fields: Sequence[str]) -> bool:
    return not {normalize_name(field.partition(":")[0]) for field in fields}.isdisjoint(
        normalize_name(n) for u in USUAL.values() for n in u
    )


def normalize_name(name: str) -> str:
    """Return a name in lower case without punctuation, to compare with usual names."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_data(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """True if the first line is a record: at least half of it values, as in the lines below, and no usual name.

    Numbers counting from 0 are the names that pandas gives to unnamed columns.
    """
    below = [[row[i] for row in rest if i < len(row) and row[i].strip()] for i in range(len(first))]
    values = sum(is_value(field) and all(map(is_value, column)) for field, column in zip(first, below, strict=True))
    filled = sum(bool(field.strip()) for field in first)
    if not values or 2 * values < filled or _has_usual(first):
        return False
    counting = [field for field in first if field]
    return not ((not first[0] or len(first) > 2) and counting == [str(i) for i in range(len(counting))])


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """True if the first line is a header that `columns` replaces: no values, above values."""
    if _has_usual(first):
        return True
    below = [[row[i] for row in rest if i < len(row)] for i in range(len(first))]
    return not any(map(is_value, first)) and any(column and all(map(is_value, column)) for column in below)


def _public_columns(rows: Sequence[Sequence[str]], separator: str) -> tuple[str, ...] | None:
    """The column names of a public data set, if every row matches its patterns; else None."""
    for forms, separators, names in PUBLIC_FILES:
        if separator in separators and all(_fits(row, forms) for row in rows):
            return names
    return None


def _fits(row: Sequence[str], forms: str) -> bool:
    return len(row) == len(forms) and all(re.fullmatch(FORMS[f], v) for f, v in zip(forms, row, strict=True))


def _example_names(first: Sequence[str]) -> list[str]:
    """Example names for a message: timestamp for the first time, then user, item and numbered columns."""
    names, ids = [], ["user_id", "item_id"]
    for number, field in enumerate(first, start=1):
        is_time = any(re.fullmatch(FORMS[form], field.strip()) for form in "td") and "timestamp" not in names
        names.append("timestamp" if is_time else ids.pop(0) if ids else f"column_{number}")
    return names
