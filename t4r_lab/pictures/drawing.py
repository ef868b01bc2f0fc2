"""Drawing of blocks in rows and lanes as SVG, with arrows between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape

from t4r_lab.pictures.short_numbers import count, megabytes
from t4r_lab.training.estimate import Cost

WIDTH, HEIGHT, GAP, MARGIN, BETWEEN = 400, 42, 20, 2, 8
NARROW, STRIP, GUTTER = 196, 16, 30
"""Width of a tower's lane where there are several, height of a masking's strip, width beside the blocks for buttons."""


@dataclass(frozen=True)
class Block:
    """One part of the model: its name, a detail, and the shape of its output."""

    key: str
    """path of the part in the spec, which choosing the block selects"""
    name: str
    detail: str = ""
    shape: str = ""
    paths: tuple[str, ...] = ()
    """paths of its costs in an estimate"""
    strip: tuple[bool, ...] = ()
    """positions of a session, true where the event is masked for its prediction"""
    of: str = ""
    """path of the list within which it can be moved"""
    folded: bool = False
    """whether it stands for several, which choosing it shows"""

    @property
    def height(self) -> int:
        """Height in pixels."""
        return HEIGHT + (STRIP if self.strip else 0)


@dataclass(frozen=True)
class Lane:
    """Blocks of one tower, or of all, from top to bottom, with so many in a line."""

    blocks: tuple[Block, ...]
    per_line: int = 1


@dataclass(frozen=True)
class Row:
    """Lanes side by side; a single one spans the picture. A list has a button that adds to it."""

    lanes: tuple[Lane, ...]
    adds: str = ""
    """path of the list that the row's button adds to"""
    what: str = ""
    """an element of that list, in a word"""


def cost_of(block: Block, costs: Mapping[str, Cost]) -> Cost | None:
    """The total cost of the parts of a block; None if the estimate has none of them."""
    parts = [costs[path] for path in block.paths if path in costs]
    if not parts:
        return None
    return replace(
        parts[0],
        **{name: sum(getattr(c, name) for c in parts) for name in Cost.__dataclass_fields__ if name != "path"},
    )


def figures(cost: Cost | None, step: float) -> list[str]:
    """Parameters, memory and the share of a `step`'s seconds, as text."""
    if cost is None:
        return []
    parts = [count(cost.parameters) if cost.parameters else "", megabytes(cost.memory) if cost.memory else ""]
    return [part for part in (*parts, f"{cost.seconds / step:.0%}" if step and cost.seconds else "") if part]


class Drawing:
    """SVG elements, drawn row by row from the top.

    Parameters
    ----------
    width
        of the picture, in pixels.
    costs
        path of a part → its cost.
    refused
        key of a block → what is wrong with it.
    """

    def __init__(self, width: int, costs: Mapping[str, Cost], refused: Mapping[str, str]) -> None:
        self.width, self.costs, self.refused = width, costs, refused
        self.step = sum(cost.seconds for cost in costs.values())
        self.parts: list[str] = []
        self.bottoms: list[float] = []
        """lower edge of the last block in each lane"""
        self._number = 0

    @property
    def height(self) -> float:
        """Height of all that is drawn."""
        return max(self.bottoms, default=0.0) + MARGIN

    def row(self, row: Row) -> None:
        """Draw the lanes of a row side by side, each with an arrow from the block above it."""
        lanes = row.lanes
        top = max(self.bottoms) + GAP if self.bottoms else MARGIN
        above = self.bottoms or [top]
        most = max(len(lanes), len(above))
        for number in range(most if self.bottoms else 0):
            if lanes[min(number, len(lanes) - 1)].blocks:
                left, right = self._edges(number, most)
                self.parts.append(_arrow((left + right) / 2, above[min(number, len(above) - 1)], top))
        self.bottoms = [
            self._lane(lane, *self._edges(number, len(lanes)), top)
            if lane.blocks
            else above[min(number, len(above) - 1)]
            for number, lane in enumerate(lanes)
        ]
        if row.adds:
            self.parts.append(_button(row, self.width - GUTTER / 2 - MARGIN + 3, (top + max(self.bottoms)) / 2))
        self._number += 1

    def _edges(self, number: int, lanes: int) -> tuple[float, float]:
        step = (self.width - GUTTER - 2 * MARGIN + BETWEEN) / lanes
        return MARGIN + number * step, MARGIN + (number + 1) * step - BETWEEN

    def _lane(self, lane: Lane, left: float, right: float, y: float) -> float:
        """Draw the blocks of a lane from `y` downward; return the lower edge."""
        for start in range(0, len(lane.blocks), lane.per_line):
            line = lane.blocks[start : start + lane.per_line]
            step = (right - left + BETWEEN) / len(line)
            for number, block in enumerate(line):
                self._block(block, left + number * step, left + (number + 1) * step - BETWEEN, y)
            y += max(block.height for block in line) + BETWEEN
        return y - BETWEEN

    def _block(self, block: Block, left: float, right: float, y: float) -> None:
        cost = cost_of(block, self.costs)
        words = figures(cost, self.step)
        wrong = self.refused.get(block.key, "")
        text = _wide_text if right - left > NARROW + 20 else _narrow_text
        share = cost.seconds / self.step if cost and self.step else 0.0
        label = " · ".join(filter(None, [block.name, block.detail, block.shape, *words, wrong and f"Error: {wrong}"]))
        marks = f"{' t4r-refused' if wrong else ''}{' t4r-chip' if text is _narrow_text else ''}"
        self.parts.append(
            f'<g class="t4r-block{marks}" data-key="{escape(block.key)}" data-of="{escape(block.of)}" '
            f'data-row="{self._number}" role="button" tabindex="-1" aria-label="{escape(label)}">'
            f"<title>{escape(_tooltip(label, cost, share))}</title>"
            f'<rect class="t4r-frame" x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" height="{block.height}" rx="4"/>'
            f"{text(block, words if text is _wide_text else words[: bool(cost and cost.parameters)], left, right, y)}{_strip(block, left, right, y)}"
            f"{_share(share, left, right, y + block.height)}{_mark(right, y) if wrong else ''}</g>"
        )


