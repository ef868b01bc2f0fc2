"""T4R Lab: assemble, train, compare and use session-based recommenders.

Names are looked up when they are used, so that ``import t4r_lab`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from t4r_lab.base.errors import InputError as InputError
    from t4r_lab.data.pipeline.prepare_events import PrepareOptions as PrepareOptions
    from t4r_lab.data.prepared.prepared_data import Dataset as Dataset
    from t4r_lab.families.custom import trust as trust
    from t4r_lab.lab.app import Lab as Lab
    from t4r_lab.runs.compare import compare as compare
    from t4r_lab.runs.evaluate import evaluate_run as evaluate_run
    from t4r_lab.runs.prepare_data import prepare as prepare
    from t4r_lab.runs.recommend import recommend as recommend
    from t4r_lab.runs.run import run as run
    from t4r_lab.schema.columns import Schema as Schema
    from t4r_lab.spec import RunSpec as RunSpec
    from t4r_lab.spec.study_options import StudyOptions as StudyOptions
    from t4r_lab.tuning.finalize import finalize as finalize
    from t4r_lab.tuning.lead import tune as tune

_HOME = {
    "Dataset": "data.prepared.prepared_data",
    "InputError": "base.errors",
    "Lab": "lab.app",
    "PrepareOptions": "data.pipeline.prepare_events",
    "RunSpec": "spec",
    "Schema": "schema.columns",
    "StudyOptions": "spec.study_options",
    "compare": "runs.compare",
    "evaluate_run": "runs.evaluate",
    "finalize": "tuning.finalize",
    "prepare": "runs.prepare_data",
    "recommend": "runs.recommend",
    "run": "runs.run",
    "trust": "families.custom",
    "tune": "tuning.lead",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
