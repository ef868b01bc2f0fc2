"""Plotly figures in the colors of the notebook, each with a title and a description in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ipywidgets as w

from t4r_lab.base.documents import Document, read_json
from t4r_lab.families.knobs import label
from t4r_lab.lab.parts.text import escape, number

if TYPE_CHECKING:
    import plotly.graph_objects as go

SERIES = {
    "": ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B07500", "#3D8FC4"],
    "yes": ["#56B4E9", "#F0A35E", "#35C79A", "#E39AC4", "#E6C229", "#9AB8FF"],
}
"""dark → colors that the common kinds of color blindness tell apart (after Okabe and Ito)"""
LONG = 240
"""Longer descriptions of a plot are folded away."""


@dataclass(frozen=True)
class Drawn:
    """A plot: its title, plotly's JSON, and a description in words."""

    title: str
    figure: Document
    words: str


class Plot(w.VBox):
    """A plot under its title, with a description in words."""

    def __init__(self) -> None:
        self._title, self._output, self._words = w.HTML(), w.Output(), w.HTML()
        super().__init__([self._title, self._output, self._words])
        self.add_class("t4r-plot")

    def show(self, drawn: Drawn) -> None:
        """Show a figure with its title and its description in words, folded if it is long."""
        data = {"application/vnd.plotly.v1+json": drawn.figure, "text/plain": drawn.words}
        self._title.value = f'<div class="t4r-heading">{escape(drawn.title)}</div>'
        self._output.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)
        words = escape(drawn.words)
        folded = f"<details><summary>in words</summary>{words}</details>"
        self._words.value = f'<div class="t4r-help">{folded if len(drawn.words) > LONG else words}</div>'


def styled(title: str, figure: go.Figure, words: str, colors: Mapping[str, str]) -> Drawn:
    """The plot in the notebook's font and colors, transparent and without plotly's title."""
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
    lines = {
        "gridcolor": colors["grid"],
        "linecolor": colors["grid"],
        "zerolinecolor": colors["grid"],
    }
    figure.update_xaxes(**lines, automargin=True, title_font_size=12, title_standoff=6)
    figure.update_yaxes(**lines, automargin=True, title_font_size=12, title_standoff=6)
    content: Document = read_json(figure.to_json(), "figure")
    content["config"] = {"displaylogo": False, "responsive": True, "displayModeBar": False}
    return Drawn(title, content, words)


def parallel(
    title: str, axes: Sequence[object], values: Sequence[float], words: str, colors: Mapping[str, str]
) -> Drawn:
    """Parallel coordinates over `axes` (see `axis`), a line for each of `values`, which color it."""
    import plotly.graph_objects as go

    series = SERIES[colors["dark"]]
    figure = go.Figure(
        go.Parcoords(
            dimensions=axes,
            line={"color": values, "colorscale": [[0, series[1]], [1, series[0]]]},
            labelfont={"color": colors["text"], "size": 12},
            tickfont={"color": colors["text"], "size": 11},
            rangefont={"color": "rgba(0,0,0,0)", "size": 1},
            unselected={"line": {"opacity": 0.15}},
        )
    )
    drawn = styled(title, figure, words, colors)
    drawn.figure["layout"] |= {"height": 300, "margin": {"l": 110, "r": 60, "t": 44, "b": 24}}
    return drawn


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
