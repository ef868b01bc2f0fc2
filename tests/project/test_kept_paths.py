"""Paths of modules that programs written against the first version import."""

from __future__ import annotations

import importlib

import t4r_lab
from t4r_lab.cli import program
from t4r_lab.data.pipeline.prepare_events import prepare
from t4r_lab.data.prepared.prepared_data import Dataset


def test_they_lead_to_what_they_led_to() -> None:
    assert importlib.import_module("t4r_lab.data.dataset").Dataset is Dataset is t4r_lab.Dataset
    assert callable(importlib.import_module("t4r_lab.data.readers").read_table)
    assert importlib.import_module("t4r_lab.runner").run is t4r_lab.run
    module = importlib.import_module("t4r_lab.data.prepare")
    assert callable(module) and module is t4r_lab.data.prepare and module.prepare is prepare  # type: ignore[attr-defined]
    assert importlib.import_module("t4r_lab.cli").main(["jobs", "none"]) == program.main(["jobs", "none"]) == 2
