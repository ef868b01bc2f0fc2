"""The profile of prepared data as HTML: parts, checks of the split, plots and columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from t4r_lab.data.pipeline.split_checks import Finding
from t4r_lab.lab.parts import plots
from t4r_lab.lab.parts.text import count, escape, without_flags
from t4r_lab.lab.state.views import DataSummary
from t4r_lab.schema.columns import Column

ROLE_WORDS = {"target": "label"}
"""Role → its word, where it has another than in a schema."""
MARKS = {"ok": "✓", "note": "•", "warning": "⚠"}


def profile(data: DataSummary) -> str:
    """The summary as HTML; every text from the data is escaped."""
    return (
        f'<div class="t4r-profile"><div>{parts_table(data.parts)}{_remarks(data)}</div>'
        f'<div class="t4r-checks">{check_list(data.checks)}</div></div>'
        f'<div class="t4r-data-plots">{_plots(data)}</div>{_columns(data)}'
    )


def headline(data: DataSummary) -> str:
    """The dataset in one line of plain text."""
    return f"{data.name} · {count(data.sessions)} sessions · {count(data.schema.n_items)} items"


def parts_table(parts: Mapping[str, Mapping[str, int]]) -> str:
    """Sessions, events and items of each part as an HTML table."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(
            f'<td class="t4r-number">{part[key]:,}</td>' if key in part else "<td></td>"
            for key in ("sessions", "events", "items")
        )
        + "</tr>"
        for name, part in parts.items()
    )
    return (
        '<table class="t4r-plain"><caption>Parts</caption><thead><tr><th scope="col">part</th><th scope="col" class="t4r-number">sessions</th>'
        f'<th scope="col" class="t4r-number">events</th><th scope="col" class="t4r-number">items</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _remarks(data: DataSummary) -> str:
    return "".join(f'<div class="t4r-help">left out: {escape(remark)}</div>' for remark in data.remarks)


def check_list(checks: Sequence[Finding]) -> str:
    """A line for each check: its result and the remedy; the mark has a label for screen readers."""
    lines = "".join(
        f'<li class="t4r-{check.level}"><span role="img" aria-label="{check.level}">{MARKS[check.level]}</span>'
        f"<div>{escape(without_flags(check.words))}"
        + (f'<div class="t4r-help">{escape(without_flags(check.remedy))}</div>' if check.remedy else "")
        + "</div></li>"
        for check in checks
    )
    return f'<div class="t4r-heading">Checks of the split</div><ul>{lines}</ul>'


def _plots(data: DataSummary) -> str:
    """Every plot that the profile has figures for, and a note that names the missing ones."""
    figures = data.profile
    drawn = [
        plots.lengths(figures["lengths"]) if figures.get("lengths") else "",
        plots.popularity(figures["popularity"]) if figures.get("popularity") else "",
        plots.over_time(figures["time"], figures.get("cuts", {}), figures.get("time_form") != "order")
        if figures.get("time")
        else "",
    ]
    lacks = [
        name
        for name, svg in zip(("session lengths", "item popularity", "events over time"), drawn, strict=True)
        if not svg
    ]
    note = f'<div class="t4r-help">Not available for these data: {", ".join(lacks)}.</div>' if lacks else ""
    return "".join(f"<div>{svg}</div>" for svg in drawn if svg) + note


def _columns(data: DataSummary) -> str:
    rows = "".join(_column(column, data) for column in data.schema)
    return (
        '<div class="t4r-scroll" tabindex="0" role="region" aria-label="columns of the data"><table class="t4r-plain t4r-columns-table"><caption>Columns</caption>'
        '<thead><tr><th scope="col">column</th><th scope="col">role</th><th scope="col">kind</th><th scope="col">depends on</th>'
        '<th scope="col" class="t4r-number">values</th><th scope="col" colspan="2">what it holds</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _column(column: Column, data: DataSummary) -> str:
    values = data.profile.get("features", {}).get(column.name)
    size = data.schema.n_items if column.role == "item" else column.classes if column.size else 0
    picture, words = (plots.summary(values), plots.summary_words(values)) if values else ("", "")
    kind = "several values" if column.multi else column.kind
    return (
        f'<tr><th scope="row">{escape(column.name)}</th><td>{ROLE_WORDS.get(column.role, column.role)}</td><td>{kind}</td><td>{column.scope}</td>'
        f'<td class="t4r-number">{count(size) if size else ""}</td><td>{picture}</td><td>{escape(words)}</td></tr>'
    )
