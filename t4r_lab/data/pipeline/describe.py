"""A prepared folder in words and small bars, for the terminal."""

from __future__ import annotations

from datetime import UTC, datetime

from t4r_lab.base.terminal import Lines, lines_of, table, wrapped
from t4r_lab.data.pipeline.split_checks import findings
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.data.prepared.profile_content import Profile
from t4r_lab.data.read.column_types import odd_words
from t4r_lab.schema.columns import Column

BARS = " ▁▂▃▄▅▆▇█"


def describe(dataset: Dataset) -> Lines:
    """Parts, columns, session lengths, popularity, what was left out, and the checks of the split."""
    profile = dataset.profile
    lines = [f"{dataset.path}  ({dataset.schema.n_items:,} items, digest {dataset.digest[:12]})", ""]
    if reading := profile["reading"]:
        lines += [*reading, ""]
    parts = [[n, *(f"{p[what]:,}" for what in ("sessions", "events", "items"))] for n, p in profile["parts"].items()]
    lines += [table(["part", "sessions", "events", "items"], parts, [1, 2, 3]), ""]
    lines += [table(["column", "role", "kind", "scope", ""], [_column(column) for column in dataset.schema])]
    lines += [wrapped(f"  {line}", 4) for line in as_text(profile)]
    return lines_of([*lines, *(wrapped(line, 20) for line in _figures(profile)), *_notes(profile)])


def _figures(profile: Profile) -> list[str]:
    """Lengths, popularity, times and repeats, a line each."""
    lengths = profile["lengths"]
    histogram = {int(k): v for k, v in lengths["histogram"].items()}
    counts = [histogram.get(n, 0) for n in range(min(histogram), max(histogram) + 1)]
    more = " and more" if lengths["last_is_longer"] else ""
    lines = [
        "",
        f"events per session  {spark(counts)}  {min(histogram)} to {max(histogram)}{more}, mean {lengths['mean']:.3g}",
    ]
    popularity = profile["popularity"]
    lines += [
        f"popularity          {spark([c for _, c in popularity['curve']])}  the top 1 % of items have "
        f"{popularity['top_1_percent_share']:.0%} of the events, Gini {popularity['gini']:.2f}"
    ]
    if time := profile["time"]:
        total = [sum(parts) for parts in zip(*time["events"].values(), strict=True)]
        in_words = "{:,g}".format if profile.get("time_form") == "order" else _day
        lines += [f"events over time    {spark(total)}  {in_words(time['edges'][0])} to {in_words(time['edges'][-1])}"]
    repeats = profile["checks"]
    lines += [
        f"repeated items      {repeats['repeat_share']:.1%} of a session's later events, "
        f"{repeats['consecutive_repeat_share']:.1%} right after each other"
    ]
    return lines


def _notes(profile: Profile) -> list[str]:
    """Dropped events and columns, and the checks of the split, a line each."""
    lines = ["", "left out", *(wrapped(f"  {line}", 4) for line in left_out(profile) or ["nothing"])]
    lines += ["", "checks of the split"]
    for finding in findings(profile):
        lines += [wrapped(f"  {finding.level:<8} {finding.words}", 11)]
        lines += [wrapped(f"{'':11}{finding.remedy}", 11)] if finding.remedy else []
    return lines


def left_out(profile: Profile) -> list[str]:
    """Events and columns that preparing dropped, a line each.

    >>> left_out({"left_out": {"rare_item_events": 1200, "repeats": 0}, "columns_left_out": {"note": "holds Object"}})
    ['1,200 rare item events', "column 'note': holds Object"]
    """
    dropped = [f"{n:,} {key.replace('_', ' ')}" for key, n in profile["left_out"].items() if n]
    return dropped + [f"column {name!r}: {why}" for name, why in profile["columns_left_out"].items()]


def as_text(profile: Profile) -> list[str]:
    """Columns that are text although nearly all values are numbers, with the values that are not.

    >>> as_text({"columns_as_text": {"age": [["old", 2]]}})[0].partition(";")[0]
    "column 'age' is text: nearly all values are numbers, but not 'old' (2)"
    """
    columns = profile["columns_as_text"].items()
    return [f"column {name!r} is text: {odd_words(tuple((v, n) for v, n in odd))}" for name, odd in columns]


def _column(column: Column) -> list[str]:
    detail = [f"{column.size:,} ids"] if column.size else []
    if column.kind == "continuous" and column.role == "feature":
        detail = [f"mean {column.mean:.3g}, deviation {column.std:.3g}"]
    detail += ["several per item"] if column.multi else []
    detail += [f"from {column.source}"] if column.source and column.source != column.name else []
    return [column.name, column.role, column.kind, column.scope, ", ".join(detail)]


def spark(values: list[int]) -> str:
    """A sparkline: one small bar for each value.

    >>> spark([0, 4, 8])
    ' ▄█'
    """
    top = max(max(values, default=0), 1)
    return "".join(BARS[min(-(-8 * v // top), 8)] for v in values)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
