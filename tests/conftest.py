"""Order and surroundings of the suite: fast tests first, what is costly to set up once, and no test reads or writes the user's own home."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from t4r_lab.tracking import record_file
from tests.support.record import made_from_copy

if "PYTEST_XDIST_WORKER" in os.environ:  # several run side by side, each with as many processes as its test starts
    os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # of the many processes that tests start, the first one compiles

ORDER = ("", "browser", "slow", "notebook")
"""Markers in the order in which their tests begin, the empty one for those without."""
TOGETHER = (
    "baselines/test_baseline_family",
    "lab/test_panels",
    "nn/test_body_family",
    "nn/test_metric_family",
    "nn/test_small_families",
    "project/test_add_pages",
    "runs/test_analysis",
    "runs/test_recommender",
    "runs/test_run_details",
    "runs/test_runner",
    "tracking/test_mlflow_server",
    "tracking/test_moved_homes",
    "training/test_custom_parts",
    "training/test_processes",
    "tuning/test_tuning_processes",
)
"""Modules whose fixtures take seconds: their tests run on one worker, which makes them once."""


def rank(item: pytest.Item) -> int:
    return next((ORDER.index(m.name) for m in item.iter_markers() if m.name in ORDER), ORDER.index(""))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))  # JupyterLab loses a message now and then: once more, and told
    items.sort(key=rank)
    fast = sum(rank(item) == 0 for item in items)
    browser = [
        item for item in items if rank(item) == ORDER.index("browser")
    ]  # one chain, as long as half of the rest:
    rest = [item for item in items if item not in set(browser)]  # it begins when half of the fast ones are done
    items[:] = [*rest[: fast // 2], *browser, *rest[fast // 2 :]]


class Workers(LoadScopeScheduling):
    """Each test goes to the next free worker, but those of a module of `TOGETHER` and those of the browser to one."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition(".py::")[0].removeprefix("tests/")
        if module.startswith("lab/test_browser"):  # one server of JupyterLab, and no two browsers beside each other
            return "browser"
        return module if module in TOGETHER else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return Workers(config, log)


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
    record_file.created_completely = partial(made_from_copy, folder=tmp_path_factory.mktemp("record"))
