"""What the benchmarks share: environments of others, workers that run in turn, sessions, and `results.json`."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
LOSSES_AGREE = 0.05
"""Largest relative difference between two sides' last losses that counts as the same level."""

ENVIRONMENTS: dict[str, list[list[str]]] = {
    "reference": [
        ["pip<24.1", "setuptools<70", "wheel"],  # older metadata in the chain is refused by newer ones
        ["torch==2.13.0"],
        ["torch==2.13.0", "transformers4rec==23.12.0", "merlin-core", "merlin-dataloader", "nvtabular"],
        ["numpy<1.25", "numba<0.60", "dask<2023.6", "distributed<2023.6", "pyarrow<15", "scipy<1.12"],
        ["npy-append-array==0.9.16"],
    ],
    "rectools": [["torch==2.13.0"], ["torch==2.13.0", "rectools[torch]==0.19.0"]],
}
"""Library → what is installed, one list after the other: the reference's own ranges admit versions that break it."""


def interpreter(library: str, python: str = sys.executable) -> Path:
    """The interpreter of `library`'s environment, which is made at the first call."""
    home = HERE / f".{library}-env"
    stamp, executable = home / ".installed", home / "bin/python"
    if not stamp.exists():
        print(f"installing {library} into {home.name} (a few minutes)", file=sys.stderr)
        subprocess.run([python, "-m", "venv", "--clear", str(home)], check=True)
        for packages in ENVIRONMENTS[library]:
            subprocess.run([str(executable), "-m", "pip", "install", "-q", *packages], check=True)
        stamp.touch()
    return executable


# ── Workers ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Side:
    """One side of a comparison: `worker`, a script beside this one, run by `python` on `job`."""

    python: Path | str
    worker: str
    job: Mapping[str, Any]


def work(side: Side, threads: int) -> dict[str, Any]:
    """Run a worker in a process of its own; the JSON object in its last line."""
    hidden = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # set on some machines for old builds; they slow current ones
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    environment.update(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), HF_HUB_OFFLINE="1")
    environment["PYTHONPATH"] = str(HERE.parent)
    command = [str(side.python), str(HERE / side.worker), json.dumps(side.job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=HERE.parent)
    if done.returncode:
        raise SystemExit(f"{side.worker} failed on {side.job}:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def in_turn(sides: Mapping[str, Side], runs: int, threads: int) -> dict[str, list[dict[str, Any]]]:
    """Every side `runs` times, one after the other in each round, so that a busy minute hits all alike."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for number in range(runs):
        for name, side in sides.items():
            results[name].append(work(side, threads))
            print(f"  round {number + 1} of {runs}: {name}", file=sys.stderr)
    return results


def median(results: Iterable[Mapping[str, Any]], key: str) -> float:
    return statistics.median(result[key] for result in results)


def losses_agree(losses: Mapping[str, Sequence[float]]) -> bool:
    """Whether every side's loss fell, and to the same level as the first's; says so where not."""
    first, *others = [values[-1] for values in losses.values()]
    fell = all(values[-1] < values[0] for values in losses.values() if len(values) > 1)
    agree = fell and all(abs(other - first) <= LOSSES_AGREE * first for other in others)
    if not agree:
        print(f"the losses do not agree, so the times compare little: {dict(losses)}", file=sys.stderr)
    return agree


# ── What was measured, and on what ──────────────────────────────────────────────────────────────


def machine(threads: int | None = None) -> dict[str, Any]:
    """What the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
        flags = next((line for line in lines if line.startswith("flags")), "")
        units = [
            name
            for flag, name in (("avx512f", "AVX-512"), ("avx512_bf16", "BF16"), ("amx_bf16", "AMX"))
            if flag in flags.split()
        ]
        cpu += f" ({', '.join(units)})" if units else ""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "numpy", "polars")}
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": threads or os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **versions,
    }


def publish(name: str, content: Mapping[str, Any], threads: int | None = None, write: bool = True) -> None:
    """Print one section of results as JSON and, unless told not to, put it into `results.json`."""
    section = {"machine": machine(threads), **content}
    print(json.dumps({name: section}, indent=1))
    if write:
        whole = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps({**whole, name: section}, indent=1) + "\n", encoding="utf-8")


def arguments(doc: str, runs: int) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=runs, help="runs of each side (default %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of every side (default: all)")
    parser.add_argument("--dry", action="store_true", help="leave results.json as it is")
    return parser


# ── Sessions ────────────────────────────────────────────────────────────────────────────────────

ITEMS, CATEGORIES, LONGEST = 20_000, 300, 20


def make_sessions(sessions: int, seed: int, items: int = ITEMS, fixed_length: int | None = None) -> dict[str, Any]:
    """Columns and offsets of sessions of 2 to 20 events (mean about 7.4), or all of `fixed_length`.

    Items follow a power law, and half of the events follow from the one before, so that there is something to learn.
    """
    rng = np.random.default_rng(seed)
    length = np.minimum(1 + rng.geometric(0.15, sessions), LONGEST)
    if fixed_length is not None:
        length = np.full(sessions, fixed_length)
    offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    events = int(offsets[-1])
    weight = 1.0 / np.arange(1, items + 1) ** 0.8
    item = rng.choice(items, events, p=weight / weight.sum())
    follows = rng.random(events) < 0.5
    follows[offsets[:-1]] = False
    for at in np.flatnonzero(follows):
        item[at] = (item[at - 1] * 31 + 7) % items
    return {
        "offsets": offsets,
        "item_id": item + 1,
        "category": item % CATEGORIES + 2,
        "price": rng.standard_normal(events, np.float32),
        "recency": rng.standard_normal(events, np.float32),
    }


def write_sessions(path: Path, train: Mapping[str, Any], valid: Mapping[str, Any]) -> None:
    """Both parts into one .npz file as the workers read it; those of validation are named ``valid_…``."""
    np.savez(path, **train, **{f"valid_{name}": values for name, values in valid.items()})
