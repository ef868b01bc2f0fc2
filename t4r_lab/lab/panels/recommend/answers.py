"""Answers and cases of the Recommend panel, as HTML and as rows of a table; every text from data escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from t4r_lab.lab.parts.table import Cell, Heading
from t4r_lab.lab.parts.text import escape, number
from t4r_lab.lab.state.views import NextItems, RunSummary
from t4r_lab.runs.analyze import Case, Cases
from t4r_lab.runs.recommend import Item


def answers(runs: Sequence[RunSummary], by_run: Mapping[str, NextItems], case: Case | None) -> str:
    """HTML: a column of next items per run, the bars on one scale; `by_run` maps run ids to answers."""
    largest = max((p for a in by_run.values() for _, p in a.items), default=1.0)
    columns = "".join(_answer(run, by_run[run.run_id], case, largest) for run in runs)
    came = ""
    if case is not None:
        came = (
            f'<p class="t4r-help">Session {escape(case.session)}. Came next: <b>{escape(case.target.title)}</b>, ranked '
            f"{case.rank:,g} by {escape(runs[0].name)}, {case.other:,g} by {escape(case.against)}.</p>"
        )
    return f'{came}<div class="t4r-answers">{columns}</div>'


def _answer(run: RunSummary, answer: NextItems, case: Case | None, largest: float) -> str:
    rows = "".join(_row(i, item, p, case, largest) for i, (item, p) in enumerate(answer.items, 1))
    note = f'<p class="t4r-help">{escape(answer.note)}.</p>' if answer.note else ""
    return (
        f'<section class="t4r-answer"><div class="t4r-heading">{escape(run.label)}</div>{note}'
        f'<table class="t4r-plain" aria-label="next items by {escape(run.label)}"><thead><tr><th scope="col" class="t4r-number">rank</th>'
        '<th scope="col">item</th><th scope="col" class="t4r-number">probability</th><th scope="col" aria-label="bar"></th>'
        f"</tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _row(rank: int, item: Item, probability: float, case: Case | None, largest: float) -> str:
    hit = case is not None and item.id == case.target.id
    id = f'<div class="t4r-under">{escape(item.id)}</div>' if item.id != item.title else ""
    mark = ' <span class="t4r-state t4r-running">came next</span>' if hit else ""
    width = 100 * probability / largest if largest else 0.0
    return (
        f'<tr{" class=t4r-chosen" if hit else ""}><td class="t4r-number">{rank}</td><th scope="row">{escape(item.title)}{mark}{id}</th>'
        f'<td class="t4r-number">{percent(probability)}</td>'
        f'<td class="t4r-share"><div style="width:{width:.1f}%"></div></td></tr>'
    )


def percent(share: float) -> str:
    """A probability as percent.

    >>> percent(0.1234), percent(0.00012), percent(0.0)
    ('12.3 %', '0.0120 %', '0 %')
    """
    return f"{number(100 * share)} %"


def key(case: Case) -> str:
    """The table key of a case: row and position."""
    return f"{case.row}:{case.position}"


def headings(cases: Cases) -> list[Heading]:
    """Columns of the table of cases."""
    return [
        Heading("session", "session"),
        Heading("before", "last items"),
        Heading("next", "came next"),
        Heading("rank", f"rank by {cases.run}", number=True, help="rank of the next item by the run"),
        Heading("other", f"rank by {cases.other}", number=True, help="its rank by the other run or baseline"),
    ]


def case_cells(case: Case) -> list[Cell]:
    """The row of a case, in the order of `headings`."""
    before = " → ".join(item.title for item in case.items[-3:])
    return [
        Cell(case.session, case.session),
        Cell(before if len(case.items) <= 3 else f"… → {before}", before),
        Cell(case.target.title, case.target.title, under=case.target.id if case.target.id != case.target.title else ""),
        Cell(f"{case.rank:,g}", case.rank),
        Cell(f"{case.other:,g}", case.other),
    ]
