"""Raw events to prepared sessions. Names are looked up when used, so that importing the package is light."""

from importlib import import_module
from typing import Any

_HOME = {
    "Dataset": "dataset",
    "Generator": "synthetic",
    "PrepareOptions": "prepare",
    "Sessions": "sessions",
    "Vocabulary": "vocabulary",
    "demo_dataset": "synthetic",
    "prepare": "prepare",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
