"""The table of baselines, made from the modules in this folder whose names end with ``_baseline``."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from t4r_lab import baselines
from t4r_lab.baselines.baseline_row import Baseline


def _by_name() -> dict[str, Baseline]:
    names = [module.name for module in iter_modules(baselines.__path__) if module.name.endswith("_baseline")]
    rows: list[Baseline] = [import_module(f"{baselines.__name__}.{name}").BASELINE for name in names]
    return {row.name: row for row in sorted(rows, key=lambda row: row.name)}


BASELINES = _by_name()
"""Name → row, in the order of names."""
CONSTANT = "constant"
"""Name of the baseline for labels, which predicts their mean."""


def words(name: str) -> str:
    """Return the display name of the baseline `name`; `name` itself if this version lacks it."""
    return BASELINES[name].words if name in BASELINES else name
