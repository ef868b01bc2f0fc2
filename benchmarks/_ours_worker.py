"""Trains T4R Lab once on the job of a comparison: the whole of `train.fit`, as every run goes through it.

Argument: a JSON object as `make_job` in train_vs_reference.py writes it; ``prior`` is the loss's, ``order``
and ``compile`` are those of ways.py. Prints one JSON object as its last line.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _memory import peak_gb

import t4r_lab.training.trainer as training
from t4r_lab.base.reports import Epoch, Progress
from t4r_lab.data.prepared.prepared_data import Sessions
from t4r_lab.nn.batches import Windows
from t4r_lab.nn.layers.attention_stack import SASRecLayer
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec import RunSpec
from t4r_lab.training.assembly import build
from t4r_lab.training.evaluation import evaluate

POOL = 20
"""Batches whose sessions are put in order of length together, so that an epoch still differs from the one before."""


class InMemory:
    """What `fit` reads of a Dataset. Unless epochs are validated, its validation part is a few sessions only."""

    def __init__(self, job: dict[str, Any]) -> None:
        data = dict(np.load(job["data"]))
        columns = [Column(name="item_id", kind="categorical", role="item", size=job["sizes"]["item_id"])]
        for name in job["columns"][1:]:
            size = job["sizes"].get(name, 0)
            columns.append(Column(name=name, kind="categorical" if size else "continuous", size=size))
        self.schema = Schema(columns=tuple(columns))
        train, self.valid = (_sessions(data, job["columns"], prefix) for prefix in ("", "valid_"))
        self._parts = {"train": train, "valid": self.valid if job["validate"] else self.valid.take(np.arange(8))}

    def part(self, name: str) -> Sessions:
        return self._parts[name]


def _sessions(data: dict[str, np.ndarray], columns: list[str], prefix: str) -> Sessions:
    offsets = data[f"{prefix}offsets"]
    count = len(offsets) - 1
    target = np.diff(offsets).astype(np.int32) - 1 if prefix else np.ones(count, np.int32)
    values = {name: data[prefix + name] for name in columns}
    return Sessions(values, offsets, target, {}, np.arange(count).astype(str), 0)


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
            "model": {
                "inputs": {"features": {"item_id": {}, **features}},
                "masking": masking,
                "body": body,
                "heads": [
                    {
                        "kind": "next_item",
                        "loss": {"kind": "cross_entropy", "precision": job["precision"], "prior": job["prior"]},
                    }
                ],
            },
            "train": {
                "epochs": job["epochs"],
                "batch_size": job["batch_size"],
                "learning_rate": job["learning_rate"],
                "schedule": "constant",
                "warmup": 0.0,
                "patience": None,
                "seed": job["seed"],
                "device": "cpu",
            },
            "evaluation": {"filter_seen": job["filter_seen"]},
        }
    )


def ordered_batches(order: str, windows: Windows, batch_size: int, seed: int, epoch: int, *_: int) -> Iterator[Windows]:
    """What `training_batches` yields in one process, of sessions of like length: so many ``sessions`` a batch, or so
    many ``events``, as many batches either way; the batches in random order."""
    rng = np.random.default_rng([seed, epoch])
    shuffled = rng.permutation(len(windows))
    length = windows.stop - windows.start
    pools = np.split(shuffled, range(POOL * batch_size, len(windows), POOL * batch_size))
    batches: list[np.ndarray] = []
    for pool in pools:
        pool = pool[np.argsort(length[pool], kind="stable")]
        count = -(-len(pool) // batch_size)
        if order == "sessions":
            ends = np.arange(1, count) * batch_size
        else:
            events = np.cumsum(length[pool])
            ends = np.searchsorted(events, events[-1] * np.arange(1, count) / count)
        batches += np.split(pool, ends)
    for at in rng.permutation(len(batches)):
        yield windows.take(batches[at])


def main() -> None:
    job = json.loads(sys.argv[1])
    data, spec = InMemory(job), make_spec(job)
    counts = data.part("train").item_counts(data.schema.n_items)
    model = build(spec, data.schema, {}, item_counts=counts)
    if job["order"]:
        training.training_batches = partial(ordered_batches, job["order"])  # type: ignore[assignment]
    if job["compile"]:
        for module in model.modules():
            if isinstance(module, SASRecLayer):  # what surrounds attention, whose groups differ from batch to batch
                module.feed_forward.compile(dynamic=True)
    seconds: list[float] = []
    losses, ndcg = [], []
    with tempfile.TemporaryDirectory() as folder:
        began = trained = time.perf_counter()
        for report in training.fit(model, data, spec, Path(folder)):  # type: ignore[arg-type]
            if isinstance(report, Progress) and report.stage == "training":
                trained = time.perf_counter()  # the last of an epoch comes behind its last step
            if isinstance(report, Epoch):
                now = time.perf_counter()
                seconds.append((trained if job["validate"] else now) - began)
                losses.append(report.train_loss)
                ndcg.append(report.valid["ndcg@10"])
                began = time.perf_counter()
                if job["validate"] and ndcg[-1] >= job["until"]:
                    break
    figures = {
        "seconds": seconds,
        "losses": losses,
        "ndcg": ndcg if job["validate"] else [],
        "peak_gb": peak_gb(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    if not job["validate"]:
        evaluate(model, data.valid, spec)  # warms up, as an epoch does for training
        began = time.perf_counter()
        evaluate(model, data.valid, spec)
        figures["evaluated_per_second"] = len(data.valid) / (time.perf_counter() - began)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
