"""Training speed of T4R Lab and of the library it takes its vocabulary from, side by side on this machine.

    python benchmarks/train_vs_reference.py            # all three pairs, medians of three runs each
    python benchmarks/train_vs_reference.py --pairs gpt2-clm --runs 5 --features

The first call installs Transformers4Rec 23.12 into ``benchmarks/.reference-env`` (a few minutes). Both sides
read the same synthetic sessions and run their own training loops, one after the other in turn, each in a
process of its own with the same number of threads. Results go to the screen and to ``benchmarks/results.json``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
REFERENCE_ENV = HERE / ".reference-env"
STAMP = REFERENCE_ENV / ".installed"
RESULTS = HERE / "results.json"

PAIRS = {"gpt2-clm": ("gpt2", "clm"), "xlnet-mlm": ("xlnet", "mlm"), "gru-clm": ("gru", "clm")}
FEATURES = ["category", "price", "recency"]
ITEMS, CATEGORIES, LONGEST = 20_000, 300, 20

REFERENCE_PACKAGES = [
    ["pip<24.1", "setuptools<70", "wheel"],  # older metadata in the chain is refused by newer ones
    ["torch==2.13.0"],
    ["torch==2.13.0", "transformers4rec==23.12.0", "merlin-core", "merlin-dataloader", "nvtabular"],
    ["numpy<1.25", "numba<0.60", "dask<2023.6", "distributed<2023.6", "pyarrow<15", "scipy<1.12"],
    ["npy-append-array==0.9.16"],
]
"""Installed one after the other: the reference's own ranges admit versions that break it."""


def install_reference(python: str) -> None:
    """Make the reference's environment, once."""
    if STAMP.exists():
        return
    print(f"installing the reference into {REFERENCE_ENV.name} (a few minutes)", file=sys.stderr)
    subprocess.run([python, "-m", "venv", "--clear", str(REFERENCE_ENV)], check=True)
    for packages in REFERENCE_PACKAGES:
        subprocess.run([str(REFERENCE_ENV / "bin/python"), "-m", "pip", "install", "-q", *packages], check=True)
    STAMP.touch()


def write_sessions(path: Path, sessions: int, seed: int) -> float:
    """Sessions of 2 to 20 events over 20,000 items as arrays in an .npz file; returns the mean length.

    Items follow a power law, and half of the events follow from the one before, so that there is something
    to learn.
    """
    rng = np.random.default_rng(seed)
    length = np.minimum(1 + rng.geometric(0.15, sessions), LONGEST)
    offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    weight = 1.0 / np.arange(1, ITEMS + 1) ** 0.8
    item = rng.choice(ITEMS, offsets[-1], p=weight / weight.sum())
    follows = rng.random(offsets[-1]) < 0.5
    follows[offsets[:-1]] = False
    for at in np.flatnonzero(follows):
        item[at] = (item[at - 1] * 31 + 7) % ITEMS
    np.savez(
        path,
        offsets=offsets,
        item_id=item + 1,
        category=item % CATEGORIES + 2,
        price=rng.standard_normal(offsets[-1], np.float32),
        recency=rng.standard_normal(offsets[-1], np.float32),
    )
    return float(length.mean())


def make_job(data: Path, pair: str, features: bool, sessions: int, epochs: int) -> dict[str, Any]:
    """Everything both workers need to train the same model on the same data."""
    body, masking = PAIRS[pair]
    return {
        "data": str(data),
        "sizes": {"item_id": ITEMS + 1, "category": CATEGORIES + 2},
        "columns": ["item_id", *(FEATURES if features else [])],
        "sessions": sessions,
        "epochs": epochs,
        "max_length": LONGEST,
        "body": body,
        "masking": masking,
        "probability": 0.2,
        "d_model": 64,
        "n_head": 4,
        "n_layer": 2,
        "dropout": 0.1,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "seed": 0,
    }


def train(python: Path | str, worker: str, job: dict[str, Any], threads: int) -> dict[str, Any]:
    """One training in a process of its own."""
    hidden = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # set on some machines for old builds; they slow current ones
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    environment.update(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), HF_HUB_OFFLINE="1")
    command = [str(python), str(HERE / worker), json.dumps(job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=HERE.parent)
    if done.returncode:
        raise SystemExit(f"{worker} failed on {job['body']} {job['masking']}:\n{done.stderr[-3000:]}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    if not result["losses"][-1] < result["losses"][0]:
        raise SystemExit(f"{worker}: the loss of {job['body']} {job['masking']} does not fall: {result['losses']}")
    return result


def compare(pair: str, job: dict[str, Any], runs: int, threads: int) -> dict[str, Any]:
    """Both sides in turn, `runs` times; medians and every single figure."""
    sides: dict[str, list[dict[str, Any]]] = {"ours": [], "reference": []}
    for _ in range(runs):
        sides["reference"].append(train(REFERENCE_ENV / "bin/python", "_reference_worker.py", job, threads))
        sides["ours"].append(train(sys.executable, "_ours_worker.py", job, threads))
    speed = {side: [r["sessions_per_second"] for r in results] for side, results in sides.items()}
    middle = {side: statistics.median(s) for side, s in speed.items()}
    return {
        "pair": pair,
        "sessions_per_second": {side: round(value, 1) for side, value in middle.items()},
        "ratio": round(middle["ours"] / middle["reference"], 2),
        "runs": {side: [round(value, 1) for value in s] for side, s in speed.items()},
        "losses": {side: [round(loss, 3) for loss in results[-1]["losses"]] for side, results in sides.items()},
        "parameters": {side: results[-1]["parameters"] for side, results in sides.items()},
        "threads": {side: results[-1]["threads"] for side, results in sides.items()},
        "torch": {side: results[-1]["torch"] for side, results in sides.items()},
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
        flags = next((line for line in lines if line.startswith("flags")), "")
        cpu += " (AVX-512)" if "avx512f" in flags else ""
    return {"cpu": cpu, "cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", nargs="+", choices=list(PAIRS), default=list(PAIRS), metavar="PAIR")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="timed epochs after one that warms up (%(default)s)")
    parser.add_argument("--sessions", type=int, default=5120, help="sessions in an epoch (default %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of either side (default: all)")
    parser.add_argument(
        "--features", action="store_true", help="a category and two continuous features beside the item"
    )
    parser.add_argument("--python", default=sys.executable, help="interpreter for the reference (3.11 is tested)")
    arguments = parser.parse_args()
    install_reference(arguments.python)

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "sessions.npz"
        mean = write_sessions(data, arguments.sessions, seed=0)
        print(f"{arguments.sessions} sessions, mean length {mean:.2f}, {arguments.threads} threads, {machine()['cpu']}")
        print(f"{'pair':<12}{'ours':>12}{'reference':>12}{'ratio':>8}   sessions/s, medians of {arguments.runs}")
        rows = []
        for pair in arguments.pairs:
            job = make_job(data, pair, arguments.features, arguments.sessions, arguments.epochs)
            row = compare(pair, job, arguments.runs, arguments.threads)
            speed = row["sessions_per_second"]
            print(f"{pair:<12}{speed['ours']:>12.0f}{speed['reference']:>12.0f}{row['ratio']:>8.2f}", flush=True)
            rows.append(row)
    setting = {key: value for key, value in job.items() if key not in ("data", "body", "masking")}
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "accelerate", "numpy")}
    report = {
        "machine": machine(),
        "ours": versions,
        "reference": "transformers4rec 23.12.0",
        "setting": {**setting, "mean_length": round(mean, 2)},
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {RESULTS.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
