"""What products in bfloat16 do to accuracy: Amazon Beauty trained by either precision over several seeds.

    python benchmarks/precision.py Beauty.txt              # eight epochs, five seeds; about a quarter of an hour

The GPT-2 shape of beauty.py. For each seed the best validation NDCG@10 over the epochs, by both; and the mean of their
difference with its 95 % t-interval, in which no difference beyond noise holds 0.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from beauty import beauty_arguments, beauty_job, write_data
from harness import Side, in_turn, publish

from t4r_lab.tuning.finalize import half_interval

PRECISIONS = ("float32", "bfloat16")


def main() -> None:
    options = beauty_arguments(__doc__ or "", runs=5, epochs=8).parse_args()

    with tempfile.TemporaryDirectory() as folder:
        items = write_data(options.file, options.users, Path(folder))
        sides = {
            f"{precision} {seed}": Side(
                sys.executable,
                "_ours_worker.py",
                beauty_job(Path(folder), items, epochs=options.epochs, precision=precision, seed=seed),
            )
            for seed in range(options.runs)
            for precision in PRECISIONS
        }
        results = in_turn(sides, 1, options.threads)
    best = {p: [max(results[f"{p} {seed}"][0]["ndcg"]) for seed in range(options.runs)] for p in PRECISIONS}
    difference = np.subtract(best["bfloat16"], best["float32"])
    content = {
        "epochs": options.epochs,
        "users": options.users,
        "ndcg": {precision: [round(value, 5) for value in values] for precision, values in best.items()},
        "mean": {precision: round(float(np.mean(values)), 5) for precision, values in best.items()},
        "difference": round(float(difference.mean()), 5),
        "half_width": round(half_interval(difference.tolist()), 5),
    }
    publish("precision", content, options.threads, not options.dry)


if __name__ == "__main__":
    main()
