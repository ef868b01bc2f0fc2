"""Picture of the meta-architecture: data → features → aggregation → masking → body → heads, with shapes and costs."""

from __future__ import annotations

from collections.abc import Container, Mapping
from html import escape

from t4r_lab.base.errors import InputError
from t4r_lab.pictures.drawing import BETWEEN, GUTTER, MARGIN, NARROW, WIDTH, Block, Drawing, Lane, Row, cost_of, figures
from t4r_lab.schema.columns import Schema
from t4r_lab.spec import ModelSpec, RunSpec, TowerSpec
from t4r_lab.spec.head_specs import HeadSpec
from t4r_lab.spec.input_columns import Feature, resolve, width
from t4r_lab.spec.sections import HEADS, TOWERS
from t4r_lab.training.estimate import Estimate

FEW_FEATURES = 12
"""The most features of a tower that are all shown; more are folded by kind until they are unfolded."""
FEATURES = "inputs.features"
Features = dict[str, Feature | None]
"""Features of a tower by their names; None where they don't fit together or the data lack one."""


COLORS = """<style>
.t4r-picture { font-family: system-ui, sans-serif; --text: #1f1f1f; --quiet: #616161; --line: #bdbdbd; --fill: #ffffff; --chip: #f2f2f2; --accent: #1976d2; }
@media (prefers-color-scheme: dark) { .t4r-picture { --text: #e8e8e8; --quiet: #a8a8a8; --line: #616161; --fill: #1b1b1b; --chip: #2a2a2a; --accent: #64b5f6; background: #111111; } }
text { fill: var(--text); font-size: 12px; font-variant-numeric: tabular-nums; }
.t4r-name { font-weight: 600; }
:is(.t4r-detail, .t4r-shape, .t4r-figure) { fill: var(--quiet); font-size: 11px; }
.t4r-frame { fill: var(--fill); stroke: var(--line); }
.t4r-chip .t4r-frame { fill: var(--chip); }
.t4r-arrow { fill: none; stroke: var(--quiet); }
:is(.t4r-visible, .t4r-share-bar) { fill: var(--accent); }
.t4r-hidden { fill: none; stroke: var(--quiet); stroke-dasharray: 2 2; }
.t4r-add { display: none; }
</style>"""
"""Style of a picture outside the Lab, which gives it JupyterLab's colors."""


def draw(rows: list[Row], estimate: Estimate | None = None, refused: Mapping[str, str] | None = None) -> str:
    """SVG of the `layers` of a model; B is the number of sessions in a batch.

    Parameters
    ----------
    estimate
        adds to each part its parameters, memory, and share of a step's time.
    refused
        key of a block → what is wrong with it.
    """
    lanes = max(len(row.lanes) for row in rows)
    wide = max(WIDTH, lanes * (NARROW + BETWEEN) - BETWEEN + 2 * MARGIN + GUTTER)
    costs = {cost.path: cost for cost in estimate.costs} if estimate else {}
    drawing = Drawing(wide, costs, refused or {})
    for row in rows:
        drawing.row(row)
    height = f"{drawing.height:.0f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="t4r-picture" width="{wide}" height="{height}" viewBox="0 0 {wide} {height}" '
        f'role="group" aria-label="The model: {escape(describe(rows, estimate))}">{"".join(drawing.parts)}</svg>'
    )


def picture_file(spec: RunSpec, schema: Schema, estimate: Estimate | None = None) -> str:
    """The picture as an SVG file with colors of its own, every feature shown."""
    svg = draw(layers(spec, schema, None), estimate)
    end = svg.index(">") + 1
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{svg[:end]}{COLORS}{svg[end:]}\n'


