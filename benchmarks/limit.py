"""How near a training step is to what the machine can do, and how long it waits for data.

    python benchmarks/limit.py                         # under a minute

The limit is what a step can't do without: its matrix products (forward, backward, attention), each recorded with its
shapes while steps run and then timed alone at those shapes, and the bytes that AdamW and the softmax must move, at the
rate at which this machine copies arrays of that size. Everything else that a step does is distance from the limit.
Steps are those of `fit` on 20,000 items, batches of 128, d=64; all is measured in one process, one after the other.
"""

from __future__ import annotations

import sys

from harness import Side, arguments, in_turn, median, publish
from scale import make_job


def main() -> None:
    parser = arguments(__doc__ or "", runs=3)
    parser.add_argument("--bodies", nargs="+", default=["gpt2", "xlnet", "gru"], help="(default %(default)s)")
    parser.add_argument("--steps", type=int, default=40, help="timed steps (default %(default)s)")
    options = parser.parse_args()
    sides = {
        body: Side(sys.executable, "_limit_worker.py", {**make_job(body=body, steps=options.steps), "counted": 4})
        for body in options.bodies
    }
    results = in_turn(sides, options.runs, options.threads)
    bodies = {name: {key: round(median(rs, key), 5) for key in rs[0]} for name, rs in results.items()}
    publish("limit", {"bodies": bodies}, options.threads, not options.dry)


if __name__ == "__main__":
    main()
