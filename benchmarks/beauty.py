"""Amazon Beauty at length 50 with a full softmax: ours beside the reference and RecTools.

    python benchmarks/beauty.py Beauty.txt                 # until validation NDCG@10 reaches .036; twenty minutes
    python benchmarks/beauty.py Beauty.txt --epochs 1      # one epoch of each

`Beauty.txt` is the 5-core file of SASRec's and S3-Rec's authors, a user and its items a line. All train d=64, two
layers, four heads, batches of 128, dropout .3, on all but each user's last two items; RecTools' SASRec one epoch. The
last but one is ranked among all items but the seen ones after each epoch, outside of the measured time. With
`--users 700` one sees that it works.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import Side, arguments, in_turn, interpreter, losses_agree, publish, write_sessions
from train_vs_reference import add_precision, make_job

from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare

SIDES: dict[str, dict[str, Any]] = {
    "ours": {},
    "sasrec": {"body": "sasrec"},
    "reference": {},
    "rectools": {"epochs": 1},
}
"""Those that are compared, with what differs in their job."""


def beauty_arguments(doc: str, runs: int, epochs: int) -> argparse.ArgumentParser:
    """What every benchmark on Beauty takes."""
    parser = arguments(doc, runs)
    parser.add_argument("file", type=Path, help="Beauty.txt")
    parser.add_argument("--epochs", type=int, default=epochs, help="at most (%(default)s)")
    parser.add_argument("--users", type=int, help="the first ones of the file only")
    return parser


def add_until(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--until", type=float, default=0.036, help="validation NDCG@10 to reach (%(default)s)")


def write_data(file: Path, users: int | None, folder: Path) -> int:
    """Both parts as the workers read them, in ``folder/beauty.npz``; returns the number of items."""
    if users:
        lines = file.read_text(encoding="utf-8").splitlines()[:users]
        file = folder / file.name
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = prepare(file, folder / "prepared", PrepareOptions(split="leave_one_out", layout="lines"))
    parts = [data.part(name) for name in ("train", "valid")]
    arrays = [{"item_id": part.values["item_id"].astype(np.int64), "offsets": part.offsets} for part in parts]
    write_sessions(folder / "beauty.npz", *arrays)
    return data.schema.n_items


def beauty_job(folder: Path, items: int, **changes: Any) -> dict[str, Any]:
    """The GPT-2 shape on the data in `folder`, validated after each epoch."""
    return make_job(
        folder / "beauty.npz",
        "gpt2-clm",
        sizes={"item_id": items + 1},
        max_length=50,
        dropout=0.3,
        validate=True,
        filter_seen=True,
        prior="popularity",
        **changes,
    )


def side(name: str, job: dict[str, Any]) -> Side:
    """What runs `job` for one of `SIDES`. Another library is installed when it is first asked for."""
    library = name if name in ("reference", "rectools") else None
    python = interpreter(library) if library else sys.executable
    return Side(python, f"_{library or 'ours'}_worker.py", {**job, **SIDES[name]})


def until_reached(seconds: list[float], ndcg: list[float], wanted: float) -> float | None:
    """Seconds of training until NDCG is `wanted`, on the line between the epochs before and after; None if it never is.

    Whole epochs would tell more of where the wanted figure happens to lie than of the speed.
    """
    before, passed = 0.0, 0.0
    for took, value in zip(seconds, ndcg, strict=True):
        if value >= wanted:
            return passed + took * (wanted - before) / (value - before)
        before, passed = max(before, value), passed + took
    return None


def summary(results: list[dict[str, Any]], until: float) -> dict[str, Any]:
    """Median seconds of an epoch, and seconds of training until the wanted NDCG, or in all if it wasn't reached."""
    reached = [until_reached(r["seconds"], r["ndcg"], until) if r["ndcg"] else None for r in results]
    spent = [sum(r["seconds"]) if seconds is None else seconds for r, seconds in zip(results, reached, strict=True)]
    return {
        "epoch_seconds": round(float(np.median([s for r in results for s in r["seconds"]])), 2),
        "peak_gb": round(float(np.median([r["peak_gb"] for r in results])), 2),
        "losses": [[round(loss, 3) for loss in r["losses"]] for r in results],
        "ndcg": [[round(value, 4) for value in r["ndcg"]] for r in results],
        "reached": None not in reached,
        "until_seconds": round(float(np.median(spent)), 1),
    }


def ratios(figures: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How many times what others take either of our shapes does not need."""
    speedups: dict[str, dict[str, float]] = {}
    for name in figures.keys() & {"ours", "sasrec"}:
        ours = figures[name]
        others = {other: theirs for other, theirs in figures.items() if other in ("reference", "rectools")}
        speedups[name] = {f"epoch_{o}": round(t["epoch_seconds"] / ours["epoch_seconds"], 2) for o, t in others.items()}
        if ours["reached"] and "reference" in others:
            speedups[name]["until_reference"] = round(others["reference"]["until_seconds"] / ours["until_seconds"], 2)
    return speedups


def main() -> None:
    parser = beauty_arguments(__doc__ or "", runs=5, epochs=12)
    add_until(parser)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="(%(default)s)")
    add_precision(parser)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        items = write_data(options.file, options.users, Path(folder))
        settings = {"epochs": options.epochs, "until": options.until, "precision": options.precision}
        sides: dict[str, list[dict[str, Any]]] = {name: [] for name in options.sides}
        for seed in range(options.runs):
            job = beauty_job(Path(folder), items, seed=seed, **settings)
            now = [name for name in options.sides if name != "rectools" or seed == 0]
            for name, results in in_turn({name: side(name, job) for name in now}, 1, options.threads).items():
                sides[name] += results
    figures = {name: summary(results, options.until) for name, results in sides.items()}
    first = {name: figures[name]["losses"][0][:1] for name in options.sides}
    content = {
        "until": options.until,
        "epochs": options.epochs,
        "precision": options.precision,
        "users": options.users,
        "sides": figures,
        "ratios": ratios(figures),
        "losses_agree": losses_agree(first),
    }
    name = "beauty-float32" if options.precision == "float32" else "beauty"
    publish(name, content, options.threads, not options.dry)


if __name__ == "__main__":
    main()
