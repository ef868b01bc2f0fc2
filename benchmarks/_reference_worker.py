"""Trains the reference library (Transformers4Rec 23.12) once, inside its own environment.

Argument: a JSON object as `make_job` in train_vs_reference.py writes it. Prints one JSON object as its last line.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import numpy as np
import torch
from _memory import peak_gb

warnings.filterwarnings("ignore")  # of optional parts that are not installed

import transformers4rec.torch as tr  # noqa: E402
from merlin.schema import ColumnSchema, Schema, Tags  # noqa: E402
from transformers4rec.config import transformer  # noqa: E402

CONTINUOUS = ("price", "recency")


def make_schema(sizes: dict[str, int], columns: list[str], max_length: int) -> Schema:
    """Categorical columns have ids 0 … size-1. Continuous list columns need the LIST tag to be read as sequences."""
    schemas = []
    for name in columns:
        kind = Tags.CONTINUOUS if name in CONTINUOUS else Tags.CATEGORICAL
        domain = {} if name in CONTINUOUS else {"domain": {"min": 0, "max": sizes[name] - 1, "name": name}}
        schemas.append(
            ColumnSchema(
                name,
                dtype=np.float32 if name in CONTINUOUS else np.int64,
                tags=[kind, Tags.LIST, *([Tags.ITEM_ID] if name == "item_id" else [])],
                properties=domain,
                dims=(None, (1, max_length)),
            )
        )
    return Schema(schemas)


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


def make_batches(job: dict, epoch: int, prefix: str = "") -> list[tuple[dict[str, torch.Tensor], None]]:
    """All batches, padded, in memory: its data loader costs the reference nothing here. Validation's are in order."""
    data = np.load(job["data"])
    offsets = data[f"{prefix}offsets"]
    columns = {name: data[prefix + name] for name in job["columns"]}
    order = (
        np.arange(len(offsets) - 1)
        if prefix
        else np.random.default_rng([job["seed"], epoch]).permutation(len(offsets) - 1)
    )
    batches = []
    for start in range(0, len(order), job["batch_size"]):
        rows = order[start : start + job["batch_size"]]
        first = np.maximum(offsets[rows], offsets[rows + 1] - job["max_length"])
        length = offsets[rows + 1] - first
        steps = np.arange(length.max())
        real = steps < length[:, None]
        index = np.where(real, first[:, None] + steps, 0)
        batches.append(({name: torch.from_numpy(values[index] * real) for name, values in columns.items()}, None))
    return batches


@torch.no_grad()
def ndcg(model: tr.Model, job: dict, batches: list) -> float:
    """NDCG@10 of the last event of each validation session among all items but those seen before it.

    The library's own metrics can't leave out what was seen, so its scores are ranked here, ties by halves.
    """
    model.eval()
    data = np.load(job["data"])
    items, offsets, gains, row = data["valid_item_id"], data["valid_offsets"], [], 0
    for inputs, _ in batches:
        outputs = model(inputs, training=False, testing=True)
        scores, labels = outputs["predictions"], outputs["labels"]
        scores[:, 0] = -torch.inf  # padding
        target_scores = scores.gather(1, labels[:, None])
        for case in range(len(labels)):
            seen = torch.from_numpy(items[offsets[row] : offsets[row + 1] - 1])
            scores[case, seen[seen != labels[case]]] = -torch.inf
            row += 1
        rank = 1 + (scores > target_scores).sum(1) + ((scores == target_scores).sum(1) - 1) / 2
        gains += torch.where(rank <= 10, 1 / torch.log2(rank + 1.0), 0.0).tolist()
    return float(np.mean(gains))


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.manual_seed(job["seed"])
    model, batches = make_model(job), make_batches(job, 0)
    model(batches[0][0], training=True)  # parameters that are made at the first call exist before the optimizer
    optimizer = torch.optim.Adam(model.parameters(), lr=job["learning_rate"])
    valid = make_batches(job, 0, "valid_")
    seconds, losses, gains = [], [], []
    for epoch in range(job["epochs"]):
        batches = make_batches(job, epoch)
        began = time.perf_counter()
        losses += [float(loss) for loss in model.fit(batches, optimizer, verbose=False, compute_metric=False)]
        seconds.append(time.perf_counter() - began)
        if job["validate"]:
            gains.append(ndcg(model, job, valid))
            if gains[-1] >= job["until"]:
                break
    figures = {
        "seconds": seconds,
        "losses": losses,
        "ndcg": gains,
        "peak_gb": peak_gb(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    if not job["validate"]:
        model.eval()
        with torch.no_grad():
            model.evaluate(valid, verbose=False)  # warms up, as an epoch does for training
            began = time.perf_counter()
            model.evaluate(valid, verbose=False)
        figures["evaluated_per_second"] = job["valid_sessions"] / (time.perf_counter() - began)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
