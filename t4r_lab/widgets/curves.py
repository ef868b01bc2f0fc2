"""Live curves: one small SVG that is drawn once and extended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets as tr

from t4r_lab.widgets.text import number

HERE = Path(__file__).parent
MAX_POINTS = 600
"""A curve with more points than this is thinned to half: more can't be seen and would cost messages."""


class Curves(anywidget.AnyWidget):
    """Curves over epochs with dashed reference lines, and the same in words for those who can't see them.

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
    """right end of the axis: the epochs that were planned"""
    from_zero = tr.Bool(False).tag(sync=True)
    waiting = tr.Unicode("").tag(sync=True)
    """what stands in place of curves while there are none"""
    alternative = tr.Unicode("").tag(sync=True)

    def extend(self, name: str, points: Sequence[tuple[float, float]]) -> None:
        """Add (epoch, value) `points` to the curve `name`."""
        if not points:
            return
        curve = [*self.series.get(name, []), *([round(x, 4), float(f"{y:.5g}")] for x, y in points)]
        while len(curve) > MAX_POINTS:
            curve = [*curve[:-1:2], curve[-1]]
        self.series = {**self.series, name: curve}

    @tr.observe("series", "lines", "title")
    def _put_into_words(self, change: Any = None) -> None:
        self.alternative = describe(self.title, self.series, self.lines, highest=self.from_zero)


def describe(title: str, series: Mapping[str, Sequence[Any]], lines: Mapping[str, float], *, highest: bool) -> str:
    """The curves in one sentence: latest value, best value, reference lines."""
    parts = []
    for name, curve in series.items():
        best = (max if highest else min)(y for _, y in curve)
        word = "highest" if highest else "lowest"
        parts.append(f"{name} {number(curve[-1][1])} at epoch {curve[-1][0]:g}, {word} {number(best)}")
    parts += [f"{name} {number(value)}" for name, value in lines.items()]
    return f"{title}: {'; '.join(parts) if parts else 'no values yet'}"
