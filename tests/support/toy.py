"""A small dataset in memory, with the interface of `Dataset` that models and training use."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from t4r_lab.data.sessions.arrays import Sessions
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec import BODY_MASKINGS, RunSpec

N_ITEMS = 40
PAIRS = [(body, masking) for body, maskings in BODY_MASKINGS.items() for masking in maskings]
"""Every allowed pair: a new body is certified by being listed in the table."""

SCHEMA = Schema(
    columns=(
        Column(name="item_id", kind="categorical", role="item", size=N_ITEMS + 1),
        Column(name="category", kind="categorical", scope="item", size=7),
        Column(name="genres", kind="categorical", scope="item", size=9, multi=True),
        Column(name="price", kind="continuous"),
        Column(name="device", kind="categorical", scope="session", size=4),
    )
)


def make_sessions(n: int, seed: int, structure: float = 0.8, shortest: int = 1, longest: int = 14) -> Sessions:
    """Sessions in which an item is followed by the next id with probability `structure`."""
    rng = np.random.default_rng(seed)
    length = rng.integers(shortest, longest + 1, n)
    offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    ids = rng.integers(1, N_ITEMS + 1, offsets[-1])
    follows = rng.random(offsets[-1]) < structure
    follows[offsets[:-1]] = False
    for i in np.flatnonzero(follows):
        ids[i] = ids[i - 1] % N_ITEMS + 1
    return Sessions(
        values={"item_id": ids.astype(np.int32), "price": rng.normal(size=len(ids)).astype(np.float32)},
        offsets=offsets,
        target_start=np.ones(n, np.int32),
        context={"device": rng.integers(1, 4, n).astype(np.int32)},
        ids=np.arange(n).astype(str),
        dropped=0,
    )


@dataclass
class Toy:
    """Train, validation and test sessions with one schema."""

    structure: float = 0.8
    n: int = 300
    schema: Schema = SCHEMA
    parts: dict[str, Sessions] = field(default_factory=dict)
    split: str = "time"

    def part(self, name: str) -> Sessions:
        if name not in self.parts:
            sizes = {"train": self.n, "valid": self.n // 3, "test": self.n // 3}
            self.parts[name] = make_sessions(sizes[name], list(sizes).index(name), self.structure)
        return self.parts[name]

    def item_table(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(9)
        category = np.concatenate([[0], rng.integers(1, 7, N_ITEMS)]).astype(np.int32)
        genres = np.concatenate([np.zeros((1, 3)), rng.integers(0, 9, (N_ITEMS, 3))]).astype(np.int32)
        return {"category": category, "genres": genres}


LABELS = (
    Column(name="bought", kind="categorical", role="target", scope="session", size=4),
    Column(name="mood", kind="categorical", role="target", size=5),
    Column(name="spend", kind="continuous", role="target", mean=2.0, std=1.2),
)
LABEL_HEADS = [
    {"kind": "binary", "column": "bought", "summary": "attention"},
    {"kind": "categorical", "column": "mood"},
    {"kind": "regression", "column": "spend", "loss": "huber"},
]


def with_labels(toy: Toy) -> Toy:
    """`toy` with a label of each kind, of sessions and of events; some of the events have no mood."""
    parts = {}
    for name in ("train", "valid", "test"):
        sessions = toy.part(name)
        ids = sessions.values["item_id"]
        labels = {"mood": (ids % 4 + 1).astype(np.int32), "spend": (ids / 10).astype(np.float32)}
        bought = {"bought": (2 + ids[sessions.offsets[1:] - 1] % 2).astype(np.int32)}
        parts[name] = replace(sessions, values=sessions.values | labels, context=sessions.context | bought)
    return replace(toy, schema=Schema(columns=(*toy.schema, *LABELS)), parts=parts)


def tiny(body: str) -> dict[str, object]:
    """A body of 16 channels and one layer."""
    return {"kind": body, "d_model": 16, "n_layer": 1, **({} if body in ("gru", "lstm") else {"n_head": 2})}


def toy_spec(body: str = "gpt2", masking: str = "clm", **changes: object) -> RunSpec:
    """A tiny spec; towers are joined by ``+``, and `changes` are dotted paths with ``__`` for the dot."""
    first, *others = body.split("+")
    inputs: dict[str, object] = {
        "features": {"item_id": {}, "price": {"encoding": "soft_one_hot", "dim": 4}, "genres": {}}
    }
    spec = RunSpec.parse(
        {
            "data": {"path": "toy", "max_length": 8},
            "model": {
                "masking": {"kind": masking},
                "body": tiny(first),
                "towers": [{"inputs": inputs, "body": tiny(other)} for other in others],
            },
            "train": {"epochs": 2, "batch_size": 32, "learning_rate": 5e-3, "patience": None},
            "evaluation": {"cutoffs": [5]},
        }
    )
    return spec.override({path.replace("__", "."): value for path, value in changes.items()})
