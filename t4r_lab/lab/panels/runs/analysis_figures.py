"""Plots of an analysis as plotly's JSON, in the colors of the notebook, each with a description in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from t4r_lab.families.metrics.metric_table import is_available
from t4r_lab.lab.parts.figures import SERIES, Drawn, axis, parallel, styled, unique_labels
from t4r_lab.lab.parts.text import escape, number
from t4r_lab.runs.analyze import Analysis
from t4r_lab.spec import lower_is_better

if TYPE_CHECKING:
    pass

DASHES = ["solid", "dash", "dot", "dashdot", "longdash"]
SYMBOLS = ["circle", "square", "diamond", "triangle-up", "x", "star"]
MOST_AXES = 8
"""Of parallel coordinates, beside those of the run and the metric."""


@dataclass(frozen=True)
class Style:
    """The colors of the notebook, and the number that each run has for its color, dash and symbol, by run id."""

    colors: Mapping[str, str]
    numbers: Mapping[str, int]

    @classmethod
    def of(cls, analysis: Analysis, colors: Mapping[str, str]) -> Style:
        """The style of an analysis alone, its runs numbered in their order."""
        return cls(colors, {row.run_id: number for number, row in enumerate(analysis.comparison.runs)})


def draw(analysis: Analysis, style: Style) -> dict[str, Drawn]:
    """Every plot that the analysis has values for, by name."""
    names = dict.fromkeys(name for series in analysis.curves.values() for name in series)
    others = [name for name in names if name not in ("train/loss", analysis.metric)]
    made = {
        "bars": bars(analysis, style),
        "loss": curves(analysis, "train/loss", "Training loss", style),
        "metric": curves(analysis, analysis.metric, f"{analysis.metric} on the validation part", style),
        **{f"metric {name}": curves(analysis, name, f"{name} on the validation part", style) for name in others},
        "knobs": knobs(analysis, style),
        "lengths": slices(analysis, "length", "Events before the target", style),
        "popularity": slices(analysis, "popularity", "Popularity of the target", style),
        "reliability": reliability(analysis, style),
    }
    return {name: drawn for name, drawn in made.items() if drawn is not None}


# ── the plots ───────────────────────────────────────────────────────────────────────────────────


def bars(analysis: Analysis, style: Style) -> Drawn | None:
    """The metric of every run and baseline with its interval, the best first."""
    import plotly.graph_objects as go

    metrics = {name: m[analysis.metric] for name, m in analysis.comparison.metrics.items() if analysis.metric in m}
    if not metrics:
        return None
    names = ranking(analysis, analysis.metric, [*metrics])[::-1]
    ends = [analysis.intervals.get(n, {}).get(analysis.metric, (metrics[n], metrics[n])) for n in names]
    figure = go.Figure(
        go.Bar(
            x=[metrics[n] for n in names],
            y=[escape(n) for n in names],
            orientation="h",
            width=0.6,
            marker_color=[color(analysis, n, style) for n in names],
            error_x={
                "type": "data",
                "symmetric": False,
                "color": style.colors["text"],
                "thickness": 1.5,
                "width": 5,
                "array": [high - metrics[n] for n, (_, high) in zip(names, ends, strict=True)],
                "arrayminus": [metrics[n] - low for n, (low, _) in zip(names, ends, strict=True)],
            },
            customdata=[
                f"{number(metrics[n])} · 95 % {number(a)} to {number(b)}" for n, (a, b) in zip(names, ends, strict=True)
            ],
            hovertemplate="%{y}<br>%{customdata}<extra></extra>",
        )
    )
    figure.update_layout(showlegend=False, height=64 + 34 * len(names), yaxis={"automargin": True, "showgrid": False})
    figure.update_xaxes(rangemode="tozero")
    words = "; ".join(
        f"{n} {number(metrics[n])} ({number(a)} to {number(b)})"
        for n, (a, b) in zip(reversed(names), reversed(ends), strict=True)
    )
    return styled(f"{analysis.metric} with 95 % intervals", figure, words, style.colors)


def curves(analysis: Analysis, name: str, title: str, style: Style) -> Drawn | None:
    """One curve a run over the epochs, its best one marked; the baselines dashed where they have that metric."""
    import plotly.graph_objects as go

    by_run = {run: points for run, series in analysis.curves.items() if (points := series.get(name))}
    if not by_run:
        return None
    figure, words = go.Figure(), []
    lower = name == "train/loss" or (is_available(name) and lower_is_better(name))
    for run, points in by_run.items():
        best = (min if lower else max)(points, key=lambda point: point[1])[0]
        figure.add_scatter(
            x=[epoch for epoch, _ in points],
            y=[value for _, value in points],
            name=escape(run),
            mode="lines+markers",
            line={"color": color(analysis, run, style), "dash": cycle(DASHES, analysis, run, style), "width": 2},
            marker={
                "symbol": cycle(SYMBOLS, analysis, run, style),
                "size": [11 if epoch == best else 5 for epoch, _ in points],
            },
        )
        at_best = dict(points)[best]
        words.append(f"{run} best {number(at_best)} at epoch {best}, last {number(points[-1][1])} at {points[-1][0]}")
    last = max(epoch for points in by_run.values() for epoch, _ in points)
    for index, baseline in enumerate(list(analysis.comparison.metrics)[len(analysis.labels) :], start=1):
        value = analysis.comparison.metrics[baseline].get(name)
        if value is not None:
            figure.add_scatter(
                x=[0, last],
                y=[value, value],
                name=escape(baseline),
                mode="lines",
                line={"color": style.colors["quiet"], "dash": DASHES[index % len(DASHES)], "width": 1.5},
            )
            words.append(f"{baseline} {number(value)}")
    figure.update_xaxes(title="epoch", rangemode="tozero", dtick=1 if last <= 12 else None)
    return styled(title, figure, "; ".join(words), style.colors)


def knobs(analysis: Analysis, style: Style) -> Drawn | None:
    """Parallel coordinates: the knobs in which the specs differ, and the metric last."""
    metrics = analysis.comparison.metrics
    runs = [run for run in analysis.labels if analysis.metric in metrics[run]]
    settings = differing_most(analysis, runs)
    if len(runs) < 2 or not settings:
        return None
    axes = [axis(name, values) for name, values in settings.items()]
    values = [metrics[run][analysis.metric] for run in runs]
    words = "drag along an axis to pick runs; " + "; ".join(
        f"{r} {number(v)}" for r, v in zip(runs, values, strict=True)
    )
    dimensions = [axis("run", [str(run) for run in runs]), *axes, axis(analysis.metric, values)]
    return parallel("What differs, beside the metric", dimensions, values, words, style.colors)


def differing_most(analysis: Analysis, runs: Sequence[str]) -> dict[str, list[object]]:
    """Name of a knob → its value in each of `runs`: of the knobs that were set, those with the most different values."""
    specs = analysis.comparison.specs
    values = {path: [specs[path][run] for run in runs] for path in analysis.comparison.chosen}
    varied = [path for path in values if len(set(map(str, values[path]))) > 1]
    most = sorted(varied, key=lambda path: -len(set(map(str, values[path]))))[:MOST_AXES]
    names = unique_labels(most)
    return {names[path]: values[path] for path in varied if path in most}


def slices(analysis: Analysis, by: str, title: str, style: Style) -> Drawn | None:
    """The metric within slices of the cases, a series a run and baseline."""
    import plotly.graph_objects as go

    figure, words = go.Figure(), []
    for name, rows in analysis.slices.items():
        selected = [row for row in rows if row["by"] == by and analysis.metric in row]
        if not selected:
            continue
        values = [row[analysis.metric] for row in selected]
        figure.add_scatter(
            x=[row["slice"] for row in selected],
            y=[v["mean"] for v in values],
            name=escape(name),
            mode="lines+markers",
            line={"color": color(analysis, name, style), "dash": cycle(DASHES, analysis, name, style), "width": 1.5},
            marker={"symbol": cycle(SYMBOLS, analysis, name, style), "size": 8},
            error_y={
                "type": "data",
                "symmetric": False,
                "thickness": 1,
                "width": 4,
                "array": [v["high"] - v["mean"] for v in values],
                "arrayminus": [v["mean"] - v["low"] for v in values],
            },
            customdata=[row["cases"] for row in selected],
            hovertemplate="%{x}: %{y:.3g}, %{customdata:,} cases",
        )
        words.append(f"{name}: " + ", ".join(f"{r['slice']} {number(r[analysis.metric]['mean'])}" for r in selected))
    if not words:
        return None
    figure.update_yaxes(rangemode="nonnegative")
    return styled(f"{title} · {analysis.metric}", figure, "; ".join(words), style.colors)


def reliability(analysis: Analysis, style: Style) -> Drawn | None:
    """Share of hits by the predicted probability of the first item; calibrated on the diagonal."""
    import plotly.graph_objects as go

    if not analysis.reliability:
        return None
    figure, words = go.Figure(), []
    most = max(r["cases"] for rows in analysis.reliability.values() for r in rows)
    for name, rows in analysis.reliability.items():
        sizes = [4 + 10 * (r["cases"] / most) ** 0.5 for r in rows]  # smaller where a bin has few cases
        figure.add_scatter(
            x=[r["confidence"] for r in rows],
            y=[r["accuracy"] for r in rows],
            name=escape(name),
            mode="lines+markers",
            line={"color": color(analysis, name, style), "dash": cycle(DASHES, analysis, name, style)},
            marker={"symbol": cycle(SYMBOLS, analysis, name, style), "size": sizes, "opacity": 1},
            customdata=[r["cases"] for r in rows],
            hovertemplate="predicted %{x:.1%}, hit %{y:.1%}, %{customdata:,} cases",
        )
        cases = sum(r["cases"] for r in rows)
        gap = sum(r["cases"] * abs(r["confidence"] - r["accuracy"]) for r in rows) / max(cases, 1)
        words.append(f"{name} is off by {number(gap)} on average")
    largest = max(
        r[axis] for rows in analysis.reliability.values() for r in rows for axis in ("confidence", "accuracy")
    )
    end = min(1.0, 1.08 * largest)
    figure.add_scatter(
        x=[0, end],
        y=[0, end],
        mode="lines",
        name="calibrated",
        line={"color": style.colors["quiet"], "dash": "dot", "width": 1.5},
    )
    figure.update_xaxes(title="probability of the first item", range=[0, end])
    figure.update_yaxes(title="share of hits", range=[0, end])
    return styled("Reliability", figure, "; ".join(words), style.colors)


# ── style ──────────────────────────────────────────────────────────────────────────────────────


def ranking(analysis: Analysis, metric: str, names: Sequence[str] = ()) -> list[str]:
    """Labels, by default of the runs, from the best at `metric` to the worst; last those without it."""
    sign = 1 if lower_is_better(metric) else -1
    value = {name: sign * row[metric] for name, row in analysis.comparison.metrics.items() if metric in row}
    return sorted(names or analysis.labels, key=lambda name: value.get(name, float("inf")))


def color(analysis: Analysis, name: str, style: Style) -> str:
    """The color of a run, the same wherever the Lab draws it; baselines have the quiet one."""
    if name not in analysis.labels:
        return style.colors["quiet"]
    return cycle(SERIES[style.colors["dark"]], analysis, name, style)


def cycle(choices: Sequence[str], analysis: Analysis, name: str, style: Style) -> str:
    """The color, dash or symbol of a run by its number, or of a baseline by its place among them."""
    labels, names = analysis.labels, list(analysis.comparison.metrics)
    index = style.numbers[analysis.comparison.runs[labels.index(name)].run_id] if name in labels else names.index(name)
    return choices[index % len(choices)]


def in_order(drawn: Mapping[str, Drawn], names: Sequence[str]) -> Iterator[tuple[str, Drawn]]:
    """The plots in `drawn` in the order of `names`, their first words."""
    return ((name, plot) for first in names for name, plot in drawn.items() if name.partition(" ")[0] == first)
