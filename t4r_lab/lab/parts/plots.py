"""Small plots of prepared data as SVG, colored by the notebook, each with a description."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from t4r_lab.data.prepared.profile_content import (
    CategoryFigures,
    LengthFigures,
    NumberFigures,
    PopularityFigures,
    TimeFigures,
)
from t4r_lab.lab.parts.text import count, escape, number

WIDTH, HEIGHT = 340, 184
LEFT, RIGHT, TOP, BASE = 42, 334, 48, 156
"""The frame of a plot; labels are outside."""
PARTS = {"train": "training", "valid": "validation", "test": "test"}


def lengths(figures: LengthFigures) -> str:
    """SVG: training sessions by length; the last bar holds all longer ones."""
    counts = {int(n): sessions for n, sessions in figures["histogram"].items()}
    if not counts:
        return ""
    lengths, highest = range(min(counts), max(counts) + 1), max(counts.values())
    step = (RIGHT - LEFT) / len(lengths)
    shapes = []
    for i, n in enumerate(lengths):
        label = f"{n}{' and more' if figures['last_is_longer'] and n == lengths[-1] else ''}"
        tall, x = (BASE - TOP) * counts.get(n, 0) / highest, LEFT + i * step
        shapes.append(_bar("train", x, BASE - tall, step, tall, f"{label} events: {counts.get(n, 0):,} sessions"))
    middle = len(lengths) // 2
    for i in sorted({0, middle, len(lengths) - 1} if len(lengths) > 4 else set(range(len(lengths)))):
        more = "+" if figures["last_is_longer"] and i == len(lengths) - 1 else ""
        shapes.append(text_at(LEFT + (i + 0.5) * step, BASE + 14, f"{lengths[i]}{more}", "middle"))
    quantiles = figures["quantiles"]
    detail = f"mean {number(figures['mean'])} · median {quantiles['0.5']} · longest {quantiles['1.0']:,}"
    words = f"Training sessions by number of events: {detail}, {sum(counts.values()):,} sessions"
    return svg("Session length", detail, words, [*_y_axis(highest), *shapes, x_title("events of a session")])


def popularity(figures: PopularityFigures) -> str:
    """SVG: training events of items by rank, both axes logarithmic; a straight line is a power law."""
    points = [(rank, events) for rank, events in figures["curve"] if events > 0]
    if not points:
        return ""
    wide, tall = (math.log10(max(p[i] for p in points)) or 1.0 for i in (0, 1))

    def x(rank: int) -> float:
        return LEFT + (RIGHT - LEFT) * math.log10(rank) / wide

    def y(events: int) -> float:
        return BASE - (BASE - TOP) * math.log10(events) / tall

    line = " ".join(f"{x(rank):.1f},{y(events):.1f}" for rank, events in points)
    shapes = [f'<polyline class="t4r-line-plot" points="{line}"/>']
    shapes += [
        f'<circle class="t4r-visible" cx="{x(rank):.1f}" cy="{y(events):.1f}" r="2.2"><title>item {rank:,}: {events:,} events</title></circle>'
        for rank, events in points
    ]
    for power in range(int(wide) + 1):
        shapes.append(text_at(x(10**power), BASE + 14, count(10**power), "middle"))
    for power in range(int(tall) + 1):
        shapes += [rule(y(10**power)), text_at(LEFT - 6, y(10**power) + 4, count(10**power), "end")]
    detail = f"top 1 % of items: {100 * figures['top_1_percent_share']:.0f} % of events · Gini {figures['gini']:.2f}"
    words = f"Events of the items in training, from the most frequent to the least: {points[0][1]:,} to {points[-1][1]:,}; {detail}"
    return svg("Item popularity", detail, words, [*shapes, x_title("rank of the item (both axes logarithmic)")])


def over_time(figures: TimeFigures, cuts: Mapping[str, float], dated: bool = True) -> str:
    """SVG: events over time as bars stacked by part; dashed lines at the times of the split.

    Times that aren't `dated` count from an unknown start, in an unknown unit.
    """
    edges, events = figures["edges"], figures["events"]
    parts = [part for part in PARTS if part in events]
    totals = [sum(events[part][i] for part in parts) for i in range(len(edges) - 1)]
    highest, span = max(*totals, 1), edges[-1] - edges[0]
    in_words = partial(_format_time, span=span) if dated else "{:,g}".format
    shapes, step = [], (RIGHT - LEFT) / len(totals)
    for i in range(len(totals)):
        top = float(BASE)
        says = ", ".join(f"{PARTS[part]} {events[part][i]:,}" for part in parts if events[part][i])
        for part in parts:
            tall = (BASE - TOP) * events[part][i] / highest
            top -= tall
            if tall:
                shapes.append(_bar(part, LEFT + i * step, top, step, tall, f"{in_words(edges[i])}: {says}"))
    for part, cut in cuts.items():
        if edges[0] < cut < edges[-1]:
            x = LEFT + (RIGHT - LEFT) * (cut - edges[0]) / span
            shapes.append(
                f'<line class="t4r-cut" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{BASE}"><title>{PARTS[part]} from {in_words(cut)}</title></line>'
            )
    shapes += [
        text_at(LEFT, BASE + 14, in_words(edges[0])),
        text_at(RIGHT, BASE + 14, in_words(edges[-1]), "end"),
    ]
    legend, at = [], float(LEFT)
    for part in parts:
        legend += [_bar(part, at, HEIGHT - 11, 9, 8, ""), text_at(at + 13, HEIGHT - 3, PARTS[part])]
        at += 24 + 6.2 * len(PARTS[part])
    began = {part: in_words(low) for part, (low, _) in figures["parts"].items()}
    words = f"Events over time, {in_words(edges[0])} to {in_words(edges[-1])}; " + ", ".join(
        f"{PARTS[part]} {sum(events[part]):,} events from {began[part]}" for part in parts
    )
    return svg("Events over time", f"{sum(totals):,} events", words, [*_y_axis(highest), *shapes, *legend])


def summary(column: CategoryFigures | NumberFigures) -> str:
    """SVG of a column's distribution: bars of its frequent values, or a box plot of its quantiles."""
    if column["kind"] == "categorical":
        top = column["top"]
        if not top or not top[0]:
            return ""
        step = 120 / max(len(top), 5)
        bars = (_bar("train", i * step, 15 - 14 * n / top[0], step, 14 * n / top[0], "") for i, n in enumerate(top))
        return f'<svg class="t4r-tiny" viewBox="0 0 120 16" aria-hidden="true">{"".join(bars)}</svg>'
    q = column.get("quantiles")
    if not q or q["0.95"] <= q["0.0"]:
        return ""
    low, middle, high = (2 + 116 * (q[key] - q["0.0"]) / (q["0.95"] - q["0.0"]) for key in ("0.25", "0.5", "0.75"))
    return (
        '<svg class="t4r-tiny" viewBox="0 0 120 16" aria-hidden="true">'
        f'<line class="t4r-arrow" x1="2" x2="118" y1="8" y2="8"/><rect class="t4r-visible" x="{low:.1f}" y="3" '
        f'width="{max(high - low, 1):.1f}" height="10"/>'
        f'<line class="t4r-median" x1="{middle:.1f}" x2="{middle:.1f}" y1="1" y2="15"/></svg>'
    )


