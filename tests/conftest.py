"""Order and surroundings of the suite: the longest chain first, and no test reads or writes the user's own home."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from t4r_lab.tracking import record_file
from tests.support.record import made_from_copy

if "PYTEST_XDIST_WORKER" in os.environ:  # several run side by side, each with as many processes as its test starts
    os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # of the many processes that tests start, the first one compiles

ORDER = ("browser", "", "notebook", "slow")
"""Markers in the order in which their tests begin, the empty one for those without: those of the browser run one after
the other on one worker, which takes the longest; the others begin with the fast ones."""
ONCE = ("two", "used", "mlflow", "guarded", "server", "original", "whole", "world")
"""Fixtures that take seconds: the tests of a module that need one run on one worker, which makes it once."""


def rank(item: pytest.Item) -> int:
    return next((ORDER.index(m.name) for m in item.iter_markers() if m.name in ORDER), ORDER.index(""))


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        shared = [name for name in ONCE if name in getattr(item, "fixturenames", ())]
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))  # JupyterLab loses a message now and then: once more, and told
            item.add_marker(pytest.mark.xdist_group("browser"))
        elif shared:
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}.{shared[0]}"))
    items.sort(key=rank)


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has an empty home of its own, set before anything asks for one."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("T4R_LAB_HOME", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home


@pytest.fixture(scope="session", autouse=True)
def _quick_homes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """For module fixtures too, hence without `monkeypatch`."""
    record_file.made_whole = partial(made_from_copy, folder=tmp_path_factory.mktemp("record"))
