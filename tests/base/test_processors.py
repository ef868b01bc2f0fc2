"""How many processors and threads there are to use: CPU sets, quotas of control groups, and what the user wishes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from t4r_lab.base import processors

FIRST = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


@pytest.fixture(autouse=True)
def eight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 8 processors without quotas or wishes."""
    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(processors, "CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(processors, "MEMBERSHIP", tmp_path / "cgroup")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 8),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "200000 100000"}, 2),
        ("0::/docker/of-the-host\n", {"cpu.max": "400000 100000"}, 4),
        ("5:memory:/\n4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, 8),
        ("4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"}, 3),
        ("4:cpu,cpuacct:/host\n", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "50000"}, 2),
        ("4:cpuset:/a\n", {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "100000"}, 8),
        ("0::/\n", {"cpu.max": "garbage\n"}, 8),
    ],
)
def test_a_quota_of_either_version_bounds(cgroup: str, files: dict[str, str], expected: int, tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text(cgroup)
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert processors.processors() == expected


@pytest.mark.parametrize(
    ("wished", "processes", "expected"),
    [
        (None, 1, 8),
        (None, 2, 4),
        (None, 3, 2),
        (None, 9, 1),
        (None, 0, 8),
        ("1", 1, 1),
        ("3", 1, 3),
        ("3", 2, 3),
        ("3", 4, 2),
        ("64", 1, 8),
        ("4,2", 1, 4),
        ("0", 1, 8),
        ("", 1, 8),
        ("-1", 1, 8),
        ("many", 1, 8),
    ],
)
def test_a_share_is_never_more_than_is_wished(
    wished: str | None, processes: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wished is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", wished)
    assert processors.threads(processes) == expected
    assert processors.environment(processes)["OMP_NUM_THREADS"] == str(expected)


def test_less_that_is_wished_of_others_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    monkeypatch.setenv("POLARS_MAX_THREADS", "99")
    expected = {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "2", "POLARS_MAX_THREADS": "4"}
    assert processors.environment(2) == expected


def test_a_whole_machine_is_left_to_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(processors.os, "environ", environment := dict(os.environ))
    processors.limit()
    assert "OMP_NUM_THREADS" not in environment
    monkeypatch.setattr(processors.os, "cpu_count", lambda: 64)
    processors.limit()
    assert (environment["OMP_NUM_THREADS"], environment["POLARS_MAX_THREADS"]) == ("8", "8")


def test_torch_takes_no_more_while_a_share_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with processors.torch_threads(2):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is not installed")
@pytest.mark.parametrize(("wished", "expected"), [(None, "1"), ("3", "1")])
def test_a_process_bound_to_one_processor_takes_one(wished: str | None, expected: str) -> None:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {"OMP_NUM_THREADS": wished} if wished else {}
    code = "from t4r_lab.base import processors; print(processors.environment()['OMP_NUM_THREADS'])"
    done = subprocess.run(
        ["taskset", "-c", str(FIRST), sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected
