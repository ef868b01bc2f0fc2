"""Trains RecTools' SASRec once on the job of beauty.py, inside its own environment.

Argument: a JSON object as `make_job` in train_vs_reference.py writes it. Prints one JSON object as its last line.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings

import numpy as np
import pandas as pd
import torch
from _memory import peak_gb

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

from pytorch_lightning import Callback, Trainer, seed_everything  # noqa: E402
from rectools.dataset import Dataset  # noqa: E402
from rectools.models import SASRecModel  # noqa: E402


class Clock(Callback):
    """Seconds and mean loss of each epoch."""

    def __init__(self) -> None:
        self.seconds, self.losses, self.began = [], [], 0.0

    def on_train_epoch_start(self, trainer: Trainer, module: object) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, module: object) -> None:
        self.seconds.append(time.perf_counter() - self.began)
        self.losses.append(float(trainer.callback_metrics["train_loss"]))


def main() -> None:
    job = json.loads(sys.argv[1])
    data = np.load(job["data"])
    length = np.diff(data["offsets"])
    events = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(len(length)), length),
            "item_id": data["item_id"],
            "weight": 1.0,
            "datetime": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(length.sum()), unit="s"),
        }
    )
    seed_everything(job["seed"])
    model = SASRecModel(
        n_blocks=job["n_layer"],
        n_heads=job["n_head"],
        n_factors=job["d_model"],
        dropout_rate=job["dropout"],
        session_max_len=job["max_length"],
        loss="softmax",
        lr=job["learning_rate"],
        batch_size=job["batch_size"],
        get_trainer_func=lambda: Trainer(
            accelerator="cpu",
            max_epochs=job["epochs"],
            callbacks=[Clock()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ),
    )
    model.fit(Dataset.construct(events))
    clock = next(c for c in model.fit_trainer.callbacks if isinstance(c, Clock))  # it trains with a copy
    print(
        json.dumps(
            {
                "seconds": clock.seconds,
                "losses": clock.losses,
                "ndcg": [],
                "peak_gb": peak_gb(),
                "parameters": sum(p.numel() for p in model.torch_model.parameters()),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