def _tooltip(label: str, cost: Cost | None, share: float) -> str:
    """The tooltip of a block."""
    if cost is None:
        return label
    time = f", {share:.0%} of a step's time" if share else ""
    return f"{label}\n{cost.parameters:,} parameters, {cost.memory / 1e6:,.1f} MB in training{time}"


def _wide_text(block: Block, words: Sequence[str], left: float, right: float, y: float) -> str:
    """SVG text: name and shape above, detail and figures beneath."""
    return (
        f'<text class="t4r-name" x="{left + 11:.1f}" y="{y + 17:.1f}">{escape(_shorten(block.name, 34))}</text>'
        f'<text class="t4r-shape" x="{right - 11:.1f}" y="{y + 17:.1f}" text-anchor="end">{escape(block.shape)}</text>'
        f'<text class="t4r-detail" x="{left + 11:.1f}" y="{y + 33:.1f}">{escape(_shorten(block.detail, 36))}</text>'
        f'<text class="t4r-figure" x="{right - 11:.1f}" y="{y + 33:.1f}" text-anchor="end">{escape(" · ".join(words))}</text>'
    )


def _narrow_text(block: Block, words: Sequence[str], left: float, right: float, y: float) -> str:
    """SVG text: name and parameters above, detail or shape beneath."""
    room, figure = int((right - left - 16) / 6.6), words[0] if words else ""
    beneath = " · ".join(part for part in (block.detail, block.shape) if part)
    return (
        f'<text class="t4r-name" x="{left + 8:.1f}" y="{y + 17:.1f}">{escape(_shorten(block.name, room - len(figure) - 1))}</text>'
        f'<text class="t4r-figure" x="{right - 8:.1f}" y="{y + 17:.1f}" text-anchor="end">{escape(figure)}</text>'
        f'<text class="t4r-detail" x="{left + 8:.1f}" y="{y + 32:.1f}">{escape(_shorten(beneath, round(room * 1.2)))}</text>'
    )


def _strip(block: Block, left: float, right: float, y: float) -> str:
    step = (right - left - 22) / max(len(block.strip), 1)
    return "".join(
        f'<rect class="{"t4r-hidden" if hidden else "t4r-visible"}" x="{left + 11 + i * step:.1f}" y="{y + 41:.1f}" '
        f'width="{step - 3:.1f}" height="9" rx="1.5"/>'
        for i, hidden in enumerate(block.strip)
    )


def _share(share: float, left: float, right: float, bottom: float) -> str:
    """SVG of a block's share of a step's time, as a bar along its lower edge."""
    if not share:
        return ""
    long = max((right - left - 8) * min(share, 1.0), 1.5)
    return f'<rect class="t4r-share-bar" x="{left + 4:.1f}" y="{bottom - 4:.1f}" width="{long:.1f}" height="2.5" rx="1.2"/>'


def _mark(right: float, y: float) -> str:
    """SVG of the sign of a refusal at the upper right corner."""
    return (
        f'<circle class="t4r-wrong" cx="{right - 2:.1f}" cy="{y + 3:.1f}" r="8"/>'
        f'<text class="t4r-wrong-sign" x="{right - 2:.1f}" y="{y + 7.2:.1f}" text-anchor="middle">!</text>'
    )


def _button(row: Row, x: float, y: float) -> str:
    """SVG of the button that adds to the list of a row."""
    return (
        f'<g class="t4r-add" data-key="add {escape(row.adds)}" role="button" tabindex="-1" aria-label="add {escape(row.what)}">'
        f'<title>add {escape(row.what)}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="10"/>'
        f'<path d="M{x - 4.5:.1f} {y:.1f}h9m-4.5 -4.5v9"/></g>'
    )


def _shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: max(longest - 1, 1)]}…"


def _arrow(x: float, top: float, bottom: float) -> str:
    return f'<path class="t4r-arrow" d="M{x:.1f} {top + 2:.1f}V{bottom - 3:.1f}m-4 -5l4 5l4 -5"/>'