def summary_words(column: CategoryFigures | NumberFigures) -> str:
    """A column's distribution in words.

    >>> summary_words({"kind": "categorical", "values": 2, "unknown_share": 0.0, "rows": 4, "top": [3, 1], "top_values": ["a", "b"]})
    'a (75 %), b (25 %)'
    >>> summary_words({"kind": "continuous", "quantiles": {"0.0": 1, "0.25": 2, "0.5": 3.5, "0.75": 4, "0.95": 8, "1.0": 9}})
    'median 3.50, middle half 2.00 to 4.00, 1.00 to 9.00 in all'
    """
    if column["kind"] != "categorical":
        q = {float(at): number(value) for at, value in (column.get("quantiles") or {}).items()}
        return f"median {q[0.5]}, middle half {q[0.25]} to {q[0.75]}, {q[0.0]} to {q[1.0]} in all" if q else "no values"
    rows = column["rows"]
    shown = [
        f"{name} ({100 * n / rows:.0f} %)"
        for name, n in list(zip(column["top_values"], column["top"], strict=False))[:3]
    ]
    if len(column["top"]) > 3:
        shown.append("…")
    if column["unknown_share"]:
        shown.append(f"missing ({100 * column['unknown_share']:.1f} %)")
    return ", ".join(shown) or "no values"


# ── pieces ──────────────────────────────────────────────────────────────────────────────────────


def svg(title: str, detail: str, words: str, shapes: Sequence[str]) -> str:
    """An SVG of WIDTH × HEIGHT from its shapes; `words` describe it to screen readers.

    `title` is markup and must be escaped.
    """
    return (
        f'<svg class="t4r-histogram" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(words)}">'
        f'<text class="t4r-caption" x="4" y="12">{title}</text>{text_at(4, 28, detail)}{"".join(shapes)}</svg>'
    )


def _bar(part: str, x: float, y: float, wide: float, tall: float, words: str) -> str:
    title = f"<title>{escape(words)}</title>" if words else ""
    return f'<rect class="t4r-part-{part}" x="{x + 0.5:.1f}" y="{y:.1f}" width="{max(wide - 1, 0.8):.1f}" height="{tall:.1f}">{title}</rect>'


def text_at(x: float, y: float, text: str, anchor: str = "start") -> str:
    """SVG of a text at (x, y) in pixels, escaped; `anchor` is start, middle or end."""
    return f'<text class="t4r-detail" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def rule(y: float) -> str:
    """SVG of a horizontal line over the plot's width, at y in pixels."""
    return f'<line class="t4r-rule" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _y_axis(highest: int) -> list[str]:
    """Lines at the bottom and the top of the plot, with their counts."""
    return [
        rule(BASE),
        rule(TOP),
        text_at(LEFT - 6, BASE + 4, "0", "end"),
        text_at(LEFT - 6, TOP + 4, count(highest), "end"),
    ]


def x_title(text: str) -> str:
    """SVG of the title of the horizontal axis."""
    return text_at((LEFT + RIGHT) / 2, HEIGHT - 3, text, "middle")


def _format_time(second: float, span: float) -> str:
    """A time as a date, with the time of day if the `span` in seconds is a few days.

    >>> _format_time(1e9, 1e7), _format_time(1e9, 3600)
    ('2001-09-09', '2001-09-09 01:46')
    """
    form = "%Y-%m-%d" if span > 4 * 86_400 else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(second, UTC).strftime(form)
