"""A picture of the meta-architecture: data → features → aggregation → masking → body → heads, with shapes and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from t4r_lab.errors import InputError
from t4r_lab.estimate import Cost, Estimate
from t4r_lab.schema import Schema
from t4r_lab.spec import ModelSpec, NextItem, RunSpec, TowerSpec
from t4r_lab.spec.features import Feature, resolve, width
from t4r_lab.widgets.text import count, escape

WIDTH, BOX, GAP, MARGIN, BETWEEN = 400, 40, 22, 2, 8
NARROW, STRIP = 196, 16
"""Width of a tower's column where there are several, and height of a masking's strip."""
SHOWN_FEATURES, SHOWN_TOWERS = 6, 4


@dataclass(frozen=True)
class Box:
    """One part of the model: its name, what is to know of it, and the shape of what it gives."""

    name: str
    detail: str = ""
    shape: str = ""
    paths: tuple[str, ...] = ()
    """where its costs stand in an estimate"""
    strip: tuple[bool, ...] = ()
    """positions of a session, true where an event is hidden from its own prediction"""
    chip: bool = False

    @property
    def height(self) -> int:
        return BOX + (STRIP if self.strip else 0)


Row = list[list[Box]]
"""Boxes one beneath the other, for each column; one column spans the picture."""


def picture(spec: RunSpec, schema: Schema | None, found: Estimate | None = None) -> str:
    """SVG of what `spec` builds from `schema`; B is the number of sessions in a batch.

    With an estimate each part has its parameters, and a bar of its share of the memory. Without a schema, or where
    the features don't fit together, the shapes that depend on them are left out.
    """
    rows, shown = layers(spec, schema), min(1 + len(spec.model.towers), SHOWN_TOWERS)
    wide = max(WIDTH, shown * (NARROW + BETWEEN) - BETWEEN + 2 * MARGIN)
    costs = {cost.path: cost for cost in found.costs} if found else {}
    drawing = _Drawing(wide, costs, max(found.memory, 1) if found else 1)
    for row in rows:
        drawing.row(row)
    return (
        f'<svg class="t4r-picture" style="max-width:{round(wide * 1.15)}px" viewBox="0 0 {wide} {max(drawing.bottoms) + MARGIN:.0f}" '
        f'role="img" aria-labelledby="t4r-picture-title t4r-picture-desc"><title id="t4r-picture-title">What the spec builds'
        f'</title><desc id="t4r-picture-desc">{escape(described(rows, costs))}</desc>{"".join(drawing.parts)}</svg>'
    )


def described(rows: list[Row], costs: Mapping[str, Cost]) -> str:
    """The picture in words."""

    def words(box: Box) -> str:
        found = _cost(box, costs)
        of = f"{count(found.parameters)} parameters" if found and found.parameters else ""
        return " ".join(part for part in (box.name, box.detail, box.shape, of) if part)

    return "; ".join(" | ".join(", ".join(words(box) for box in column) for column in row) for row in rows)


# ── What is drawn ───────────────────────────────────────────────────────────────────────────────


def layers(spec: RunSpec, schema: Schema | None) -> list[Row]:
    """Every layer of the model in the order in which data flow through it."""
    model, length = spec.model, spec.data.max_length
    towers: list[ModelSpec | TowerSpec] = [model, *model.towers]
    shown = list(enumerate(towers))[:SHOWN_TOWERS]
    features = [_features(tower, schema) for tower in towers]
    name = spec.data.path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    rows: list[Row] = [
        [[Box("data", name, f"B × {length} events")]],
        [_chips(_prefix(n), features[n]) for n, _ in shown],
        [[_aggregation(_prefix(n), t, features[n], length)] for n, t in shown],
        [[_masking(spec)]],
    ]
    projected = [_projection(_prefix(n), t, features[n], length) for n, t in shown]
    if any(projected):
        rows.append(projected)
    rows.append([[_body(_prefix(n), t, length)] for n, t in shown])
    if model.towers:
        widths = [tower.body.d_model for tower in towers]
        total = sum(widths) if model.merge == "concat" else widths[0]
        rows.append([[Box(model.merge, f"of {len(towers)} towers", f"B × {length} × {total}", ("model.merge",))]])
    heads = [_head(head, schema, f"model.heads.{n}") for n, head in enumerate(model.heads)]
    return [*rows, [[*heads, *_discriminator(spec)]]]


def _prefix(number: int) -> str:
    return f"model.towers.{number - 1}" if number else "model"


def _features(part: ModelSpec | TowerSpec, schema: Schema | None) -> dict[str, Feature]:
    if schema is None:
        return {}
    try:
        return resolve(part.inputs, schema, part.body.d_model)
    except InputError:
        return {}


def _chips(prefix: str, features: dict[str, Feature]) -> list[Box]:
    chips = [
        Box(name, f"{f.encoding} {f.dim}", paths=(f"{prefix}.inputs.features.{name}",), chip=True)
        for name, f in features.items()
    ]
    if len(chips) > SHOWN_FEATURES:
        chips, others = chips[: SHOWN_FEATURES - 1], chips[SHOWN_FEATURES - 1 :]
        chips.append(Box(f"{len(others)} more", "features", paths=tuple(p for c in others for p in c.paths), chip=True))
    return chips or [Box("features", "of the data", chip=True)]


def _aggregation(prefix: str, part: ModelSpec | TowerSpec, features: dict[str, Feature], length: int) -> Box:
    joined = width(features, part.inputs.aggregation) if features else "…"
    detail = f"{len(features) or ''} features".strip()
    return Box(part.inputs.aggregation, detail, f"B × {length} × {joined}", (f"{prefix}.inputs",))


def _projection(prefix: str, part: ModelSpec | TowerSpec, features: dict[str, Feature], length: int) -> list[Box]:
    """The layer between inputs and body, where their widths differ."""
    joined = width(features, part.inputs.aggregation) if features else part.body.d_model
    if joined == part.body.d_model:
        return []
    detail, shape = f"{joined} → {part.body.d_model}", f"B × {length} × {part.body.d_model}"
    return [Box("linear", detail, shape, (f"{prefix}.projection",))]


def _body(prefix: str, part: ModelSpec | TowerSpec, length: int) -> Box:
    body: Any = part.body
    heads = f"{body.n_head} head{'s' if body.n_head > 1 else ''}" if hasattr(body, "n_head") else ""
    return Box(f"{type(body).__name__} ×{body.n_layer}", heads, f"B × {length} × {body.d_model}", (f"{prefix}.body",))


def _head(head: Any, schema: Schema | None, path: str) -> Box:
    if isinstance(head, NextItem):
        tied = "tied" if head.weight_tying else "own weights"
        return Box("next item", tied, f"B × {schema.n_items:,}" if schema else "B × items", (path,))
    known = schema is not None and head.column in schema
    classes = schema[head.column].classes if schema is not None and known else "classes"
    shape = f"B × {classes}" if head.kind == "categorical" else "B"
    return Box(head.column, f"{head.kind} · {head.summary}", shape, (path,))


def _discriminator(spec: RunSpec) -> list[Box]:
    """The box of the discriminator, where the masking has one."""
    masking: Any = spec.model.masking
    if masking.kind != "rtd":
        return []
    body = "same body" if masking.discriminator == "shared" else "body of its own"
    detail = f"{body} · weight {masking.weight:g}"
    return [Box("original or replaced?", detail, f"B × {spec.data.max_length}", ("model.masking",))]


CELLS = 20
SCATTERED = (7, 15, 3, 18, 11, 0, 13, 5, 9, 16, 1, 19, 6, 12, 2, 17, 10, 4, 14, 8)
"""A fixed order of the cells, so that a slider adds cells and moves none."""


def _masking(spec: RunSpec) -> Box:
    """The masking with a strip of positions."""
    masking: Any = spec.model.masking
    if masking.kind == "clm":
        return Box("clm", "each position sees those before it", strip=(False,) * (CELLS - 1) + (True,))
    if masking.kind == "plm" and masking.permute_all:
        strip = tuple(i != SCATTERED[0] for i in range(CELLS))
        return Box("plm", "all but the first of a random order predicted", strip=strip)
    wanted = max(1, min(CELLS - 1, round(masking.probability * CELLS)))
    if masking.kind == "plm":
        detail = f"{masking.probability:.0%} predicted in random order, spans to {masking.max_span_length}"
        return Box("plm", detail, strip=_spans(wanted, masking.max_span_length))
    detail = f"{masking.probability:.0%} hidden" + (", then replaced" if masking.kind == "rtd" else "")
    return Box(masking.kind, detail, strip=tuple(i in SCATTERED[:wanted] for i in range(CELLS)))


def _spans(wanted: int, longest: int) -> tuple[bool, ...]:
    """So many cells in evenly placed spans of at most `longest`."""
    spans = min(-(-wanted // longest), CELLS - wanted)
    sizes = [wanted // spans + (i < wanted % spans) for i in range(spans)]
    gaps = [(CELLS - wanted) // spans + (i < (CELLS - wanted) % spans) for i in range(spans)]
    return tuple(cell for gap, size in zip(gaps, sizes, strict=True) for cell in [False] * gap + [True] * size)


# ── How it is drawn ─────────────────────────────────────────────────────────────────────────────


def _cost(box: Box, costs: Mapping[str, Cost]) -> Cost | None:
    """What the parts of a box cost together."""
    found = [costs[path] for path in box.paths if path in costs]
    if not found:
        return None
    return replace(
        found[0],
        **{name: sum(getattr(c, name) for c in found) for name in Cost.__dataclass_fields__ if name != "path"},
    )


class _Drawing:
    """SVG elements, row by row, from the top down."""

    def __init__(self, wide: int, costs: Mapping[str, Cost], memory: int) -> None:
        self.wide, self.costs, self.memory = wide, costs, memory
        self.parts: list[str] = []
        self.bottoms: list[float] = []
        """lower edge of what was drawn last in each column"""

    def row(self, row: Row) -> None:
        """Draw the columns of a row side by side, with an arrow to each from what was drawn above it."""
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
        """Draw `boxes` beneath one another from `y` on, chips beside one another; returns the lower edge."""
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
        cost = _cost(box, self.costs)
        narrow = right - left < WIDTH - 2 * MARGIN
        share = cost.memory / self.memory if cost else 0.0
        figure = f"{count(cost.parameters)}" if cost and cost.parameters else ""
        wide = right - left
        self.parts.append(
            f'<g><title>{escape(_told(box, cost, share))}</title><rect class="t4r-{"chip" if box.chip else "box"}" '
            f'x="{left:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{box.height}" rx="4"/>'
            f"{_narrow_text(box, figure, left, right, y) if narrow else _wide_text(box, figure, left, right, y)}"
            f"{_strip(box, left, right, y)}{_share(share, left, right, y + box.height)}</g>"
        )


def _told(box: Box, cost: Cost | None, share: float) -> str:
    """What a pointer that rests on a box is told."""
    told = " · ".join(part for part in (box.name, box.detail, box.shape) if part)
    if cost is None:
        return told
    return f"{told}: {cost.parameters:,} parameters, {cost.memory / 1e6:,.1f} MB in training, {share:.0%} of all"


def _wide_text(box: Box, figure: str, left: float, right: float, y: float) -> str:
    """Name and detail at the left, parameters and shape at the right, in one line."""
    line, number = y + 24, f'<tspan class="t4r-figure">{figure}</tspan>' if figure else ""
    gap = ' dx="10"' if figure else ""
    return (
        f'<text x="{left + 12:.1f}" y="{line:.1f}"><tspan class="t4r-name">{escape(_short(box.name, 28))}</tspan>'
        f'<tspan class="t4r-detail" dx="8">{escape(_short(box.detail, 60 - min(len(box.name), 28)))}</tspan></text>'
        f'<text class="t4r-shape" x="{right - 12:.1f}" y="{line:.1f}" text-anchor="end">{number}<tspan{gap}>{escape(box.shape)}</tspan></text>'
    )


def _narrow_text(box: Box, figure: str, left: float, right: float, y: float) -> str:
    """Name and parameters above, detail or shape beneath."""
    room = int((right - left - 20) / 7)
    beneath = " · ".join(part for part in (box.detail, box.shape) if part)
    return (
        f'<text class="t4r-name" x="{left + 9:.1f}" y="{y + 17:.1f}">{escape(_short(box.name, room - len(figure) - 1))}</text>'
        f'<text class="t4r-shape t4r-figure" x="{right - 9:.1f}" y="{y + 17:.1f}" text-anchor="end">{figure}</text>'
        f'<text class="t4r-detail" x="{left + 9:.1f}" y="{y + 31:.1f}">{escape(_short(beneath, round(room * 1.25)))}</text>'
    )


def _strip(box: Box, left: float, right: float, y: float) -> str:
    step = (right - left - 24) / max(len(box.strip), 1)
    return "".join(
        f'<rect class="{"t4r-hidden" if hidden else "t4r-visible"}" x="{left + 12 + i * step:.1f}" y="{y + 35:.1f}" '
        f'width="{step - 3:.1f}" height="10" rx="1.5"/>'
        for i, hidden in enumerate(box.strip)
    )


def _share(share: float, left: float, right: float, bottom: float) -> str:
    """The part of the memory that a box takes, as a bar along its lower edge."""
    if not share:
        return ""
    long = max((right - left - 8) * min(share, 1.0), 1.5)
    return f'<rect class="t4r-memory" x="{left + 4:.1f}" y="{bottom - 4:.1f}" width="{long:.1f}" height="3" rx="1.5"/>'


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: max(longest - 1, 1)]}…"


def _arrow(x: float, top: float, bottom: float) -> str:
    return f'<path class="t4r-arrow" d="M{x:.1f} {top + 2:.1f}V{bottom - 3:.1f}m-4 -5l4 5l4 -5"/>'
