"""Training steps of T4R Lab at a size, with their time and memory.

Argument: a JSON object as `make_job` in scale.py writes it. Prints one JSON object as its last line.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from _memory import forget_peak, held_gb, peak_gb
from harness import make_sessions

from t4r_lab.data.sessions.arrays import Sessions
from t4r_lab.nn.batches import make_batch, training_batches, training_windows
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec import RunSpec
from t4r_lab.training.accelerator import make_accelerator
from t4r_lab.training.assembly import build
from t4r_lab.training.optimizer import make_optimizer
from t4r_lab.training.trainer import seed_step, train_step

WARM = 2


class Training:
    """A model with its data and its optimizer, put together as `fit` does, whose steps can be taken one by one."""

    def __init__(self, job: dict[str, Any]) -> None:
        generated = make_sessions(job["sessions"], 0, job["items"], job["length"])
        count = len(generated["offsets"]) - 1
        self.sessions = Sessions(
            {"item_id": generated["item_id"].astype(np.int32)},
            generated["offsets"],
            np.ones(count, np.int32),
            {},
            np.arange(count).astype(str),
        )
        self.spec = RunSpec.parse(
            {
                "data": {"path": "in memory", "max_length": job["length"] or int(self.sessions.lengths.max())},
                "model": {
                    "body": {"kind": job["body"], "d_model": 64, "n_layer": 2},
                    "heads": [{"kind": "next_item", "loss": job["loss"]}],
                },
                "train": {"batch_size": job["batch_size"], "device": "cpu"},
            }
        )
        build(self.spec, _schema(2))  # what is imported for it is not the model's
        self.before_gb = held_gb()
        counts = self.sessions.item_counts(job["items"])
        self.model = build(self.spec, _schema(job["items"]), item_counts=counts).train()
        accelerator, optimizer = make_accelerator(self.spec.train), make_optimizer(self.model, self.spec.train)
        self.accelerator = accelerator
        self.wrapped, self.optimizer = accelerator.prepare(self.model, optimizer)
        self.windows = training_windows(self.sessions, self.spec.data.max_length)

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    def steps(self, count: int) -> Iterator[tuple[float, float, float, int]]:
        """Take so many steps; seconds of making each batch, seconds of its step, its loss and its targets."""
        done = 0
        for epoch in range(count):
            began = time.perf_counter()
            for window in training_batches(self.windows, self.spec.train.batch_size, 0, epoch):
                batch = make_batch(self.sessions, window)
                batch_read = time.perf_counter()
                seed_step(0, done, 0)
                losses = train_step(
                    self.accelerator, self.wrapped, self.optimizer, batch, self.model.weights, self.spec.train.clip_norm
                )
                total, targets = next(iter(losses.values()))
                loss = float(total) / max(targets, 1)
                now = time.perf_counter()
                yield batch_read - began, now - batch_read, loss, targets
                done += 1
                if done == count:
                    return
                began = time.perf_counter()


def _schema(items: int) -> Schema:
    return Schema(columns=(Column(name="item_id", kind="categorical", role="item", size=items + 1),))


def main() -> None:
    job = json.loads(sys.argv[1])
    training = Training(job)
    list(training.steps(WARM))
    forget_peak()
    taken = list(training.steps(job["steps"]))
    states = 16 * training.parameters / 1e9  # weight, gradient and AdamW's two averages in float32
    a_step = statistics.median(data + step for data, step, *_ in taken)
    print(
        json.dumps(
            {
                "step_seconds": a_step,
                "epoch_seconds": a_step * len(training.windows) / job["batch_size"],
                "loss": taken[-1][2],
                "peak_gb": peak_gb(),
                "parameters": training.parameters,
                "weights_gradients_optimizer_gb": states,
                "beyond_gb": peak_gb() - training.before_gb - states,
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
