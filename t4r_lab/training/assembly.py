"""A model built from spec and schema, saved to a folder and loaded from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab.base.checksums import check_seal, seal
from t4r_lab.base.errors import InputError, did_you_mean, first_line
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec import ModelSpec, RunSpec, TowerSpec, event_summary_refusal
from t4r_lab.spec.head_specs import BESIDE_TASK, LABEL_HEADS, HeadSpec, LabelSpec
from t4r_lab.spec.input_columns import missing, resolve, width

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from t4r_lab.nn.bodies.blocks import SequentialBlock
    from t4r_lab.nn.heads.head import Task
    from t4r_lab.nn.heads.model import Model

WEIGHTS, SPEC, SCHEMA = "model.safetensors", "spec.json", "schema.json"


def check(spec: RunSpec, schema: Schema) -> None:
    """Refuse a spec that can't be built from `schema`, without importing torch.

    Raises
    ------
    InputError
        with the first of `refusals`.
    """
    for refusal in refusals(spec, schema).values():
        raise refusal


def refusals(spec: RunSpec, schema: Schema) -> dict[str, InputError]:
    """Path of each part of `spec` that can't be built from `schema` → its refusal.

    Each feature that the schema lacks and each head is a part; of an input block without missing features, only the
    first refusal is returned.
    """
    refusals_by_path: dict[str, InputError] = {}
    parts: list[ModelSpec | TowerSpec] = [spec.model, *spec.model.towers]
    for index, part in enumerate(parts):
        block, prefix = "model.inputs", f"model.towers.{index - 1}.inputs" if index else "model.inputs"
        block_refusals = {f"{block}.features.{name}": error for name, error in missing(part.inputs, schema).items()}
        block_refusals = block_refusals or _refused(block, partial(resolve, part.inputs, schema, part.body.d_model))
        for path, error in block_refusals.items():
            refusals_by_path[prefix + path.removeprefix(block)] = error.at(prefix + error.path.removeprefix(block))
    for path, head in spec.model.labels_by_path.items():
        refusals_by_path |= _refused(path, partial(label_column, head, schema, path))
    return refusals_by_path


def fitting(spec: RunSpec, schema: Schema, path: str, choices: Sequence[object]) -> list[object]:
    """Those `choices` of the knob at `path` that the data don't refuse, everything else as in `spec`.

    A choice that is no valid spec alone stays: it may fit together with other values.
    """
    allowed, present = [], refusals(spec, schema)
    for choice in choices:
        with suppress(InputError):
            if refusals(spec.override({path: choice}), schema).keys() - present.keys():
                continue
        allowed.append(choice)
    return allowed


def _refused(path: str, attempt: Callable[[], object]) -> dict[str, InputError]:
    """The refusal that `attempt` raises for the part at `path`; empty if it raises none."""
    try:
        attempt()
    except InputError as error:
        return {path: error}
    return {}


def label_column(head: LabelSpec, schema: Schema, path: str) -> Column:
    """The label column that a head at `path` of the spec predicts.

    Raises
    ------
    InputError
        if the data have no such label, or its kind does not fit the head.
    """
    targets = {c.name: c for c in schema.targets if c.kind != "timestamp" and c.scope != "item"}
    if head.column not in targets:
        remedy = did_you_mean(head.column, targets) if targets else f"prepare it with --targets {head.column}"
        if head.column in schema:
            word = "an attribute of items" if schema[head.column].role == "target" else "a feature"
            remedy = f"it is {word}; prepare it with --targets {head.column}, or take another column"
        raise InputError(f"{path}.column", f"the data has no label {head.column!r}", remedy)
    column = targets[head.column]
    if not head.fits(column):
        content, column_kind = (
            ("numbers", "categorical") if column.kind == "continuous" else (f"{column.classes} classes", "continuous")
        )
        fitting = [f"kind {kind}" for kind, label_head in LABEL_HEADS.items() if label_head.fits(column)]
        remedy = " or ".join(fitting) or "another column"
        remedy = f"use {remedy}, or prepare it with --kinds {column.source or column.name}={column_kind}"
        raise InputError(f"{path}.kind", f"{head.kind} is not for label {column.name!r}, which has {content}", remedy)
    if label_level(head, column) == "event" and head.summary != "last":
        refusal = event_summary_refusal(head.column, head.summary)
        raise refusal.at(f"{path}.{refusal.path}")
    return column


def label_level(head: LabelSpec, column: Column) -> str:
    """``session`` or ``event``: the level of the head if set, else that of the column."""
    return head.level or ("session" if column.scope == "session" else "event")


def build(
    spec: RunSpec,
    schema: Schema,
    item_table: Mapping[str, ArrayLike] | None = None,
    vectors: Mapping[str, ArrayLike] | None = None,
    item_counts: ArrayLike | None = None,
) -> Model:
    """The model of a spec, its weights drawn from ``train.seed``.

    Parameters
    ----------
    item_table: attributes by item id, (I+1,) or (I+1, K), for columns of scope ``item``.
    vectors: pre-trained vectors by feature, (size, W), as `data.prepared.vectors.read_vectors` returns them.
    item_counts: events of each item in training, (I,), as `NextItemPredictionTask.count` takes them.
    """
    import torch

    from t4r_lab.nn.bodies.towers import Towers
    from t4r_lab.nn.heads.head import Head
    from t4r_lab.nn.heads.model import Model

    torch.manual_seed(spec.train.seed)
    model = spec.model
    parts: list[ModelSpec | TowerSpec] = [model, *model.towers]
    towers = [_tower(part, spec, schema, item_table or {}, vectors or {}) for part in parts]
    body = Towers(towers, model.merge) if model.towers else towers[0]
    tasks = [_task(head, schema, f"model.heads.{index}") for index, head in enumerate(model.heads)]
    assembled = Model(Head(body, tasks, [head.weight for head in model.heads]))
    if item_counts is not None and assembled.predicts_items:
        assembled.next_item.count(torch.as_tensor(item_counts))
    return assembled


def _task(head: HeadSpec, schema: Schema, path: str) -> Task:
    """The task of a head spec."""
    from t4r_lab import nn

    make: Callable[..., Task] = getattr(nn, head.task)
    knobs = {name: value for name, value in head if name not in BESIDE_TASK}
    label = head.as_label
    if label is None:
        return make(**knobs)
    column = label_column(label, schema, path)
    of_column = {name: getattr(column, name) for name in label.of_column}
    return make(column.name, level=label_level(label, column), **of_column, **knobs)


def _tower(
    part: ModelSpec | TowerSpec,
    spec: RunSpec,
    schema: Schema,
    item_table: Mapping[str, ArrayLike],
    vectors: Mapping[str, ArrayLike],
) -> SequentialBlock:
    """Input block and body of one tower; the model itself is the first."""
    import torch

    from t4r_lab.nn.bodies.blocks import MLPBlock, SequentialBlock, make_body
    from t4r_lab.nn.inputs.tabular import TabularSequenceFeatures
    from t4r_lab.nn.masking import make_masking

    d_model, max_length = part.body.d_model, spec.data.max_length
    input_width = width(resolve(part.inputs, schema, d_model), part.inputs.aggregation)
    inputs = TabularSequenceFeatures.from_spec(
        part.inputs,
        schema,
        d_model,
        max_length,
        make_masking(spec.model.masking),
        item_table={n: torch.as_tensor(v).clone() for n, v in item_table.items()},  # weights files share no buffers
        vectors={n: torch.as_tensor(v).clone() for n, v in vectors.items()},
    )
    body = make_body(part.body, max_length, inputs.masking)
    project = [] if input_width == d_model else [MLPBlock([d_model], activation=None)]
    return SequentialBlock(inputs, *project, body)


def save(model: Model, folder: str | Path, spec: RunSpec, schema: Schema) -> None:
    """Write weights (safetensors), spec and schema (JSON) into `folder`, with their checksums."""
    from safetensors.torch import save_model

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, str(folder / WEIGHTS))
    (folder / SPEC).write_text(spec.to_json(), encoding="utf-8")
    schema.save(folder / SCHEMA)
    seal(folder)


def load_weights(model: Model, path: str | Path) -> None:
    """Read weights that `save` or training wrote into `model`.

    Raises
    ------
    InputError
        if the file is missing, damaged or of another model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    try:
        load_model(model, str(path))
    except FileNotFoundError:
        raise InputError(path, "there are no weights", "train the run first") from None
    except (SafetensorError, RuntimeError, OSError) as error:
        raise InputError(path, f"not the weights of this model ({first_line(error)})", "train the run again") from None


