"""Raw events to prepared sessions. Names are looked up when used, so that importing the package is light."""

from importlib import import_module
from typing import Any

_HOME = {
    "Dataset": "prepared.prepared_data",
    "Generator": "pipeline.synthetic",
    "PrepareOptions": "pipeline.prepare_events",
    "Sessions": "sessions.arrays",
    "Vocabulary": "prepared.vocabulary",
    "demo_dataset": "pipeline.synthetic",
    "prepare": "pipeline.prepare_events",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
