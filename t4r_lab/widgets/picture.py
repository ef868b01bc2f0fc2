"""A picture of the meta-architecture: features → aggregation → masking → body → head, with shapes."""

from __future__ import annotations

from typing import Any

from t4r_lab.errors import InputError
from t4r_lab.schema import Schema
from t4r_lab.spec import NextItem, RunSpec
from t4r_lab.spec.features import resolve, width
from t4r_lab.widgets.text import escape

WIDTH, BOX, GAP, MARGIN = 380, 38, 22, 2
SHOWN_FEATURES = 6
PER_ROW = 3


def picture(spec: RunSpec, schema: Schema | None) -> str:
    """SVG of what `spec` builds from `schema`; B is the number of sessions in a batch.

    Without a schema, or where the features don't fit together, the shapes that depend on them are left out.
    """
    boxes, y = [], MARGIN
    features = _features(spec, schema)
    chips = [(name, f"{f.encoding} {f.dim}") for name, f in features.items()] or [("features", "of the data")]
    drawn, y = _chips(chips, y)
    boxes.append(drawn)
    for name, detail, shape, strip in layers(spec, schema):
        boxes.append(_arrow(y))
        boxes.append(_box(name, detail, shape, y + GAP, strip))
        y += GAP + BOX + (16 if strip else 0)
    height = y + MARGIN
    words = "; ".join(f"{n} {d} {s}".strip() for n, d, s, _ in layers(spec, schema))
    alternative = f"{', '.join(n for n, _ in chips)}; {words}"
    return (
        f'<svg class="t4r-picture" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(alternative)}">'
        f"<title>{escape('What the spec builds')}</title>{''.join(boxes)}</svg>"
    )


def layers(spec: RunSpec, schema: Schema | None) -> list[tuple[str, str, str, list[bool]]]:
    """Name, detail, shape and masking strip of each layer after the features."""
    model, body = spec.model, spec.model.body
    features, length = _features(spec, schema), spec.data.max_length
    joined = width(features, model.inputs.aggregation) if features else 0
    rows: list[tuple[str, str, str, list[bool]]] = [
        (model.inputs.aggregation, f"{len(features) or ''} features".strip(), f"B × {length} × {joined or '…'}", [])
    ]
    if joined and joined != body.d_model:
        rows.append(("linear", f"{joined} → {body.d_model}", f"B × {length} × {body.d_model}", []))
    rows.append(_masking(spec))
    bodies = [body, *(tower.body for tower in model.towers)]
    if model.towers:
        names = " | ".join(f"{type(b).__name__} ×{b.n_layer}" for b in bodies)
        total = sum(b.d_model for b in bodies) if model.merge == "concat" else body.d_model
        rows.append((f"{len(bodies)} towers", names, "", []))
        rows.append((model.merge, "of the towers", f"B × {length} × {total}", []))
    else:
        heads = f"{body.n_head} heads · " if hasattr(body, "n_head") else ""
        detail = f"{heads}{body.n_layer} layer{'s' if body.n_layer > 1 else ''}"
        rows.append((type(body).__name__, detail, f"B × {length} × {body.d_model}", []))
    return [*rows, *(_head(head, schema) for head in model.heads), *_discriminator(spec)]


def _head(head: Any, schema: Schema | None) -> tuple[str, str, str, list[bool]]:
    if isinstance(head, NextItem):
        tied = "tied" if head.weight_tying else "own weights"
        return "next item", tied, f"B × {schema.n_items:,}" if schema else "B × items", []
    known = schema is not None and head.column in schema
    classes = schema[head.column].classes if schema is not None and known else "classes"
    return head.column, f"{head.kind} · {head.summary}", f"B × {classes}" if head.kind == "categorical" else "B", []


def _features(spec: RunSpec, schema: Schema | None) -> dict[str, Any]:
    if schema is None:
        return {}
    try:
        return resolve(spec.model.inputs, schema, spec.model.body.d_model)
    except InputError:
        return {}


CELLS = 20
SCATTERED = (7, 15, 3, 18, 11, 0, 13, 5, 9, 16, 1, 19, 6, 12, 2, 17, 10, 4, 14, 8)
"""A fixed order of the cells, so that a slider adds cells and moves none."""


