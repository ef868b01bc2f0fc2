"""Picture of the meta-architecture: data → features → aggregation → masking → body → heads, with shapes and costs."""

from __future__ import annotations

from collections.abc import Mapping

from t4r_lab.base.errors import InputError
from t4r_lab.lab.panels.architecture.drawing import BETWEEN, MARGIN, NARROW, WIDTH, Box, Drawing, Row, cost_of
from t4r_lab.lab.parts.text import count, escape
from t4r_lab.schema.columns import Schema
from t4r_lab.spec import ModelSpec, RunSpec, TowerSpec
from t4r_lab.spec.head_specs import HeadSpec
from t4r_lab.spec.input_columns import Feature, resolve, width
from t4r_lab.training.estimate import Cost, Estimate

SHOWN_FEATURES, SHOWN_TOWERS = 6, 4


def picture(spec: RunSpec, schema: Schema | None, estimate: Estimate | None = None) -> str:
    """SVG of the model that `spec` builds from `schema`; B is the number of sessions in a batch.

    With an estimate each part has its parameters, and a bar of its share of the memory. Without a schema, or if
    the features don't fit together, the shapes that depend on them are left out.
    """
    rows, shown = layers(spec, schema), min(1 + len(spec.model.towers), SHOWN_TOWERS)
    wide = max(WIDTH, shown * (NARROW + BETWEEN) - BETWEEN + 2 * MARGIN)
    costs = {cost.path: cost for cost in estimate.costs} if estimate else {}
    drawing = Drawing(wide, costs, max(estimate.memory, 1) if estimate else 1)
    for row in rows:
        drawing.row(row)
    return (
        f'<svg class="t4r-picture" style="max-width:{round(wide * 1.15)}px" viewBox="0 0 {wide} {max(drawing.bottoms) + MARGIN:.0f}" '
        f'role="img" aria-labelledby="t4r-picture-title t4r-picture-desc"><title id="t4r-picture-title">What the spec builds'
        f'</title><desc id="t4r-picture-desc">{escape(describe(rows, costs))}</desc>{"".join(drawing.parts)}</svg>'
    )


def describe(rows: list[Row], costs: Mapping[str, Cost]) -> str:
    """The picture in words."""

    def words(box: Box) -> str:
        cost = cost_of(box, costs)
        parameters = f"{count(cost.parameters)} parameters" if cost and cost.parameters else ""
        return " ".join(part for part in (box.name, box.detail, box.shape, parameters) if part)

    return "; ".join(" | ".join(", ".join(words(box) for box in column) for column in row) for row in rows)


# ── The layers ─────────────────────────────────────────────────────────────────────────────────


def layers(spec: RunSpec, schema: Schema | None) -> list[Row]:
    """Every layer of the model in the order of data flow."""
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
        chips, rest = chips[: SHOWN_FEATURES - 1], chips[SHOWN_FEATURES - 1 :]
        chips.append(Box(f"{len(rest)} more", "features", paths=tuple(p for c in rest for p in c.paths), chip=True))
    return chips or [Box("features", "of the data", chip=True)]


def _aggregation(prefix: str, part: ModelSpec | TowerSpec, features: dict[str, Feature], length: int) -> Box:
    joined = width(features, part.inputs.aggregation) if features else "…"
    detail = f"{len(features) or ''} feature{'' if len(features) == 1 else 's'}".strip()
    return Box(part.inputs.aggregation, detail, f"B × {length} × {joined}", (f"{prefix}.inputs",))


def _projection(prefix: str, part: ModelSpec | TowerSpec, features: dict[str, Feature], length: int) -> list[Box]:
    """The box of the linear layer between inputs and body; empty if their widths agree."""
    joined = width(features, part.inputs.aggregation) if features else part.body.d_model
    if joined == part.body.d_model:
        return []
    detail, shape = f"{joined} → {part.body.d_model}", f"B × {length} × {part.body.d_model}"
    return [Box("linear", detail, shape, (f"{prefix}.projection",))]


def _body(prefix: str, part: ModelSpec | TowerSpec, length: int) -> Box:
    body = part.body
    heads = f"{body.n_head} head{'s' if body.n_head > 1 else ''}" if hasattr(body, "n_head") else ""
    return Box(f"{type(body).__name__} ×{body.n_layer}", heads, f"B × {length} × {body.d_model}", (f"{prefix}.body",))


def _head(head: HeadSpec, schema: Schema | None, path: str) -> Box:
    return Box(head.title, head.detail, f"B × {head.outputs(schema)}", (path,))


def _discriminator(spec: RunSpec) -> list[Box]:
    """The box of the discriminator; empty if the masking has none."""
    detection = spec.model.masking.detection
    if detection is None:
        return []
    body = "separate body" if detection.separate else "same body"
    detail = f"{body} · weight {detection.weight:g}"
    return [Box("original or replaced?", detail, f"B × {spec.data.max_length}", ("model.masking",))]


CELLS = 20
SCATTERED = (7, 15, 3, 18, 11, 0, 13, 5, 9, 16, 1, 19, 6, 12, 2, 17, 10, 4, 14, 8)
"""A fixed order of the cells, so that a larger share adds cells and moves none."""


def _masking(spec: RunSpec) -> Box:
    """The masking with a strip of positions."""
    masking = spec.model.masking
    words, share, longest_span = masking.sketch()
    return Box(masking.kind, words, strip=_strip(masking.causal, share, longest_span))


def _strip(causal: bool, share: float | None, longest_span: int | None) -> tuple[bool, ...]:
    """The cells of the strip, true where predicted."""
    if share is None:
        return (False,) * (CELLS - 1) + (True,) if causal else ()
    predicted = max(1, min(CELLS - 1, round(share * CELLS)))
    if longest_span is not None:
        return _spans(predicted, longest_span)
    return tuple(i in SCATTERED[:predicted] for i in range(CELLS))


def _spans(predicted: int, longest: int) -> tuple[bool, ...]:
    """The cells of the strip with `predicted` true ones in evenly spaced spans of at most `longest`."""
    spans = min(-(-predicted // longest), CELLS - predicted)
    sizes = [predicted // spans + (i < predicted % spans) for i in range(spans)]
    gaps = [(CELLS - predicted) // spans + (i < (CELLS - predicted) % spans) for i in range(spans)]
    return tuple(cell for gap, size in zip(gaps, sizes, strict=True) for cell in [False] * gap + [True] * size)
