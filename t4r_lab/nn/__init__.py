"""The blocks a model is made of, by the names of the reference's page.

Names are looked up when they are used, so that importing a torch-free module does not import torch.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Batch": "flow",
    "BertConfig": "transformers",
    "BinaryClassificationTask": "tasks",
    "CategoricalClassificationTask": "tasks",
    "GPT2Config": "transformers",
    "Head": "heads",
    "MLPBlock": "blocks",
    "Model": "heads",
    "NextItemPredictionTask": "heads",
    "RNNBlock": "blocks",
    "RegressionTask": "tasks",
    "SequentialBlock": "blocks",
    "TabularSequenceFeatures": "features",
    "TransformerBlock": "blocks",
    "XLNetConfig": "transformers",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
