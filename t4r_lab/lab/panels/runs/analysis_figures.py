"""Plots of an analysis as plotly's JSON, in the colors of the notebook, each with a description in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from t4r_lab.base.documents import Document, read_json
from t4r_lab.families.knobs import label
from t4r_lab.families.metrics.metric_table import is_available
from t4r_lab.lab.parts.text import escape, number
from t4r_lab.runs.analyze import Analysis
from t4r_lab.spec import lower_is_better

if TYPE_CHECKING:
    import plotly.graph_objects as go

SERIES = {
    "": ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B07500", "#3D8FC4"],
    "yes": ["#56B4E9", "#F0A35E", "#35C79A", "#E39AC4", "#E6C229", "#9AB8FF"],
}
"""dark → colors that the common kinds of color blindness tell apart (after Okabe and Ito)"""
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


@dataclass(frozen=True)
class Drawn:
    """A plot: its title, plotly's JSON, and a description in words."""

    title: str
    figure: Document
    words: str


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
    return styled(f"{analysis.metric} with 95 % intervals", figure, words, style)


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
    return styled(title, figure, "; ".join(words), style)


def knobs(analysis: Analysis, style: Style) -> Drawn | None:
    """Parallel coordinates: the knobs in which the specs differ, and the metric last."""
    import plotly.graph_objects as go

    metrics = analysis.comparison.metrics
    runs = [run for run in analysis.labels if analysis.metric in metrics[run]]
    settings = differing_most(analysis, runs)
    if len(runs) < 2 or not settings:
        return None
    axes = [axis(name, values) for name, values in settings.items()]
    values = [metrics[run][analysis.metric] for run in runs]
    scale = [[0, SERIES[style.colors["dark"]][1]], [1, SERIES[style.colors["dark"]][0]]]
    figure = go.Figure(
        go.Parcoords(
            dimensions=[axis("run", [str(run) for run in runs]), *axes, axis(analysis.metric, values)],
            line={"color": values, "colorscale": scale},
            labelfont={"color": style.colors["text"], "size": 12},
            tickfont={"color": style.colors["text"], "size": 11},
            rangefont={"color": "rgba(0,0,0,0)", "size": 1},
            unselected={"line": {"opacity": 0.15}},
        )
    )
    words = "drag along an axis to pick runs; " + "; ".join(
        f"{r} {number(v)}" for r, v in zip(runs, values, strict=True)
    )
    drawn = styled("What differs, beside the metric", figure, words, style)
    drawn.figure["layout"] |= {"height": 300, "margin": {"l": 110, "r": 60, "t": 44, "b": 24}}
    return drawn


def differing_most(analysis: Analysis, runs: Sequence[str]) -> dict[str, list[object]]:
    """Name of a knob → its value in each of `runs`: of the knobs that were set, those with the most different values."""
    specs = analysis.comparison.specs
    values = {path: [specs[path][run] for run in runs] for path in analysis.comparison.chosen}
    varied = [path for path in values if len(set(map(str, values[path]))) > 1]
    most = sorted(varied, key=lambda path: -len(set(map(str, values[path]))))[:MOST_AXES]
    names = unique_labels(most)
    return {names[path]: values[path] for path in varied if path in most}


def unique_labels(paths: Sequence[str]) -> dict[str, str]:
    """The shortest name of each knob that no other of `paths` has.

    >>> unique_labels(["model.body.dropout", "model.inputs.dropout", "train.batch_size"])
    {'model.body.dropout': 'body dropout', 'model.inputs.dropout': 'inputs dropout', 'train.batch_size': 'batch size'}
    """
    names = [label(path) for path in paths]
    longer = [
        label(path) if names.count(label(path)) == 1 else f"{path.split('.')[-2]} {label(path)}" for path in paths
    ]
    return {path: name if longer.count(name) == 1 else path for path, name in zip(paths, longer, strict=True)}


def axis(name: str, values: Sequence[object]) -> dict[str, object]:
    """An axis of parallel coordinates: numbers as they are, anything else one step a value."""
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) == len(values):
        few = sorted(set(numbers)) if len(set(numbers)) <= 6 else []
        ticks = (
            {"tickvals": few, "ticktext": [number(v) if isinstance(v, float) else str(v) for v in few]} if few else {}
        )
        return {"label": escape(name), "values": numbers, **ticks}
    categories = list(dict.fromkeys(str(v) for v in values))
    texts = [escape(text if len(text) <= 18 else f"{text[:17]}…") for text in categories]
    return {
        "label": escape(name),
        "values": [categories.index(str(v)) for v in values],
        "tickvals": list(range(len(categories))),
        "ticktext": texts,
        "range": [-0.2, max(len(categories) - 0.8, 0.2)],
    }


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
    return styled(f"{title} · {analysis.metric}", figure, "; ".join(words), style)


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
    return styled("Reliability", figure, "; ".join(words), style)


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


def styled(title: str, figure: go.Figure, words: str, style: Style) -> Drawn:
    """The plot in the notebook's font and colors, transparent and without plotly's title."""
    figure.update_layout(
        template="plotly_dark" if style.colors["dark"] else "plotly_white",
        autosize=True,
        height=figure.layout.height or 260,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": style.colors["text"], "size": 12, "family": style.colors["font"] or None},
        margin={"l": 52, "r": 12, "t": 8, "b": 40},
        hoverlabel={"font": {"family": style.colors["font"] or None}},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": style.colors["quiet"], "activecolor": style.colors["text"]},
    )
    lines = {
        "gridcolor": style.colors["grid"],
        "linecolor": style.colors["grid"],
        "zerolinecolor": style.colors["grid"],
    }
    figure.update_xaxes(**lines, automargin=True, title_font_size=12, title_standoff=6)
    figure.update_yaxes(**lines, automargin=True, title_font_size=12, title_standoff=6)
    content: Document = read_json(figure.to_json(), "figure")
    content["config"] = {"displaylogo": False, "responsive": True, "displayModeBar": False}
    return Drawn(title, content, words)


def in_order(drawn: Mapping[str, Drawn], names: Sequence[str]) -> Iterator[tuple[str, Drawn]]:
    """The plots in `drawn` in the order of `names`, their first words."""
    return ((name, plot) for first in names for name, plot in drawn.items() if name.partition(" ")[0] == first)
