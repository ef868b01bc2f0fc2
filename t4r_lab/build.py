"""Spec and schema become a model; a model becomes a folder and comes back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t4r_lab.errors import InputError
from t4r_lab.schema import Schema
from t4r_lab.spec import RunSpec
from t4r_lab.spec.features import resolve, width

if TYPE_CHECKING:
    from t4r_lab.nn.heads import Model

WEIGHTS, SPEC, SCHEMA = "model.safetensors", "spec.json", "schema.json"


def check(spec: RunSpec, schema: Schema) -> None:
    """Refuse what can't be built from `schema`, before anything is (and without importing torch).

    Raises
    ------
    InputError
        with the dotted path, what is wrong and a remedy.
    """
    resolve(spec.model.inputs, schema, spec.model.body.d_model)


def build(
    spec: RunSpec,
    schema: Schema,
    item_table: Mapping[str, Any] | None = None,
    vectors: Mapping[str, Any] | None = None,
) -> Model:
    """The model of a spec, its weights drawn from ``train.seed``.

    Parameters
    ----------
    item_table: attributes by item id, (I+1,) or (I+1, K), for columns of scope ``item``.
    vectors: what the features' ``vectors`` name, (size, W) by feature, as `data.vectors.read_vectors` gives them.
    """
    import torch

    from t4r_lab.nn.blocks import MLPBlock, SequentialBlock
    from t4r_lab.nn.features import TabularSequenceFeatures
    from t4r_lab.nn.heads import Head, Model, NextItemPredictionTask
    from t4r_lab.nn.masking import make_masking

    torch.manual_seed(spec.train.seed)
    model, max_length = spec.model, spec.data.max_length
    joined = width(resolve(model.inputs, schema, model.body.d_model), model.inputs.aggregation)
    inputs = TabularSequenceFeatures.from_spec(
        model.inputs,
        schema,
        model.body.d_model,
        max_length,
        make_masking(model.masking),
        item_table={n: torch.as_tensor(v) for n, v in (item_table or {}).items()},
        vectors={n: torch.as_tensor(v) for n, v in (vectors or {}).items()},
    )
    body = _body(model.body, joined, max_length, inputs)
    project = [] if joined == model.body.d_model else [MLPBlock([model.body.d_model], activation=None)]
    head = model.heads[0]
    task = NextItemPredictionTask(head.weight_tying, head.loss.label_smoothing, head.temperature)
    return Model(Head(SequentialBlock(inputs, *project, body), task))


def _body(spec: Any, d_in: int, max_length: int, inputs: Any) -> Any:
    """The block of a body spec. An RNN reads the width of its input; a transformer's input is projected to d_model."""
    from t4r_lab.nn.blocks import RNNBlock, TransformerBlock
    from t4r_lab.nn.transformers import TRANSFORMERS

    if spec.kind in ("gru", "lstm"):
        return RNNBlock(spec.kind, spec.d_model, spec.d_model, spec.n_layer, spec.dropout)
    config = TRANSFORMERS[spec.kind].build(
        d_model=spec.d_model, n_head=spec.n_head, n_layer=spec.n_layer, total_seq_length=max_length,
        dropout=spec.dropout, activation=spec.activation,
    )  # fmt: skip
    return TransformerBlock(config, masking=inputs.masking)


def save(model: Model, folder: str | Path, spec: RunSpec, schema: Schema) -> None:
    """Write weights (safetensors), spec and schema (JSON) into `folder`."""
    from safetensors.torch import save_model

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, str(folder / WEIGHTS))
    (folder / SPEC).write_text(spec.to_json(), encoding="utf-8")
    schema.save(folder / SCHEMA)


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
        raise InputError(f"{path}: there are no weights; train the run first") from None
    except (SafetensorError, RuntimeError, OSError) as error:
        raise InputError(
            f"{path}: not the weights of this model ({str(error).splitlines()[0]}); train the run again"
        ) from None


def load(folder: str | Path) -> tuple[Model, RunSpec, Schema]:
    """A model as `save` wrote it, in evaluation mode, with its spec and schema."""
    from safetensors import safe_open

    from t4r_lab.nn.features import ITEM_TABLE

    folder = Path(folder)
    spec, schema = RunSpec.load(folder / SPEC), Schema.load(folder / SCHEMA)
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder / WEIGHTS}: there are no weights; train the run first")
    try:
        with safe_open(str(folder / WEIGHTS), "pt") as weights:
            prefix = f"head.body.inputs.{ITEM_TABLE}"  # the item table travels with the weights
            names = [n for n in weights.keys() if n.startswith(prefix)]  # noqa: SIM118 (not a mapping)
            table = {n.removeprefix(prefix): weights.get_tensor(n) for n in names}
    except Exception as error:
        raise InputError(f"{folder / WEIGHTS}: damaged ({str(error).splitlines()[0]}); train the run again") from None
    model = build(spec, schema, table)
    load_weights(model, folder / WEIGHTS)
    return model.eval(), spec, schema
