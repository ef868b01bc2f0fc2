"""Live curves: a small SVG, extended as values arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import anywidget
import traitlets as tr

from t4r_lab.lab.parts.text import number

HERE = Path(__file__).parent
MAX_POINTS = 600
"""A curve with more points is thinned to half: more can't be seen and would make messages larger."""


class Curves(anywidget.AnyWidget):
    """Curves over epochs with dashed reference lines, and a description in words for screen readers.

    >>> curves = Curves(title="loss")
    >>> curves.extend("training", [(0.5, 7.1), (1.0, 6.4)])
    >>> curves.alternative
    'loss: training 6.40 at epoch 1, lowest 6.40'
    """

    _esm = HERE / "curves.js"
    _css = HERE / "curves.css"

    title = tr.Unicode("").tag(sync=True)
    series = tr.Dict(value_trait=tr.List(), key_trait=tr.Unicode()).tag(sync=True)
    """name → list of [epoch, value]"""
    lines = tr.Dict(value_trait=tr.Float(), key_trait=tr.Unicode()).tag(sync=True)
    """name → height of a dashed reference line"""
    end = tr.Float(1.0).tag(sync=True)
    """right end of the axis: the planned number of epochs"""
    from_zero = tr.Bool(False).tag(sync=True)
    smoothing = tr.Float(0.0, min=0.0, max=0.99).tag(sync=True)
    """0 draws the values; above, their moving average (see `smoothed`) with the values faint behind"""
    waiting = tr.Unicode("").tag(sync=True)
    """text shown while there are no curves"""
    alternative = tr.Unicode("").tag(sync=True)

    def extend(self, name: str, points: Sequence[tuple[float, float]]) -> None:
        """Add (epoch, value) `points` to the curve `name`."""
        if not points:
            return
        curve = [*self.series.get(name, []), *([round(x, 4), float(f"{y:.5g}")] for x, y in points)]
        while len(curve) > MAX_POINTS:
            curve = [*curve[:-1:2], curve[-1]]
        self.series = {**self.series, name: curve}

    @tr.observe("series", "lines", "title", "smoothing")
    def _describe(self, change: tr.Bunch | None = None) -> None:
        self.alternative = describe(
            self.title, self.series, self.lines, highest=self.from_zero, smoothing=self.smoothing
        )


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """The exponential moving average, each divided by the weight it has so far, so that the first isn't held at 0.

    `curves.js` draws the same.

    >>> smoothed([4.0, 2.0, 1.0], 0.5)
    [4.0, 2.6666666666666665, 1.7142857142857142]
    """
    total, mass, averages = 0.0, 0.0, []
    for value in values:
        total, mass = weight * total + value, weight * mass + 1
        averages.append(total / mass)
    return averages


def describe(
    title: str,
    series: Mapping[str, Sequence[Sequence[float]]],
    lines: Mapping[str, float],
    *,
    highest: bool,
    smoothing: float = 0,
) -> str:
    """The curves in one sentence: latest value, its average if there is one, best value, reference lines."""
    parts = []
    for name, curve in series.items():
        values = [y for _, y in curve]
        word, best = ("highest", max(values)) if highest else ("lowest", min(values))
        average = f", smoothed {number(smoothed(values, smoothing)[-1])}" if smoothing else ""
        parts.append(f"{name} {number(values[-1])} at epoch {curve[-1][0]:g}{average}, {word} {number(best)}")
    parts += [f"{name} {number(value)}" for name, value in lines.items()]
    return f"{title}: {'; '.join(parts) if parts else 'no values yet'}"
