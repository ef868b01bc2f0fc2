"""A million items: steps by the full softmax and by a sampled one, and the memory that each takes.

    python benchmarks/catalog.py                       # about two minutes and 3 GB
    python benchmarks/catalog.py --items 10000 --steps 3

Memory is the process's peak while steps are taken, less what it held before there was a model, less weights,
gradients and AdamW's two averages in float32. Both sides train GPT-2, d=64, on batches of 128 sessions of 7.4 events.
"""

from __future__ import annotations

import sys

from harness import Side, arguments, in_turn, median, publish
from scale import make_job

LOSSES = {
    "full": {"kind": "cross_entropy"},
    "sampled": {"kind": "sampled_softmax", "negatives": 256, "sampler": "log_uniform"},
}


def main() -> None:
    parser = arguments(__doc__ or "", runs=3)
    parser.add_argument("--items", type=int, default=1_000_000, help="(default %(default)s)")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of a run (default %(default)s)")
    options = parser.parse_args()
    sides = {
        name: Side(sys.executable, "_steps_worker.py", make_job(items=options.items, loss=loss, steps=options.steps))
        for name, loss in LOSSES.items()
    }
    results = in_turn(sides, options.runs, options.threads)
    figures = {name: {key: round(median(rs, key), 5) for key in rs[0]} for name, rs in results.items()}
    ratio = round(figures["full"]["step_seconds"] / figures["sampled"]["step_seconds"], 2)
    publish(
        "catalog",
        {"items": options.items, "losses": LOSSES, "steps": figures, "sampled_ratio": ratio},
        options.threads,
        not options.dry,
    )


if __name__ == "__main__":
    main()
