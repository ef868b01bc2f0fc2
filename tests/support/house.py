"""The table of floors, which `docs/floors.py` has and draws."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from tests import ROOT


def load_floors() -> ModuleType:
    spec = importlib.util.spec_from_file_location("floors", ROOT / "docs" / "floors.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


floors = load_floors()
MODULES: dict[str, Path] = floors.modules()
FLOOR: dict[str, tuple[int, int]] = floors.floor_of()
WING: dict[str, str] = floors.wing_of()
