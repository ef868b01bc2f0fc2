"""A prepared dataset at a glance: parts, columns and session lengths, as HTML."""

from __future__ import annotations

from collections.abc import Mapping

from t4r_lab.widgets.text import count, escape
from t4r_lab.widgets.views import DataSummary

LONGEST = 20
"""Sessions at least this long share the last bar."""


def profile(data: DataSummary) -> str:
    """The summary as HTML; every text from the data is escaped."""
    return (
        f'<div class="t4r-profile"><div>{_parts(data)}{_remarks(data)}</div>'
        f"<div>{histogram(data.lengths)}</div><div>{_columns(data)}</div></div>"
    )


def headline(data: DataSummary) -> str:
    """The dataset in a line, plain text."""
    return f"{data.name} · {count(data.sessions)} sessions · {count(data.schema.n_items)} items"


def _parts(data: DataSummary) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(
            f'<td class="t4r-number">{part[key]:,}</td>' if key in part else "<td></td>"
            for key in ("sessions", "events", "items")
        )
        + "</tr>"
        for name, part in data.parts.items()
    )
    return (
        '<table class="t4r-plain"><caption>Parts</caption><thead><tr><th scope="col">part</th><th scope="col" class="t4r-number">sessions</th>'
        f'<th scope="col" class="t4r-number">events</th><th scope="col" class="t4r-number">items</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _columns(data: DataSummary) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(c.name)}</th><td>{escape(c.role)}</td><td>{escape(c.kind)}</td><td>{escape(c.scope)}</td>'
        f'<td class="t4r-number">{count(c.size) if c.size else ""}</td></tr>'
        for c in data.schema
    )
    return (
        '<table class="t4r-plain"><caption>Columns</caption><thead><tr><th scope="col">column</th><th scope="col">role</th>'
        '<th scope="col">kind</th><th scope="col">by</th><th scope="col" class="t4r-number">ids</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _remarks(data: DataSummary) -> str:
    return "".join(f'<div class="t4r-help">{escape(remark)}</div>' for remark in data.remarks)


def histogram(lengths: Mapping[int, int]) -> str:
    """Bars of the number of sessions by length, the long ones together."""
    if not lengths:
        return ""
    bars = dict.fromkeys(range(min(min(lengths), LONGEST), min(max(lengths), LONGEST) + 1), 0)
    for length, sessions in lengths.items():
        bars[min(length, LONGEST)] += sessions
    width, height, base, top = 340, 150, 126, 26
    step, highest = (width - 8) / len(bars), max(bars.values())
    longest = max(lengths) > LONGEST
    parts = []
    for i, (length, sessions) in enumerate(bars.items()):
        tall = (base - top) * sessions / highest
        label = f"{length}+" if length == LONGEST and longest else str(length)
        parts.append(
            f'<rect class="t4r-visible" x="{4 + i * step:.1f}" y="{base - tall:.1f}" width="{max(step - 2, 1):.1f}" height="{tall:.1f}">'
            f"<title>{label} events: {sessions:,} sessions</title></rect>"
        )
        if i == 0 or i == len(bars) - 1 or (length % 5 == 0 and i < len(bars) - 2):
            parts.append(
                f'<text class="t4r-detail" x="{4 + (i + 0.5) * step:.1f}" y="{base + 16}" text-anchor="middle">{label}</text>'
            )
    total = sum(lengths.values())
    mean = sum(length * sessions for length, sessions in lengths.items()) / total
    words = f"Training sessions by length: {total:,} sessions, {mean:.1f} events on average, longest {max(lengths)}"
    return (
        f'<svg class="t4r-histogram" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words)}">'
        f'<text class="t4r-caption" x="4" y="12">Session length</text>'
        f'<text class="t4r-detail" x="{width - 4}" y="12" text-anchor="end">mean {mean:.1f} · longest {max(lengths):,} events</text>'
        f"{''.join(parts)}</svg>"
    )
