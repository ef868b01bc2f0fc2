"""Trains T4R Lab once on the job of train_vs_reference.py: the whole of `train.fit`, as every run goes through it.

Argument: a JSON object as `make_job` in train_vs_reference.py writes it. Prints one JSON object as its last line.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from t4r_lab.build import build
from t4r_lab.data.dataset import Sessions
from t4r_lab.report import Epoch
from t4r_lab.schema import Column, Schema
from t4r_lab.spec import RunSpec
from t4r_lab.train import fit


class InMemory:
    """What `fit` reads of a Dataset. The validation part is a few sessions: training is timed, not evaluation."""

    def __init__(self, job: dict[str, Any]) -> None:
        data = np.load(job["data"])
        columns = [Column(name="item_id", kind="categorical", role="item", size=job["sizes"]["item_id"])]
        for name in job["columns"][1:]:
            size = job["sizes"].get(name, 0)
            columns.append(Column(name=name, kind="categorical" if size else "continuous", size=size))
        self.schema = Schema(columns=tuple(columns))
        values, offsets = {name: data[name] for name in job["columns"]}, data["offsets"]
        few = offsets[:9]
        self._parts = {
            "train": _sessions(values, offsets),
            "valid": _sessions({name: column[: few[-1]] for name, column in values.items()}, few),
        }

    def part(self, name: str) -> Sessions:
        return self._parts[name]


def _sessions(values: dict[str, np.ndarray], offsets: np.ndarray) -> Sessions:
    count = len(offsets) - 1
    return Sessions(values, offsets, np.ones(count, np.int32), {}, np.arange(count).astype(str), 0)


def make_spec(job: dict[str, Any]) -> RunSpec:
    body = {"kind": job["body"], "d_model": job["d_model"], "n_layer": job["n_layer"], "dropout": job["dropout"]}
    if job["body"] != "gru":
        body["n_head"] = job["n_head"]
    masking = {"kind": job["masking"]}
    if job["masking"] == "mlm":
        masking["probability"] = job["probability"]
    features = {name: {"dim": 16} if name in job["sizes"] else {} for name in job["columns"][1:]}
    return RunSpec.parse(
        {
            "name": "benchmark",
            "data": {"path": "in memory", "max_length": job["max_length"]},
            "model": {"inputs": {"features": {"item_id": {}, **features}}, "masking": masking, "body": body},
            "train": {
                "epochs": 1 + job["epochs"],
                "batch_size": job["batch_size"],
                "learning_rate": job["learning_rate"],
                "schedule": "constant",
                "warmup": 0.0,
                "patience": None,
                "seed": job["seed"],
                "device": "cpu",
            },
        }
    )


def main() -> None:
    job = json.loads(sys.argv[1])
    data, spec = InMemory(job), make_spec(job)
    model = build(spec, data.schema, {})
    ends, losses = [], []
    with tempfile.TemporaryDirectory() as folder:
        for report in fit(model, data, spec, Path(folder)):  # type: ignore[arg-type]
            if isinstance(report, Epoch):
                ends.append(time.perf_counter())
                losses.append(report.train_loss)
    print(
        json.dumps(
            {
                "sessions_per_second": job["sessions"] * job["epochs"] / (ends[-1] - ends[0]),
                "losses": losses,
                "parameters": sum(p.numel() for p in model.parameters()),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
