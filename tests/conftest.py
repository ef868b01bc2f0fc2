"""Order and surroundings of the suite: fast tests first, and no test reads or writes the user's own home."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # several run side by side, each with as many processes as its test starts
    os.environ["OMP_NUM_THREADS"] = "1"

LAST = ("browser", "notebook", "slow")
"""Markers in the order in which their tests begin, after all that have none of them: those of the browser take one
worker's time to the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:  # JupyterLab and its server lose a message now and then: once more, and told
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))
            item.add_marker(pytest.mark.xdist_group("browser"))  # one at a time, by the same servers
    items.sort(key=lambda item: min((LAST.index(m.name) + 1 for m in item.iter_markers() if m.name in LAST), default=0))


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has an empty home of its own, set before anything asks for one."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("T4R_LAB_HOME", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home
