"""The blocks a model is made of, by the names of the reference's page.

Names are looked up when they are used, so that importing a torch-free module does not import torch.
"""

from importlib import import_module
from typing import Any

_CONFIGURATIONS = (
    "AlbertConfig", "BertConfig", "DebertaV2Config", "ElectraConfig", "GPT2Config", "LiGRConfig", "LlamaConfig",
    "LongformerConfig", "ModernBertConfig", "Qwen3Config", "ReformerConfig", "RobertaConfig", "SASRecConfig",
    "TransfoXLConfig", "XLNetConfig",
)  # fmt: skip

_HOME = {
    "Batch": "flow",
    "BinaryClassificationTask": "heads.tasks",
    "CategoricalClassificationTask": "heads.tasks",
    "Head": "heads.model",
    "MLPBlock": "bodies.blocks",
    "Model": "heads.model",
    "NextItemPredictionTask": "heads.model",
    "RNNBlock": "bodies.blocks",
    "RegressionTask": "heads.tasks",
    "SequentialBlock": "bodies.blocks",
    "Towers": "bodies.towers",
    "TabularSequenceFeatures": "inputs.tabular",
    "TransformerBlock": "bodies.blocks",
    **dict.fromkeys(_CONFIGURATIONS, "bodies.configurations"),
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
