"""Training and evaluation of T4R Lab and of the library it takes its vocabulary from, side by side on this machine.

    python benchmarks/train_vs_reference.py            # all three pairs, medians of five runs each
    python benchmarks/train_vs_reference.py --pairs gpt2-clm --runs 3 --features

The first call installs Transformers4Rec 23.12 into ``benchmarks/.reference-env`` (a few minutes). Both sides read the
same synthetic sessions and run their own loops, one after the other in turn, each in a process of its own with the
same number of threads. About two minutes a run of all pairs on 2 cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import (
    CATEGORIES,
    ITEMS,
    LONGEST,
    Side,
    arguments,
    in_turn,
    interpreter,
    losses_agree,
    make_sessions,
    median,
    publish,
    write_sessions,
)

PAIRS = {"gpt2-clm": ("gpt2", "clm"), "xlnet-mlm": ("xlnet", "mlm"), "gru-clm": ("gru", "clm")}
FEATURES = ["category", "price", "recency"]


def make_job(data: Path, pair: str, **changes: Any) -> dict[str, Any]:
    """Everything that a worker needs to train the same model on the same data as the others.

    ``validate`` scores the validation part after each epoch and stops where NDCG@10 reaches ``until``; without it
    that part is evaluated once, timed, at the end. ``prior`` is uniform, for the losses to be alike: the reference
    has no biases of items.
    """
    body, masking = PAIRS[pair]
    job = {
        "data": str(data),
        "sizes": {"item_id": ITEMS + 1, "category": CATEGORIES + 2},
        "columns": ["item_id"],
        "epochs": 3,
        "validate": False,
        "until": 1.0,
        "filter_seen": False,
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
        "precision": "auto",
        "seed": 0,
        "prior": "uniform",
        "order": None,
        "compile": False,
    }
    unknown = set(changes) - set(job) - {"valid_sessions"}
    assert not unknown, unknown
    return {**job, **changes}


def add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        choices=["auto", "float32"],
        default="auto",
        help="of our products with the item vectors; auto: bfloat16 where the processor has it (the others: float32)",
    )


def compare(job: dict[str, Any], sessions: int, runs: int, threads: int) -> dict[str, Any]:
    """Both sides in turn; medians and every single figure."""
    sides = {
        "reference": Side(interpreter("reference"), "_reference_worker.py", job),
        "ours": Side(sys.executable, "_ours_worker.py", job),
    }
    measured = in_turn(sides, runs, threads)
    for results in measured.values():
        for result in results:  # the first epoch warms up
            result["trained_per_second"] = sessions * (job["epochs"] - 1) / sum(result["seconds"][1:])
    figures = {
        key: {side: round(median(results, key), 3) for side, results in measured.items()}
        for key in ("trained_per_second", "evaluated_per_second", "peak_gb")
    }
    losses = {side: [round(loss, 3) for loss in results[-1]["losses"]] for side, results in measured.items()}
    return {
        **figures,
        "trained_ratio": figures["trained_per_second"]["ours"] / figures["trained_per_second"]["reference"],
        "evaluated_ratio": figures["evaluated_per_second"]["ours"] / figures["evaluated_per_second"]["reference"],
        "memory_ratio": figures["peak_gb"]["ours"] / figures["peak_gb"]["reference"],
        "losses": losses,
        "losses_agree": losses_agree(losses),
        "runs": {side: [round(r["trained_per_second"], 1) for r in results] for side, results in measured.items()},
        "parameters": {side: results[-1]["parameters"] for side, results in measured.items()},
        "torch": {side: results[-1]["torch"] for side, results in measured.items()},
    }


def main() -> None:
    parser = arguments(__doc__ or "", runs=5)
    parser.add_argument("--pairs", nargs="+", choices=list(PAIRS), default=list(PAIRS), metavar="PAIR")
    parser.add_argument("--sessions", type=int, default=5120, help="of training, and of evaluation (%(default)s)")
    parser.add_argument("--features", action="store_true", help="a category and two numbers beside the item")
    add_precision(parser)
    options = parser.parse_args()

    pairs = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "sessions.npz"
        write_sessions(data, make_sessions(options.sessions, 0), make_sessions(options.sessions, 1))
        for pair in options.pairs:
            columns = ["item_id", *(FEATURES if options.features else [])]
            job = make_job(data, pair, columns=columns, valid_sessions=options.sessions, precision=options.precision)
            pairs[pair] = compare(job, options.sessions, options.runs, options.threads)
    setting = {key: value for key, value in job.items() if key not in ("data", "body", "masking")}
    content = {"reference": "transformers4rec 23.12.0", "setting": setting, "pairs": pairs}
    name = "-".join(["training", *["features"] * options.features, *["float32"] * (options.precision == "float32")])
    publish(name, content, options.threads, not options.dry)


if __name__ == "__main__":
    main()
