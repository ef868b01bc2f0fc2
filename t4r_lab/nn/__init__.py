"""The blocks a model is made of, by the names of the reference's page.

Names are looked up when they are used, so that importing a torch-free module does not import torch.
"""

from importlib import import_module
from typing import Any

from t4r_lab.families.bodies.body_table import CONFIGURATIONS

_HOME = {
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

_OWN = {
    "CustomBody": "bodies.shared.custom",
    "ItemLoss": "losses.item_loss",
    "ItemSampler": "samplers.sampler",
    "Masking": "maskings.policy",
    "SampledItemLoss": "losses.item_loss",
    "knob": "knobs",
}
"""What a part of one's own derives from, in the folder of families."""

__all__ = [*_HOME, *_OWN, *CONFIGURATIONS]


def __getattr__(name: str) -> Any:
    if name in CONFIGURATIONS:
        return CONFIGURATIONS[name]
    if name in _OWN:
        return getattr(import_module(f"t4r_lab.families.{_OWN[name]}"), name)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
