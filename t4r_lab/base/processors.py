"""The number of processors that this process may use, for all code that starts threads or processes.

A machine of 64 cores may give a process two: by its CPU set (taskset, Slurm), a quota (containers) or the user's choice
(``OMP_NUM_THREADS``). Threads beyond those wait for each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from t4r_lab.base import system

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
LIMIT = "OMP_NUM_THREADS"
_LIMITS = (LIMIT, "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


def processors() -> int:
    """The number of processors that the system gives this process: the least of its CPU set and its quotas."""
    return max(min([system.available_processors(), *map(int, _quotas())]), 1)


def threads(processes: int = 1) -> int:
    """The threads of each of `processes` that run at once: an equal share, within ``OMP_NUM_THREADS``."""
    share = max(processors() // max(processes, 1), 1)
    return min(share, _number(os.environ.get(LIMIT, "").partition(",")[0]) or share)


def environment(processes: int = 1) -> dict[str, str]:
    """Environment variables that limit the threads of one of `processes`; lower limits of the user are kept."""
    most = threads(processes)
    return {name: str(min(most, _number(os.environ.get(name, "")) or most)) for name in _LIMITS}


def limit() -> None:
    """Limit the threads of this process, before it imports torch or polars.

    If it may use the whole machine, the libraries choose, for example by cores instead of hyperthreads.
    """
    if threads() < (os.cpu_count() or 1):
        os.environ.update(environment())


@contextmanager
def torch_threads(processes: int = 1) -> Iterator[None]:
    """Limit torch within the block to the threads of one of `processes`."""
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
    """The quotas, in processors, of the control groups of this process, of version 1 and 2."""
    try:
        groups = [line.split(":", 2) for line in MEMBERSHIP.read_text(encoding="utf-8").splitlines()]
    except OSError:  # not Linux
        return []
    quotas = []
    for _, controllers, path in groups:
        if not controllers:
            quotas += [_words(folder / "cpu.max") for folder in _folders(CGROUPS, path)]
        elif "cpu" in controllers.split(","):
            folders = _folders(CGROUPS / "cpu", path)
            quotas += [[*_words(f / "cpu.cfs_quota_us"), *_words(f / "cpu.cfs_period_us")] for f in folders]
    # without a limit version 2 has "max", version 1 a negative number
    return [int(words[0]) / int(words[1]) for words in quotas if len(words) == 2 and words[0].isdecimal()]


def _folders(mount: Path, path: str) -> list[Path]:
    """The folder of a group, then those above it, whose limits hold too; a container mounts its own group."""
    group = PurePosixPath(path.lstrip("/"))
    return [mount / group, *(mount / above for above in group.parents)]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []
