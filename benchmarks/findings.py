"""Runs behind docs/findings.md and docs/results.md: variants of a recipe, several seeds each, on two public datasets.

    python benchmarks/findings.py --data mlruns/data --out mlruns/findings             # everything, some hours
    python benchmarks/findings.py --data mlruns/data --out mlruns/findings --tables tying smoothing --seeds 0 1 2

`--data` holds the prepared folders ``yoochoose`` and ``ml-100k`` (docs/results.md has the commands). Each run is one
``t4r-lab train … --test --json``; its JSON is kept in `--out`, and what is there is not run again. Every variant
is fitted on train+valid for a fixed number of epochs: nothing is chosen on the test part, which each run scores once.
Prints, per table, the mean over seeds with a 95 % t-interval.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
DATASETS = ("yoochoose", "ml-100k")

SIDES = "{item_id: {}, class: {}, release_year: {}, occupation: {}, gender: {}, rating: {}}"
SOFT = SIDES.replace("rating: {}", "rating: {encoding: soft_one_hot}")
ONLY = {"sides": ("ml-100k",)}
"""Tables for which not every dataset has the columns."""

TABLES: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "results": {m: (m, {}) for m in ("gpt2-clm", "gru-clm", "xlnet-mlm")},
    "tying": {
        "tied": ("gpt2-clm", {}),
        "untied": ("gpt2-clm", {"model.heads.0.weight_tying": False}),
    },
    "smoothing": {
        "smoothing 0": ("gpt2-clm", {"model.heads.0.loss.label_smoothing": 0}),
        "smoothing 0.1": ("gpt2-clm", {}),
        "smoothing 0.3": ("gpt2-clm", {"model.heads.0.loss.label_smoothing": 0.3}),
        "smoothing 0.6": ("gpt2-clm", {"model.heads.0.loss.label_smoothing": 0.6}),
    },
    "masking": {
        "clm": ("xlnet-mlm", {"model.masking.kind": "clm"}),
        "mlm": ("xlnet-mlm", {}),
        "plm": ("xlnet-mlm", {"model.masking.kind": "plm"}),
        "rtd": ("xlnet-mlm", {"model.masking.kind": "rtd"}),
    },
    "sides": {
        "item only": ("gpt2-clm", {}),
        "concat": ("gpt2-clm", {"model.inputs.features": SIDES}),
        "concat, soft one-hot": ("gpt2-clm", {"model.inputs.features": SOFT}),
        "sum": ("gpt2-clm", {"model.inputs.features": SIDES, "model.inputs.aggregation": "element-wise-sum"}),
        "item-multi": (
            "gpt2-clm",
            {"model.inputs.features": SIDES, "model.inputs.aggregation": "element-wise-sum-item-multi"},
        ),
    },
}
"""Table → variant → (recipe, what is changed in it). An unchanged recipe is run once for all tables."""

SHORTER = {"data.max_length": 50, "train.epochs": 30}
"""On ml-100k, for every table but the results: a run takes a minute, not four."""

TIMES_97_5 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""Student's t, 97.5 %, by degrees of freedom."""


SHOWN = ("recall", "mrr", "ndcg", "ece", "nll", "brier")


def run(command: list[str], recipe: Path, settings: dict[str, Any], out: Path) -> Any:
    """The JSON of one run, made if it isn't there yet."""
    path = out / f"{settings['name']}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    pairs = {"train.fit_on": "train+valid", **settings}.items()
    arguments = [part for key, value in pairs for part in ("--set", f"{key}={value}")]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "train", str(recipe), *arguments, "--test", "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{path.stem}: {done.stderr.strip().splitlines()[-1]}")
    result = json.loads(done.stdout)
    path.write_text(done.stdout, encoding="utf-8")
    print(f"{path.stem}  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return result


def interval(values: list[float]) -> str:
    """Mean and half the width of its 95 % t-interval."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.4f}"
    half = TIMES_97_5[len(values) - 1] * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.4f} ± {half:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the prepared datasets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSON of each run")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES), metavar="TABLE")
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS), metavar="DATASET")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--command", nargs="+", default=[sys.executable, "-m", "t4r_lab"], help="how t4r-lab is called")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for table in options.tables:
        for dataset in [d for d in options.datasets if d in ONLY.get(table, DATASETS)]:
            print(f"\n{table}, {dataset}, seeds {options.seeds}")
            for variant, (recipe, changes) in TABLES[table].items():
                parts = [dataset, recipe, *([variant.replace(",", "").replace(" ", "-")] if changes else [])]
                if dataset == "ml-100k" and table != "results":
                    parts, changes = [*parts, "short"], SHORTER | changes
                label = "-".join(parts)
                metrics = []
                for seed in options.seeds:
                    path = RECIPES / f"{dataset}-{recipe}.yaml"
                    settings = {"name": f"{label}-{seed}", "data.path": options.data / dataset, "train.seed": seed}
                    metrics.append(run(options.command, path, settings | changes, options.out)["test"])
                shown = [name for name in metrics[0] if name.split("@")[0] in SHOWN]
                print(f"  {variant:<22}", "  ".join(f"{n} {interval([test[n] for test in metrics])}" for n in shown))


if __name__ == "__main__":
    main()
