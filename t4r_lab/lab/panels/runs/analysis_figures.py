"""Plots of an analysis, as plotly's JSON: in the notebook's own colors, and with the same in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from t4r_lab.base.documents import read_json
from t4r_lab.families.knobs import label
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
Colors = Mapping[str, str]


@dataclass(frozen=True)
class Drawn:
    """A plot: its title, plotly's JSON, and what it shows in a sentence."""

    title: str
    figure: dict[str, Any]
    words: str


def draw(found: Analysis, colors: Colors) -> dict[str, Drawn]:
    """Every plot that the analysis has something for, by name."""
    made = {
        "bars": bars(found, colors),
        "loss": curves(found, "train/loss", "Training loss", colors),
        "metric": curves(found, found.metric, f"{found.metric} on the validation part", colors),
        "knobs": knobs(found, colors),
        "lengths": slices(found, "length", "Events before the target", colors),
        "popularity": slices(found, "popularity", "Popularity of the target", colors),
        "reliability": reliability(found, colors),
    }
    return {name: drawn for name, drawn in made.items() if drawn is not None}


# ── the plots ───────────────────────────────────────────────────────────────────────────────────


def bars(found: Analysis, colors: Colors) -> Drawn | None:
    """The metric of every run and baseline with its interval, the best first."""
    import plotly.graph_objects as go

    metrics = {name: m[found.metric] for name, m in found.comparison.metrics.items() if found.metric in m}
    if not metrics:
        return None
    names = ranking(found, found.metric, [*metrics])[::-1]
    ends = [found.intervals.get(n, {}).get(found.metric, (metrics[n], metrics[n])) for n in names]
    figure = go.Figure(
        go.Bar(
            x=[metrics[n] for n in names],
            y=[escape(n) for n in names],
            orientation="h",
            width=0.6,
            marker_color=[color(found, n, colors) for n in names],
            error_x={
                "type": "data",
                "symmetric": False,
                "color": colors["text"],
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
    return finished(f"{found.metric} with 95 % intervals", figure, words, colors)


def curves(found: Analysis, name: str, title: str, colors: Colors) -> Drawn | None:
    """One curve a run over the epochs; the baselines dashed where they have that metric."""
    import plotly.graph_objects as go

    there = {run: points for run, own in found.curves.items() if (points := own.get(name))}
    if not there:
        return None
    figure, words = go.Figure(), []
    for run, points in there.items():
        figure.add_scatter(
            x=[epoch for epoch, _ in points],
            y=[value for _, value in points],
            name=escape(run),
            mode="lines+markers",
            line={"color": color(found, run, colors), "dash": turn(DASHES, found, run), "width": 2},
            marker={"symbol": turn(SYMBOLS, found, run), "size": 6},
        )
        words.append(f"{run} {number(points[-1][1])} at epoch {points[-1][0]}")
    last = max(epoch for points in there.values() for epoch, _ in points)
    for index, baseline in enumerate(list(found.comparison.metrics)[len(found.labels) :], start=1):
        value = found.comparison.metrics[baseline].get(name)
        if value is not None:
            figure.add_scatter(
                x=[0, last],
                y=[value, value],
                name=escape(baseline),
                mode="lines",
                line={"color": colors["quiet"], "dash": DASHES[index % len(DASHES)], "width": 1.5},
            )
            words.append(f"{baseline} {number(value)}")
    figure.update_xaxes(title="epoch", rangemode="tozero", dtick=1 if last <= 12 else None)
    return finished(title, figure, "; ".join(words), colors)


def knobs(found: Analysis, colors: Colors) -> Drawn | None:
    """Parallel coordinates: what differs between the specs, and the metric last."""
    import plotly.graph_objects as go

    metrics = found.comparison.metrics
    runs = [run for run in found.labels if found.metric in metrics[run]]
    if len(runs) < 2 or not found.comparison.specs:
        return None
    axes = [axis(label(path), [own[run] for run in runs]) for path, own in found.comparison.specs.items()]
    values = [metrics[run][found.metric] for run in runs]
    scale = [[0, SERIES[colors["dark"]][1]], [1, SERIES[colors["dark"]][0]]]
    figure = go.Figure(
        go.Parcoords(
            dimensions=[axis("run", [str(run) for run in runs]), *axes, axis(found.metric, values)],
            line={"color": values, "colorscale": scale},
            labelfont={"color": colors["text"], "size": 12},
            tickfont={"color": colors["text"], "size": 11},
            rangefont={"color": "rgba(0,0,0,0)", "size": 1},
            unselected={"line": {"opacity": 0.15}},
        )
    )
    words = "drag along an axis to pick runs; " + "; ".join(
        f"{r} {number(v)}" for r, v in zip(runs, values, strict=True)
    )
    drawn = finished("What differs, beside the metric", figure, words, colors)
    drawn.figure["layout"] |= {"height": 300, "margin": {"l": 110, "r": 60, "t": 44, "b": 24}}
    return drawn


def axis(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """An axis of parallel coordinates: numbers as they are, anything else one step a value."""
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        few = sorted(set(values)) if len(set(values)) <= 6 else []
        ticks = (
            {"tickvals": few, "ticktext": [number(v) if isinstance(v, float) else str(v) for v in few]} if few else {}
        )
        return {"label": escape(name), "values": list(values), **ticks}
    known = list(dict.fromkeys(str(v) for v in values))
    texts = [escape(text if len(text) <= 18 else f"{text[:17]}…") for text in known]
    return {
        "label": escape(name),
        "values": [known.index(str(v)) for v in values],
        "tickvals": list(range(len(known))),
        "ticktext": texts,
        "range": [-0.2, max(len(known) - 0.8, 0.2)],
    }


def slices(found: Analysis, by: str, title: str, colors: Colors) -> Drawn | None:
    """The metric within slices of the cases, a series a run and baseline."""
    import plotly.graph_objects as go

    figure, words = go.Figure(), []
    for name, rows in found.slices.items():
        own = [row for row in rows if row["by"] == by and found.metric in row]
        if not own:
            continue
        values = [row[found.metric] for row in own]
        figure.add_scatter(
            x=[row["slice"] for row in own],
            y=[v["mean"] for v in values],
            name=escape(name),
            mode="lines+markers",
            line={"color": color(found, name, colors), "dash": turn(DASHES, found, name), "width": 1.5},
            marker={"symbol": turn(SYMBOLS, found, name), "size": 8},
            error_y={
                "type": "data",
                "symmetric": False,
                "thickness": 1,
                "width": 4,
                "array": [v["high"] - v["mean"] for v in values],
                "arrayminus": [v["mean"] - v["low"] for v in values],
            },
            customdata=[row["cases"] for row in own],
            hovertemplate="%{x}: %{y:.3g}, %{customdata:,} cases",
        )
        words.append(f"{name}: " + ", ".join(f"{r['slice']} {number(r[found.metric]['mean'])}" for r in own))
    if not words:
        return None
    figure.update_yaxes(rangemode="tozero")
    return finished(f"{title} · {found.metric}", figure, "; ".join(words), colors)


def reliability(found: Analysis, colors: Colors) -> Drawn | None:
    """Share of hits by the probability that the first item was given; on the diagonal they are what they say."""
    import plotly.graph_objects as go

    if not found.reliability:
        return None
    figure, words = go.Figure(), []
    most = max(r["cases"] for rows in found.reliability.values() for r in rows)
    for name, rows in found.reliability.items():
        sizes = [4 + 10 * (r["cases"] / most) ** 0.5 for r in rows]  # a bin of few cases tells little
        figure.add_scatter(
            x=[r["confidence"] for r in rows],
            y=[r["accuracy"] for r in rows],
            name=escape(name),
            mode="lines+markers",
            line={"color": color(found, name, colors), "dash": turn(DASHES, found, name)},
            marker={"symbol": turn(SYMBOLS, found, name), "size": sizes, "opacity": 1},
            customdata=[r["cases"] for r in rows],
            hovertemplate="said %{x:.1%}, hit %{y:.1%}, %{customdata:,} cases",
        )
        cases = sum(r["cases"] for r in rows)
        gap = sum(r["cases"] * abs(r["confidence"] - r["accuracy"]) for r in rows) / max(cases, 1)
        words.append(f"{name} is off by {number(gap)} on average")
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="calibrated",
        line={"color": colors["quiet"], "dash": "dot", "width": 1.5},
    )
    figure.update_xaxes(title="probability of the first item", range=[0, 1])
    figure.update_yaxes(title="share of hits", range=[0, 1])
    return finished("Reliability", figure, "; ".join(words), colors)


# ── how they look ───────────────────────────────────────────────────────────────────────────────


def ranking(found: Analysis, metric: str, names: Sequence[str] = ()) -> list[str]:
    """Labels, by default of the runs, from the best at `metric` to the worst; last those without it."""
    sign = 1 if lower_is_better(metric) else -1
    value = {name: sign * own[metric] for name, own in found.comparison.metrics.items() if metric in own}
    return sorted(names or found.labels, key=lambda name: value.get(name, float("inf")))


def color(found: Analysis, name: str, colors: Colors) -> str:
    """A run's own color in every plot; baselines are quiet."""
    if name not in found.labels:
        return colors["quiet"]
    series = SERIES[colors["dark"]]
    return series[found.labels.index(name) % len(series)]


def turn(choices: Sequence[str], found: Analysis, name: str) -> str:
    """What tells a series apart beside its color."""
    names = list(found.comparison.metrics)
    return choices[names.index(name) % len(choices)]


def finished(title: str, figure: go.Figure, words: str, colors: Colors) -> Drawn:
    """In the notebook's type and colors, see-through, without a title of its own."""
    figure.update_layout(
        template="plotly_dark" if colors["dark"] else "plotly_white",
        autosize=True,
        height=figure.layout.height or 260,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": colors["text"], "size": 12, "family": colors["font"] or None},
        margin={"l": 52, "r": 12, "t": 8, "b": 40},
        hoverlabel={"font": {"family": colors["font"] or None}},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": colors["quiet"], "activecolor": colors["text"]},
    )
    lines = {"gridcolor": colors["grid"], "linecolor": colors["grid"], "zerolinecolor": colors["grid"]}
    figure.update_xaxes(**lines, automargin=True, title_font_size=12, title_standoff=6)
    figure.update_yaxes(**lines, automargin=True, title_font_size=12, title_standoff=6)
    content: dict[str, Any] = read_json(figure.to_json(), "figure")
    content["config"] = {"displaylogo": False, "responsive": True, "displayModeBar": False}
    return Drawn(title, content, words)


def in_order(drawn: Mapping[str, Drawn], names: Sequence[str]) -> Iterator[tuple[str, Drawn]]:
    """The figures that were drawn, in the order of `names`."""
    return ((name, drawn[name]) for name in names if name in drawn)
