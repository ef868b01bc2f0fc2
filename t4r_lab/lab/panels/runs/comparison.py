"""Comparison of the ticked runs: sentences first, then differences, metrics and plots."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Container, Mapping, Sequence
from mimetypes import guess_type
from pathlib import Path

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.families.metrics.metric_table import is_available, is_paired, is_ranked
from t4r_lab.lab.panels.runs.analysis_figures import Style, draw, in_order, ranking
from t4r_lab.lab.parts.figures import Drawn, Plot
from t4r_lab.lab.parts.text import error_text, escape, message, number
from t4r_lab.lab.parts.theme import Theme
from t4r_lab.lab.state.background import Background, Result
from t4r_lab.runs.analyze import Analysis
from t4r_lab.runs.compared.differences import Difference

ORDER = ("bars", "metric", "loss", "lengths", "popularity", "reliability", "knobs")
WIDE = ("knobs",)
SENTENCES = 5
"""Further sentences of a group are folded away."""
Request = tuple[tuple[str, ...], str]
"""Ids of the runs to compare, and the metric."""


class ComparisonView(w.VBox):
    """An analysis of one or more runs beside their baselines. State: `analysis`, `drawn`, `doing`, `error`."""

    analysis = tr.Instance(Analysis, allow_none=True)
    drawn: tr.Dict[str, Drawn] = tr.Dict()
    doing = tr.Unicode("")
    error = tr.Unicode("")

    files: tr.Dict[str, bytes] = tr.Dict()
    """name → content of what was exported"""

    def __init__(self, on_export: Callable[[], None] = lambda: None) -> None:
        self._message, self._sentences, self._figures, self._differing = w.HTML(), w.HTML(), w.HTML(), w.HTML()
        self.export = w.Button(
            description="Export", tooltip="this comparison as CSV, PNG, or a report in one HTML file"
        )
        self.export.on_click(lambda _: on_export())
        self._files = w.HTML()
        line = w.HBox([self.export, self._files])
        line.add_class("t4r-actions-bar")
        self._differing.add_class("t4r-wide")
        self.plots: dict[str, Plot] = {}
        self._parts = w.VBox()
        self._parts.add_class("t4r-plots")
        self.body = w.VBox([self._sentences, line, self._parts])
        super().__init__([self._message, self.body])
        self.add_class("t4r-comparison")
        self._show()

    @tr.observe("doing", "error", "analysis")
    def _show(self, change: tr.Bunch | None = None) -> None:
        text = message("error", self.error) if self.error else message("loading", self.doing)
        self._message.value = text
        self.body.layout.display = "" if self.analysis is not None else "none"
        if self.analysis is not None and (change is None or change["name"] == "analysis"):
            self._sentences.value = sentences(self.analysis)
            self._figures.value = figures(self.analysis)
            self._differing.value = differing(self.analysis) if len(self.analysis.labels) > 1 else ""

    @tr.observe("files")
    def _offer(self, change: tr.Bunch) -> None:
        self._files.value = links(self.files)

    @tr.observe("drawn")
    def _draw(self, change: tr.Bunch | None = None) -> None:
        """Give the plots new content in place, so that nothing moves when the theme changes."""
        for name, drawn in in_order(self.drawn, ORDER):
            if name not in self.plots:
                self.plots[name] = Plot()
                if name in WIDE:
                    self.plots[name].add_class("t4r-wide")
            self.plots[name].show(drawn)
        plots = [self.plots[name] for name, _ in in_order(self.drawn, ORDER)]
        self._parts.children = [*plots[:1], self._figures, *plots[1:3], self._differing, *plots[3:]]


class ComparisonController:
    """Controller of a `ComparisonView` of the ticked runs; the work is done on threads."""

    def __init__(self, home: Path, background: Background, theme: Theme) -> None:
        self.home, self.background, self.theme = home, background, theme
        self.view = ComparisonView(self._export)
        self._request: Request = ((), "")
        self.numbers: dict[str, int] = {}
        """run id → the number of its color, kept while the Lab lives"""
        theme.observe(lambda _: self._draw(), "colors")

    def compare(self, runs: Sequence[str], metric: str) -> None:
        """Compare `runs` by `metric` if it allows pairing, else by the monitored metric of the first run."""
        request = (tuple(runs), metric)
        if request == self._request:
            return
        one, was_one = len(runs) == 1, len(self._request[0]) == 1
        self._request, self.view.error = request, ""
        if not runs or one or was_one:  # a run's page never shows the figures of others
            self.view.analysis, self.view.doing = None, ""
        if not runs:
            return
        runs_text = f"Comparing {len(runs)} runs" if len(runs) > 1 else "Comparing the run with its baselines"
        self.view.doing = f"{runs_text}, sessions drawn again 2,000 times …"
        self.background.run(
            self._work(request), self._if_latest(request, self._done), self._if_latest(request, self._failed)
        )

    def _work(self, request: Request) -> Callable[[], tuple[Analysis, dict[str, Drawn]]]:
        from t4r_lab.lab.state import source

        runs, metric = request
        for run in runs:
            self.numbers.setdefault(run, len(self.numbers))
        style = Style(dict(self.theme.colors), dict(self.numbers))
        return lambda: (
            analysis := source.analyze(self.home, runs, metric if is_paired(metric) else None),
            draw(analysis, style),
        )

    def _if_latest(self, request: Request, apply: Callable[[Result], None]) -> Callable[[Result], None]:
        """`apply`, skipped if another comparison was requested meanwhile."""
        return lambda result: apply(result) if request == self._request else None

    def _done(self, result: tuple[Analysis, dict[str, Drawn]]) -> None:
        self.view.files = {}
        self.view.analysis, self.view.drawn = result
        self.view.doing = ""

    def _failed(self, error: InputError) -> None:
        self.view.analysis, self.view.doing, self.view.error = None, "", error_text(error)

    def _export(self) -> None:
        """Make the files of the present comparison."""
        from t4r_lab.runs.compared.export import FORMS

        analysis, request, view = self.view.analysis, self._request, self.view
        if analysis is None or view.export.disabled:
            return
        view.export.disabled = True

        def show(files: dict[str, bytes]) -> None:
            view.export.disabled = False
            if request == self._request:
                view.files = files

        def failed(error: InputError) -> None:
            view.export.disabled, view.error = False, error_text(error)

        self.background.run(lambda: {f"comparison{end}": make(analysis) for end, make in FORMS.items()}, show, failed)

    def _draw(self) -> None:
        analysis, request = self.view.analysis, self._request
        style = Style(dict(self.theme.colors), dict(self.numbers))
        if analysis is not None:
            show = lambda drawn: self.view.set_trait("drawn", drawn)  # noqa: E731
            self.background.run(lambda: draw(analysis, style), self._if_latest(request, show), self._failed)


# ── as HTML ─────────────────────────────────────────────────────────────────────────────────────


def links(files: Mapping[str, bytes]) -> str:
    """HTML of links that save files, whose content is in the links."""
    made = (
        f'<a class="t4r-save" download="{escape(name)}" href="data:{guess_type(name)[0]};base64,{b64encode(content).decode()}">'
        f"{escape(name)}</a>"
        for name, content in files.items()
    )
    return f'<span role="status">{" ".join(made)}</span>' if files else ""


def sentences(analysis: Analysis) -> str:
    """HTML of the significance of differences, in sentences; between runs first."""
    runs = set(analysis.labels)
    groups: dict[str, list[str]] = {"Between the runs": [], "Against the better baseline": []}
    for difference in analysis.comparison.differences:
        between = {difference.better, difference.other} <= runs
        groups["Between the runs" if between else "Against the better baseline"].append(_sentence(difference, runs))
    parts = "".join(
        f'<div><div class="t4r-heading">{name}</div>{_fold(lines)}</div>' for name, lines in groups.items() if lines
    )
    remarks = "".join(f'<p class="t4r-help">{escape(remark)}</p>' for remark in analysis.comparison.remarks)
    return f'<div class="t4r-verdict" role="status">{parts}</div>{remarks}'


def _fold(lines: Sequence[str]) -> str:
    more = "".join(lines[SENTENCES:])
    rest = f"<details><summary>{len(lines) - SENTENCES} more pairs</summary>{more}</details>" if more else ""
    return "".join(lines[:SENTENCES]) + rest


def _sentence(difference: Difference, runs: Container[str]) -> str:
    """A sentence with a sign: a run is better, a baseline is better, or the difference may be noise."""
    clear = difference.low > 0
    sign = "=" if not clear else "▲" if difference.better in runs else "▼"
    kind = "t4r-clear" if clear else "t4r-noise"
    return f'<p class="{kind}"><span aria-hidden="true">{sign}</span>{escape(difference.sentence)}</p>'


def figures(analysis: Analysis) -> str:
    """HTML table of the metrics at the cutoff of comparison, with intervals; in bold the best runs, unless all are alike."""
    metrics = analysis.comparison.metrics
    every = dict.fromkeys(name for row in metrics.values() for name in row if is_ranked(name) and is_available(name))
    cutoff = analysis.metric.partition("@")[2] or next((name.partition("@")[2] for name in every), "")
    names = list(dict.fromkeys([analysis.metric, *(name for name in every if name.endswith(f"@{cutoff}"))]))
    best = {name: number(metrics[ranking(analysis, name)[0]].get(name)) for name in names}
    rows = ""
    for label, row in metrics.items():
        quiet = "" if label in analysis.labels else ' class="t4r-quiet"'
        rows += f'<tr{quiet}><th scope="row">{escape(label)}</th>'
        for name in names:
            shown = {number(metrics[run].get(name)) for run in analysis.labels}
            wins = label in analysis.labels and number(row.get(name)) == best[name] and len(shown) > 1
            strong = " t4r-strong" if wins else ""
            low, high = analysis.intervals.get(label, {}).get(name, (None, None))
            under = f'<div class="t4r-under">{number(low)}–{number(high)}</div>' if low is not None else ""
            rows += f'<td class="t4r-number{strong}">{number(row.get(name))}{under}</td>'
        rows += "</tr>"
    return f"<div>{_table('Metrics with 95 % intervals', ['run', *names], rows, numbers=True)}</div>"


def differing(analysis: Analysis) -> str:
    """HTML table of the knobs in which the specs differ."""
    chosen = analysis.comparison.chosen
    if not chosen:
        return '<div><div class="t4r-heading">What differs</div><p class="t4r-help">Nothing: the specs are alike.</p></div>'
    rows = ""
    for path in chosen:
        cells = "".join(f"<td>{escape(analysis.comparison.specs[path][run])}</td>" for run in analysis.labels)
        rows += f'<tr><th scope="row">{escape(path)}</th>{cells}</tr>'
    return f"<div>{_table('What differs', ['knob', *analysis.labels], rows)}</div>"


def _table(caption: str, headings: Sequence[str], rows: str, *, numbers: bool = False) -> str:
    right = ' class="t4r-number"' if numbers else ""
    head = "".join(f'<th scope="col"{right if i else ""}>{escape(h)}</th>' for i, h in enumerate(headings))
    return (
        f'<div class="t4r-scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="t4r-plain">'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