def describe(rows: list[Row], estimate: Estimate | None = None) -> str:
    """The picture in words."""
    costs = {cost.path: cost for cost in estimate.costs} if estimate else {}
    step = sum(cost.seconds for cost in costs.values())

    def words(block: Block) -> str:
        shown = (block.name, block.detail, block.shape, *figures(cost_of(block, costs), step))
        return " ".join(part for part in shown if part)

    return "; ".join(" | ".join(", ".join(words(b) for b in lane.blocks) for lane in row.lanes) for row in rows)


def blocks(rows: list[Row]) -> list[Block]:
    """All blocks of the layers."""
    return [block for row in rows for lane in row.lanes for block in lane.blocks]


# ── The layers ─────────────────────────────────────────────────────────────────────────────────


def layers(spec: RunSpec, schema: Schema | None, unfolded: Container[str] | None = ()) -> list[Row]:
    """Every layer of the model that `spec` builds from `schema`, in the order of data flow.

    Without a schema, or if the features don't fit together, the shapes that depend on them are left out. Of many
    features those of `unfolded` groups, by key, are shown one by one; None: all.
    """
    model, length = spec.model, spec.data.max_length
    towers: list[ModelSpec | TowerSpec] = [model, *model.towers]
    features = [_features(tower, schema) for tower in towers]
    prefixes = ["model", *(f"{TOWERS}.{n}" for n in range(len(model.towers)))]
    name = spec.data.path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    parts = list(zip(prefixes, towers, features, strict=True))
    rows = [
        _row(Block("data", "data", name, f"B × {length} events")),
        Row(tuple(_chips(p, f, schema, unfolded, len(parts)) for p, _, f in parts), f"model.{FEATURES}", "a feature"),
        Row(tuple(Lane((_aggregation(p, t, f, length),)) for p, t, f in parts)),
        _row(_masking(spec)),
    ]
    projections = tuple(Lane(_projection(p, t, f, length)) for p, t, f in parts)
    if any(lane.blocks for lane in projections):
        rows.append(Row(projections))
    rows.append(Row(tuple(Lane((_body(p, t, length),)) for p, t, _ in parts), TOWERS, "a tower"))
    if model.towers:
        widths = [tower.body.d_model for tower in towers]
        total = sum(widths) if model.merge == "concat" else widths[0]
        merge = Block(
            "model.merge", model.merge, f"of {len(towers)} towers", f"B × {length} × {total}", ("model.merge",)
        )
        rows.append(_row(merge))
    heads = [block for n, head in enumerate(model.heads) for block in _head(head, schema, f"{HEADS}.{n}")]
    rows.append(Row((Lane((*heads, *_discriminator(spec)), 2),), HEADS, "a head"))
    train = spec.train
    schedule = f"{train.epochs} epochs · batch {train.batch_size} · learning rate {train.learning_rate:g}"
    judged = f"by {spec.monitor}"
    rows.append(Row((Lane((Block("train", "training", schedule), Block("evaluation", "evaluation", judged)), 2),)))
    return rows


def _row(block: Block) -> Row:
    return Row((Lane((block,)),))


def _features(part: ModelSpec | TowerSpec, schema: Schema | None) -> Features:
    if schema is None:
        return {}
    try:
        return {**resolve(part.inputs, schema, part.body.d_model)}
    except InputError:
        return dict.fromkeys(part.inputs.features or [column.name for column in schema.features])


def _joined(features: Features, aggregation: str) -> int | None:
    """The width of the joined features; None while they don't fit together."""
    decided = {name: feature for name, feature in features.items() if feature is not None}
    return width(decided, aggregation) if decided else None