def _masking(spec: RunSpec) -> tuple[str, str, str, list[bool]]:
    """The masking with a strip of positions, true where an event is hidden from its own prediction in training."""
    masking: Any = spec.model.masking
    if masking.kind == "clm":
        return "clm", "each position sees those before it", "", [False] * (CELLS - 1) + [True]
    if masking.kind == "plm" and masking.permute_all:
        return "plm", "all but the first of a random order predicted", "", [i != SCATTERED[0] for i in range(CELLS)]
    wanted = max(1, min(CELLS - 1, round(masking.probability * CELLS)))
    if masking.kind == "plm":
        detail = f"{masking.probability:.0%} predicted in random order, spans to {masking.max_span_length}"
        return "plm", detail, "", _spans(wanted, masking.max_span_length)
    detail = f"{masking.probability:.0%} hidden" + (", then replaced" if masking.kind == "rtd" else "")
    return masking.kind, detail, "", [i in SCATTERED[:wanted] for i in range(CELLS)]


def _spans(wanted: int, longest: int) -> list[bool]:
    """So many cells in evenly placed spans of at most `longest`."""
    count = min(-(-wanted // longest), CELLS - wanted)
    sizes = [wanted // count + (i < wanted % count) for i in range(count)]
    gaps = [(CELLS - wanted) // count + (i < (CELLS - wanted) % count) for i in range(count)]
    return [cell for gap, size in zip(gaps, sizes, strict=True) for cell in [False] * gap + [True] * size]


def _discriminator(spec: RunSpec) -> list[tuple[str, str, str, list[bool]]]:
    """The row of the discriminator, where the masking has one."""
    masking: Any = spec.model.masking
    if masking.kind != "rtd":
        return []
    body = "same body" if masking.discriminator == "shared" else "body of its own"
    return [("original or replaced?", f"{body} · weight {masking.weight:g}", f"B × {spec.data.max_length}", [])]


def _chips(chips: list[tuple[str, str]], y: int) -> tuple[str, int]:
    more = len(chips) - SHOWN_FEATURES
    shown = chips[:SHOWN_FEATURES]
    if more > 0:
        shown = [*chips[: SHOWN_FEATURES - 1], (f"{more + 1} more", "features")]
    rows = [shown[i : i + PER_ROW] for i in range(0, len(shown), PER_ROW)]
    parts = []
    for row in rows:
        step = (WIDTH - 2 * MARGIN + 8) / len(row)
        for i, (name, detail) in enumerate(row):
            x = MARGIN + i * step
            middle = x + (step - 8) / 2
            parts.append(
                f'<rect class="t4r-chip" x="{x:.1f}" y="{y}" width="{step - 8:.1f}" height="{BOX}" rx="4"/>'
                f'<text class="t4r-name" x="{middle:.1f}" y="{y + 16}" text-anchor="middle">{escape(_short(name))}</text>'
                f'<text class="t4r-detail" x="{middle:.1f}" y="{y + 30}" text-anchor="middle">{escape(detail)}</text>'
            )
        y += BOX + 8
    return "".join(parts), y - 8


def _short(name: str, longest: int = 15) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _arrow(y: int) -> str:
    x = WIDTH / 2
    return f'<path class="t4r-arrow" d="M{x} {y + 2}V{y + GAP - 3}m-4 -5l4 5l4 -5"/>'


def _box(name: str, detail: str, shape: str, y: int, strip: list[bool]) -> str:
    tall = BOX + (16 if strip else 0)
    parts = [
        f'<rect class="t4r-box" x="{MARGIN}" y="{y}" width="{WIDTH - 2 * MARGIN}" height="{tall}" rx="4"/>',
        f'<text x="{MARGIN + 12}" y="{y + 24}"><tspan class="t4r-name">{escape(name)}</tspan>'
        f'<tspan class="t4r-detail" dx="8">{escape(detail)}</tspan></text>',
        f'<text class="t4r-shape" x="{WIDTH - MARGIN - 12}" y="{y + 24}" text-anchor="end">{escape(shape)}</text>',
    ]
    step = (WIDTH - 2 * MARGIN - 24) / max(len(strip), 1)
    for i, hidden in enumerate(strip):
        kind = "t4r-hidden" if hidden else "t4r-visible"
        parts.append(
            f'<rect class="{kind}" x="{MARGIN + 12 + i * step:.1f}" y="{y + 34}" width="{step - 3:.1f}" height="10" rx="1.5"/>'
        )
    return "".join(parts)
