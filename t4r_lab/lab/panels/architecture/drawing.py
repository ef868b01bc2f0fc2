"""The picture of a model as SVG: boxes in rows and columns, with arrows between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from t4r_lab.lab.parts.text import count, escape
from t4r_lab.training.estimate import Cost

WIDTH, BOX, GAP, MARGIN, BETWEEN = 400, 40, 22, 2, 8
NARROW, STRIP = 196, 16
"""Width of a tower's column where there are several, and height of a masking's strip."""


@dataclass(frozen=True)
class Box:
    """One part of the model: its name, a detail, and the shape of its output."""

    name: str
    detail: str = ""
    shape: str = ""
    paths: tuple[str, ...] = ()
    """paths of its costs in an estimate"""
    strip: tuple[bool, ...] = ()
    """positions of a session, true where the event is masked for its prediction"""
    chip: bool = False

    @property
    def height(self) -> int:
        """Height in pixels."""
        return BOX + (STRIP if self.strip else 0)


Row = list[list[Box]]
"""Boxes from top to bottom, for each column; a single column spans the picture."""


def cost_of(box: Box, costs: Mapping[str, Cost]) -> Cost | None:
    """The total cost of the parts of a box; None if the estimate has none of them."""
    parts = [costs[path] for path in box.paths if path in costs]
    if not parts:
        return None
    return replace(
        parts[0],
        **{name: sum(getattr(c, name) for c in parts) for name in Cost.__dataclass_fields__ if name != "path"},
    )


class Drawing:
    """SVG elements, drawn row by row from the top."""

    def __init__(self, wide: int, costs: Mapping[str, Cost], memory: int) -> None:
        self.wide, self.costs, self.memory = wide, costs, memory
        self.parts: list[str] = []
        self.bottoms: list[float] = []
        """lower edge of the last box in each column"""

    def row(self, row: Row) -> None:
        """Draw the columns of a row side by side, each with an arrow from the box above it."""
        top = max(self.bottoms) + GAP if self.bottoms else MARGIN
        above = self.bottoms or [top]
        lanes = max(len(row), len(above))
        for lane in range(lanes if self.bottoms else 0):
            if row[min(lane, len(row) - 1)]:
                left, right = self._edges(lane, lanes)
                self.parts.append(_arrow((left + right) / 2, above[min(lane, len(above) - 1)], top))
        self.bottoms = [
            self._column(column, *self._edges(number, len(row)), top) if column else above[min(number, len(above) - 1)]
            for number, column in enumerate(row)
        ]

    def _edges(self, number: int, columns: int) -> tuple[float, float]:
        step = (self.wide - 2 * MARGIN + BETWEEN) / columns
        return MARGIN + number * step, MARGIN + (number + 1) * step - BETWEEN

    def _column(self, boxes: list[Box], left: float, right: float, y: float) -> float:
        """Draw `boxes` from `y` downward, chips side by side; return the lower edge."""
        if boxes[0].chip:
            per_row = max(1, int((right - left) // 120)) if len(boxes) > 1 else 1
            for start in range(0, len(boxes), per_row):
                line = boxes[start : start + per_row]
                step = (right - left + BETWEEN) / len(line)
                for number, box in enumerate(line):
                    self._box(box, left + number * step, left + (number + 1) * step - BETWEEN, y)
                y += BOX + BETWEEN
            return y - BETWEEN
        for box in boxes:
            self._box(box, left, right, y)
            y += box.height + BETWEEN
        return y - BETWEEN

    def _box(self, box: Box, left: float, right: float, y: float) -> None:
        cost = cost_of(box, self.costs)
        narrow = right - left < WIDTH - 2 * MARGIN
        share = cost.memory / self.memory if cost else 0.0
        figure = f"{count(cost.parameters)}" if cost and cost.parameters else ""
        wide = right - left
        self.parts.append(
            f'<g><title>{escape(_tooltip(box, cost, share))}</title><rect class="t4r-{"chip" if box.chip else "box"}" '
            f'x="{left:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{box.height}" rx="4"/>'
            f"{_narrow_text(box, figure, left, right, y) if narrow else _wide_text(box, figure, left, right, y)}"
            f"{_strip(box, left, right, y)}{_share(share, left, right, y + box.height)}</g>"
        )


def _tooltip(box: Box, cost: Cost | None, share: float) -> str:
    """The tooltip of a box."""
    text = " · ".join(part for part in (box.name, box.detail, box.shape) if part)
    if cost is None:
        return text
    return f"{text}: {cost.parameters:,} parameters, {cost.memory / 1e6:,.1f} MB in training, {share:.0%} of all"


def _wide_text(box: Box, figure: str, left: float, right: float, y: float) -> str:
    """SVG text: name and detail on the left, parameters and shape on the right, in one line."""
    line, number = y + 24, f'<tspan class="t4r-figure">{figure}</tspan>' if figure else ""
    gap = ' dx="10"' if figure else ""
    return (
        f'<text x="{left + 12:.1f}" y="{line:.1f}"><tspan class="t4r-name">{escape(_shorten(box.name, 28))}</tspan>'
        f'<tspan class="t4r-detail" dx="8">{escape(_shorten(box.detail, 60 - min(len(box.name), 28)))}</tspan></text>'
        f'<text class="t4r-shape" x="{right - 12:.1f}" y="{line:.1f}" text-anchor="end">{number}<tspan{gap}>{escape(box.shape)}</tspan></text>'
    )


def _narrow_text(box: Box, figure: str, left: float, right: float, y: float) -> str:
    """SVG text: name and parameters above, detail or shape beneath."""
    room = int((right - left - 20) / 7)
    beneath = " · ".join(part for part in (box.detail, box.shape) if part)
    return (
        f'<text class="t4r-name" x="{left + 9:.1f}" y="{y + 17:.1f}">{escape(_shorten(box.name, room - len(figure) - 1))}</text>'
        f'<text class="t4r-shape" x="{right - 9:.1f}" y="{y + 17:.1f}" text-anchor="end"><tspan class="t4r-figure">{figure}</tspan></text>'
        f'<text class="t4r-detail" x="{left + 9:.1f}" y="{y + 31:.1f}">{escape(_shorten(beneath, round(room * 1.25)))}</text>'
    )


def _strip(box: Box, left: float, right: float, y: float) -> str:
    step = (right - left - 24) / max(len(box.strip), 1)
    return "".join(
        f'<rect class="{"t4r-hidden" if hidden else "t4r-visible"}" x="{left + 12 + i * step:.1f}" y="{y + 35:.1f}" '
        f'width="{step - 3:.1f}" height="10" rx="1.5"/>'
        for i, hidden in enumerate(box.strip)
    )


def _share(share: float, left: float, right: float, bottom: float) -> str:
    """SVG of a box's share of the memory, as a bar along its lower edge."""
    if not share:
        return ""
    long = max((right - left - 8) * min(share, 1.0), 1.5)
    return f'<rect class="t4r-memory" x="{left + 4:.1f}" y="{bottom - 4:.1f}" width="{long:.1f}" height="3" rx="1.5"/>'


def _shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: max(longest - 1, 1)]}…"


def _arrow(x: float, top: float, bottom: float) -> str:
    return f'<path class="t4r-arrow" d="M{x:.1f} {top + 2:.1f}V{bottom - 3:.1f}m-4 -5l4 5l4 -5"/>'
