"""T4R Lab: assemble, train, compare and use session-based recommenders.

Names are looked up when they are used, so that ``import t4r_lab`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from t4r_lab.comparison import compare as compare
    from t4r_lab.data.dataset import Dataset as Dataset
    from t4r_lab.data.prepare import PrepareOptions as PrepareOptions
    from t4r_lab.errors import InputError as InputError
    from t4r_lab.preparing import prepare as prepare
    from t4r_lab.recommender import recommend as recommend
    from t4r_lab.runner import evaluate_run as evaluate_run
    from t4r_lab.runner import run as run
    from t4r_lab.schema import Schema as Schema
    from t4r_lab.spec import RunSpec as RunSpec
    from t4r_lab.spec.study import StudyOptions as StudyOptions
    from t4r_lab.tuning.finalize import finalize as finalize
    from t4r_lab.tuning.lead import tune as tune
    from t4r_lab.widgets.lab import Lab as Lab

_HOME = {
    "Dataset": "data.dataset",
    "InputError": "errors",
    "Lab": "widgets.lab",
    "PrepareOptions": "data.prepare",
    "RunSpec": "spec",
    "Schema": "schema",
    "StudyOptions": "spec.study",
    "compare": "comparison",
    "evaluate_run": "runner",
    "finalize": "tuning.finalize",
    "prepare": "preparing",
    "recommend": "recommender",
    "run": "runner",
    "tune": "tuning.lead",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
