"""The metrics of six specs that cover the families, to the last digit: the same before a change of form and after it.

``python benchmarks/frozen.py FILE`` writes them; where FILE exists, they are held against it, and the exit status is 1
when one differs. They are those of one machine and one version of torch: write FILE before the change, on the machine
on which it is held after it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import t4r_lab
from t4r_lab.data import Generator

TRAIN = {"epochs": 2, "patience": None, "batch_size": 64, "learning_rate": 3e-3}
SPECS: dict[str, dict[str, Any]] = {
    "gru-clm": {"body": {"kind": "gru", "d_model": 32}},
    "gpt2-clm-two-tasks": {
        "body": {"kind": "gpt2", "d_model": 32, "n_layer": 1, "n_head": 2},
        "heads": [
            {"kind": "next_item", "loss": {"kind": "cross_entropy", "label_smoothing": 0.1}, "temperature": 0.5},
            {"kind": "binary", "column": "purchase"},
        ],
    },
    "xlnet-plm": {"body": {"kind": "xlnet", "d_model": 32, "n_layer": 1, "n_head": 2}, "masking": {"kind": "plm"}},
    "bert-mlm": {"body": {"kind": "bert", "d_model": 32, "n_layer": 1, "n_head": 2}, "masking": {"kind": "mlm"}},
    "electra-rtd": {"body": {"kind": "electra", "d_model": 32, "n_layer": 1, "n_head": 2}, "masking": {"kind": "rtd"}},
    "sasrec-sampled": {
        "body": {"kind": "sasrec", "d_model": 32, "n_layer": 1, "n_head": 1},
        "heads": [{"kind": "next_item", "loss": {"kind": "sampled_softmax", "negatives": 64}}],
    },
}


def measure(home: Path) -> dict[str, dict[str, float]]:
    """Spec → the loss of every epoch, and the metrics of the validation and the test part."""
    shop = Generator(n_items=300)
    events, items = shop.events(1500), shop.items()
    data = t4r_lab.prepare(events, home / "data", t4r_lab.PrepareOptions(targets=["purchase"]), items=items).path
    measured: dict[str, dict[str, float]] = {}
    for name, model in SPECS.items():
        spec = t4r_lab.RunSpec.parse({"name": name, "data": {"path": str(data)}, "model": model, "train": TRAIN})
        losses: dict[str, float] = {}

        def note(report: Any, losses: dict[str, float] = losses) -> None:
            if type(report).__name__ == "Epoch":
                losses[f"loss of epoch {report.epoch}"] = report.train_loss

        result = t4r_lab.run(spec, home=home / "home", test=True, on_report=note)
        tests = {f"test {metric}": value for metric, value in (result.test or {}).items()}
        measured[name] = losses | result.valid | tests
        print(name, {k: round(v, 4) for k, v in list(measured[name].items())[:4]}, flush=True)
    return measured


def main(file: Path) -> int:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder))
    if not file.exists():
        file.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        return 0
    frozen = json.loads(file.read_text(encoding="utf-8"))
    other = [
        f"{spec}: {name} was {value!r}, is {measured.get(spec, {}).get(name)!r}"
        for spec, metrics in frozen.items()
        for name, value in metrics.items()
        if repr(measured.get(spec, {}).get(name)) != repr(value)
    ]
    print("\n".join(other) or f"all {sum(map(len, frozen.values()))} figures are as they were")
    return 1 if other else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
