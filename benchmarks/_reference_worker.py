"""Trains the reference library (Transformers4Rec 23.12) once; run by train_vs_reference.py inside its own environment.

Argument: a JSON object as `Job` in train_vs_reference.py writes it. Prints one JSON object as its last line.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore")  # of optional parts that are not installed

import transformers4rec.torch as tr  # noqa: E402
from merlin.schema import ColumnSchema, Schema, Tags  # noqa: E402
from transformers4rec.config import transformer  # noqa: E402

CONTINUOUS = ("price", "recency")


def make_schema(sizes: dict[str, int], columns: list[str], max_length: int) -> Schema:
    """Categorical columns have ids 0 … size-1. Continuous list columns need the LIST tag to be read as sequences."""
    made = []
    for name in columns:
        kind = Tags.CONTINUOUS if name in CONTINUOUS else Tags.CATEGORICAL
        domain = {} if name in CONTINUOUS else {"domain": {"min": 0, "max": sizes[name] - 1, "name": name}}
        made.append(
            ColumnSchema(
                name,
                dtype=np.float32 if name in CONTINUOUS else np.int64,
                tags=[kind, Tags.LIST, *([Tags.ITEM_ID] if name == "item_id" else [])],
                properties=domain,
                dims=(None, (1, max_length)),
            )
        )
    return Schema(made)


def make_model(job: dict) -> tr.Model:
    inputs = tr.TabularSequenceFeatures.from_schema(
        make_schema(job["sizes"], job["columns"], job["max_length"]),
        max_sequence_length=job["max_length"],
        aggregation="concat",
        d_output=job["d_model"] if len(job["columns"]) > 1 else None,
        embedding_dims={"item_id": job["d_model"]},
        embedding_dim_default=16,
        masking=job["masking"],
        **({"mlm_probability": job["probability"]} if job["masking"] == "mlm" else {}),
    )
    width, layers, longest = job["d_model"], job["n_layer"], job["max_length"]
    if job["body"] == "gru":
        gru = torch.nn.GRU(width, width, layers, batch_first=True, dropout=job["dropout"])
        body = tr.SequentialBlock(inputs, tr.Block(_Hidden(gru), [None, longest, width]))
    else:
        config = {"gpt2": transformer.GPT2Config, "xlnet": transformer.XLNetConfig}[job["body"]].build(
            d_model=width, n_head=job["n_head"], n_layer=layers, total_seq_length=longest, dropout=job["dropout"]
        )
        body = tr.SequentialBlock(inputs, tr.TransformerBlock(config, masking=inputs.masking))
    return tr.Model(tr.Head(body, tr.NextItemPredictionTask(weight_tying=True), inputs=inputs))


class _Hidden(torch.nn.Module):
    def __init__(self, rnn: torch.nn.Module) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.rnn(inputs)[0]


def make_batches(job: dict) -> list[tuple[dict[str, torch.Tensor], None]]:
    """All batches, padded, in memory: its data loader costs the reference nothing here."""
    data = np.load(job["data"])
    offsets = data["offsets"]
    order = np.random.default_rng(job["seed"]).permutation(len(offsets) - 1)
    batches = []
    for start in range(0, len(order), job["batch_size"]):
        rows = order[start : start + job["batch_size"]]
        length = np.diff(offsets)[rows]
        steps = np.arange(length.max())
        real = steps < length[:, None]
        index = np.where(real, offsets[rows][:, None] + steps, 0)
        batches.append(({name: torch.from_numpy(data[name][index] * real) for name in job["columns"]}, None))
    return batches


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.manual_seed(job["seed"])
    model, batches = make_model(job), make_batches(job)
    model(batches[0][0], training=True)  # parameters that are made at the first call exist before the optimizer
    optimizer = torch.optim.Adam(model.parameters(), lr=job["learning_rate"])

    def fit(epochs: int) -> list[float]:
        losses = model.fit(batches, optimizer, num_epochs=epochs, verbose=False, compute_metric=False)
        return [float(loss) for loss in losses]

    first = fit(1)
    began = time.perf_counter()
    later = fit(job["epochs"])
    seconds = time.perf_counter() - began
    print(
        json.dumps(
            {
                "sessions_per_second": job["sessions"] * job["epochs"] / seconds,
                "losses": first + later,
                "parameters": sum(p.numel() for p in model.parameters()),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