def load(folder: str | Path) -> tuple[Model, RunSpec, Schema]:
    """A model as `save` wrote it, in evaluation mode, with its spec and schema.

    Raises
    ------
    InputError
        if a file is missing or damaged.
    """
    folder = Path(folder)
    check_seal(folder, "train the run again")
    spec, schema = RunSpec.load(folder / SPEC), Schema.load(folder / SCHEMA)
    from safetensors import safe_open  # imports after the spec is read, which may be refused: they take seconds

    from t4r_lab.nn.inputs.tabular import ITEM_TABLE

    if not (folder / WEIGHTS).is_file():
        raise InputError(folder / WEIGHTS, "there are no weights", "train the run first")
    try:
        with safe_open(str(folder / WEIGHTS), "pt") as weights:
            # the item table is saved with the weights of each tower that reads it
            names = [n for n in weights.keys() if f".inputs.{ITEM_TABLE}" in n]  # noqa: SIM118 (not a mapping)
            table = {n.partition(f".inputs.{ITEM_TABLE}")[2]: weights.get_tensor(n) for n in names}
    except Exception as error:
        raise InputError(folder / WEIGHTS, f"damaged ({first_line(error)})", "train the run again") from None
    model = build(spec, schema, table)
    load_weights(model, folder / WEIGHTS)
    return model.eval(), spec, schema
