"""Memory of this process, for the workers of every environment."""

from __future__ import annotations

from pathlib import Path


def peak_gb() -> float:
    """Most physical memory that this process has held, in 10⁹ bytes."""
    return _status("VmHWM")


def held_gb() -> float:
    """Physical memory that this process holds now, in 10⁹ bytes."""
    return _status("VmRSS")


def forget_peak() -> None:
    """Let `peak_gb` count from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e9
