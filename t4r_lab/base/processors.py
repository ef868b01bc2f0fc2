"""How many processors this process may use. Whoever starts threads or processes asks here.

A machine of 64 cores may give a process two: by its CPU set (taskset, Slurm), by a quota (containers), or as the user
wishes (``OMP_NUM_THREADS``). Threads beyond those wait for each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from t4r_lab.base import system

CGROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
WISHED = "OMP_NUM_THREADS"
_LIMITS = (WISHED, "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


def processors() -> int:
    """Those that the system gives this process: of the machine, its CPU set and its quotas the fewest."""
    return max(min([system.processors_given(), *map(int, _quotas())]), 1)


def threads(processes: int = 1) -> int:
    """Threads of each of so many `processes` that work side by side: a fair share, and never more than is wished."""
    share = max(processors() // max(processes, 1), 1)
    return min(share, _number(os.environ.get(WISHED, "").partition(",")[0]) or share)


def environment(processes: int = 1) -> dict[str, str]:
    """What limits one of so many `processes`, set before it imports anything; less that is wished stays."""
    most = threads(processes)
    return {name: str(min(most, _number(os.environ.get(name, "")) or most)) for name in _LIMITS}


def limit() -> None:
    """Keep this process, which has imported neither torch nor polars yet, to what it may use.

    Where that is the whole machine they choose for themselves, as by cores instead of hyperthreads.
    """
    if threads() < (os.cpu_count() or 1):
        os.environ.update(environment())


@contextmanager
def torch_threads(processes: int = 1) -> Iterator[None]:
    """Within it, torch takes no more threads than one of so many `processes` may."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(before, threads(processes)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _number(text: str) -> int:
    return int(text) if text.strip().isdecimal() else 0


def _quotas() -> list[float]:
    """Processors' worth of time by each quota of the control groups that this process is in, of either version."""
    try:
        groups = [line.split(":", 2) for line in OWN.read_text(encoding="utf-8").splitlines()]
    except OSError:  # no Linux
        return []
    found = []
    for _, controllers, path in groups:
        if not controllers:
            found += [_words(folder / "cpu.max") for folder in _folders(CGROUPS, path)]
        elif "cpu" in controllers.split(","):
            folders = _folders(CGROUPS / "cpu", path)
            found += [[*_words(f / "cpu.cfs_quota_us"), *_words(f / "cpu.cfs_period_us")] for f in folders]
    # version 2 says max where there is no limit, version 1 a negative number
    return [int(words[0]) / int(words[1]) for words in found if len(words) == 2 and words[0].isdecimal()]


def _folders(mount: Path, path: str) -> list[Path]:
    """The group's folder and those above it, whose limits hold too; within a container the mount is its own."""
    group = PurePosixPath(path.lstrip("/"))
    return [mount / group, *(mount / above for above in group.parents)]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []
