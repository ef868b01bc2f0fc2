"""Small prepared data and a spec that trains on it in about a second, for tests of what stands above training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.synthetic import Generator
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.spec import RunSpec

N_ITEMS = 40


def small_data(folder: Path, sessions: int = 400) -> Path:
    return prepare(Generator(n_items=N_ITEMS).events(sessions), folder, PrepareOptions()).path


def small_spec(data: Path, **changes: Any) -> RunSpec:
    """`changes` are dotted paths with ``__`` for the dot."""
    content = {
        "name": "small",
        "data": {"path": str(data), "max_length": 8},
        "model": {"body": {"kind": "gru", "d_model": 8, "n_layer": 1}},
        "train": {"epochs": 2, "patience": None, "batch_size": 32, "learning_rate": 2e-2},
        "evaluation": {"cutoffs": [5]},
    }
    return RunSpec.parse(content).override({path.replace("__", "."): value for path, value in changes.items()})


def sequences(data: Dataset, part: str) -> dict[str, list[Any]]:
    sessions = data.part(part)
    return {
        str(key): data.own_ids(sessions.values["item_id"][a:b])
        for key, a, b in zip(sessions.ids, sessions.offsets[:-1], sessions.offsets[1:], strict=True)
    }