def _chips(
    prefix: str, features: Features, schema: Schema | None, unfolded: Container[str] | None, towers: int
) -> Lane:
    """The features of a tower, those of a kind as one block where there are many."""
    path = f"{prefix}.{FEATURES}"

    def chip(name: str) -> Block:
        feature = features[name]
        detail = f"{feature.encoding} {feature.dim}" if feature else ""
        return Block(f"{path}.{name}", name, detail, paths=(f"{path}.{name}",), of=path)

    per_line = 3 if towers == 1 else 1
    if len(features) <= FEW_FEATURES:
        return Lane(tuple(chip(name) for name in features) or (Block(path, "features", "of the data"),), per_line)
    chips = []
    for kind, names in _by_kind(features, schema).items():
        key = f"{path} {kind}"
        if len(names) == 1:
            chips.append(chip(names[0]))
            continue
        shown = unfolded is None or key in unfolded
        paths = () if shown else tuple(f"{path}.{name}" for name in names)
        chips.append(Block(key, f"{'▾' if shown else '▸'} {len(names)} {kind}", "features", paths=paths, folded=True))
        chips += [chip(name) for name in names] if shown else []
    return Lane(tuple(chips), per_line)


def _by_kind(features: Features, schema: Schema | None) -> dict[str, list[str]]:
    """Kind of column → names of features; the item, and features that are no column, are kinds of their own."""
    kinds = {c.name: "item" if c.role == "item" else c.kind for c in schema.features} if schema else {}
    groups: dict[str, list[str]] = {}
    for name in features:
        groups.setdefault(kinds.get(name, "vectors"), []).append(name)
    return groups


def _aggregation(prefix: str, part: ModelSpec | TowerSpec, features: Features, length: int) -> Block:
    joined = _joined(features, part.inputs.aggregation) or "…"
    detail = f"{len(features) or ''} feature{'' if len(features) == 1 else 's'}".strip()
    path = f"{prefix}.inputs"
    return Block(path, part.inputs.aggregation, detail, f"B × {length} × {joined}", (path,))


def _projection(prefix: str, part: ModelSpec | TowerSpec, features: Features, length: int) -> tuple[Block, ...]:
    """The linear layer between inputs and body; empty if their widths agree."""
    joined = _joined(features, part.inputs.aggregation) or part.body.d_model
    if joined == part.body.d_model:
        return ()
    detail, shape = f"{joined} → {part.body.d_model}", f"B × {length} × {part.body.d_model}"
    return (Block(f"{prefix}.projection", "linear", detail, shape, (f"{prefix}.projection",)),)


def _body(prefix: str, part: ModelSpec | TowerSpec, length: int) -> Block:
    body = part.body
    heads = f"{body.n_head} head{'s' if body.n_head > 1 else ''}" if hasattr(body, "n_head") else ""
    name, shape = f"{type(body).__name__} ×{body.n_layer}", f"B × {length} × {body.d_model}"
    return Block(f"{prefix}.body", name, heads, shape, (f"{prefix}.body",), of="" if prefix == "model" else TOWERS)


def _head(head: HeadSpec, schema: Schema | None, path: str) -> tuple[Block, Block]:
    """A head and its loss."""
    shape = f"B × {head.outputs(schema)}"
    return (
        Block(path, head.title, head.detail, shape, (path,), of=HEADS),
        Block(f"{path}.loss", head.loss_name, head.loss_detail),
    )


def _discriminator(spec: RunSpec) -> list[Block]:
    """The discriminator; empty if the masking has none."""
    detection = spec.model.masking.detection
    if detection is None:
        return []
    body = "separate body" if detection.separate else "same body"
    shape = f"B × {spec.data.max_length}"
    return [
        Block("model.masking", "original or replaced?", body, shape, ("model.masking",)),
        Block("model.masking", "binary cross-entropy", f"weight {detection.weight:g}"),
    ]


CELLS = 20
SCATTERED = (7, 15, 3, 18, 11, 0, 13, 5, 9, 16, 1, 19, 6, 12, 2, 17, 10, 4, 14, 8)
"""A fixed order of the cells, so that a larger share adds cells and moves none."""


def _masking(spec: RunSpec) -> Block:
    """The masking with a strip of positions."""
    masking = spec.model.masking
    words, share, longest_span = masking.sketch()
    return Block("model.masking", masking.kind, words, strip=_strip(masking.causal, share, longest_span))


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
