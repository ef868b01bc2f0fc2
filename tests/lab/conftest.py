"""The browser and its server are asked for by name; no Lab of a test starts the process that estimates costs."""

from __future__ import annotations

import json

import pytest

from t4r_lab.lab.state import cost
from tests.support.browser import browser, jupyter, page, server

__all__ = ["browser", "jupyter", "page", "server"]


@pytest.fixture(autouse=True)
def _no_estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the process that all Labs share: those of its tests and of the browser's kernels are real."""
    monkeypatch.setattr(cost.ask, "_answer", lambda question: json.dumps({"failed": "tests measure nothing here"}))
