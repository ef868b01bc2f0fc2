"""The blocks of a model, by their public names.

Names are imported at first use, so that importing a torch-free module does not import torch.
"""

from importlib import import_module
from typing import Any

from t4r_lab.families.bodies.body_table import CONFIGURATIONS

_BLOCKS = {
    "Batch": "layers.flow",
    "BinaryClassificationTask": "heads.tasks",
    "CategoricalClassificationTask": "heads.tasks",
    "Head": "heads.head",
    "MLPBlock": "bodies.blocks",
    "Model": "heads.model",
    "NextItemPredictionTask": "heads.next_item",
    "RNNBlock": "layers.recurrent",
    "RegressionTask": "heads.tasks",
    "SequentialBlock": "bodies.blocks",
    "Towers": "bodies.towers",
    "TabularSequenceFeatures": "inputs.tabular",
    "TransformerBlock": "bodies.blocks",
    "make_body": "bodies.blocks",
}

_BASES = {
    "ColumnEncoder": "encoders.column_encoder",
    "CustomBody": "bodies.shared.custom_body",
    "ItemLoss": "losses.item_loss",
    "ItemSampler": "samplers.sampler",
    "Masking": "maskings.policy",
    "Metric": "metrics.shared.metric_row",
    "SampledItemLoss": "losses.item_loss",
    "knob": "knobs",
}
"""Name → module in `t4r_lab.families`, of the classes for custom parts."""

__all__ = [*_BLOCKS, *_BASES, *CONFIGURATIONS]


def __getattr__(name: str) -> Any:
    if name in CONFIGURATIONS:
        return CONFIGURATIONS[name]
    if name in _BASES:
        return getattr(import_module(f"t4r_lab.families.{_BASES[name]}"), name)
    if name not in _BLOCKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_BLOCKS[name]}"), name)
