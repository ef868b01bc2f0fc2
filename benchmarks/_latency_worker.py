"""Recommends for single sessions and for many by a model as it stands loaded; what it learned doesn't matter.

Argument: JSON with ``items``, ``sessions`` and ``asked``. Prints one JSON object as its last line.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
from harness import make_sessions

from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.runs.recommend import Recommender
from t4r_lab.spec import RunSpec
from t4r_lab.training.assembly import build


def make_recommender(events: pl.DataFrame, folder: str) -> Recommender:
    """A recommender of untrained GPT-2, d=64, as `Recommender.open` would put it together."""
    data = prepare(events, Path(folder) / "data", PrepareOptions(split="leave_one_out"))
    spec = RunSpec.parse({"data": {"path": str(data.path)}, "model": {"body": {"kind": "gpt2", "d_model": 64}}})
    row: Any = SimpleNamespace(name="benchmark")  # only asked for its name where something is wrong
    return Recommender(Path(folder), row, build(spec, data.schema, data.item_table()), spec, data.vocabulary)


def main() -> None:
    job = json.loads(sys.argv[1])
    sessions = make_sessions(job["sessions"], 0, job["items"])
    session, item = np.repeat(np.arange(job["sessions"]), np.diff(sessions["offsets"])), sessions["item_id"]
    events = pl.DataFrame({"session_id": session, "item_id": item, "timestamp": np.arange(len(item), dtype=float)})
    once = pl.DataFrame({"session_id": -1, "item_id": range(1, job["items"] + 1), "timestamp": 0.0}).cast(events.schema)
    with tempfile.TemporaryDirectory() as folder:
        recommender = make_recommender(pl.concat([events, once]), folder)  # every item is in the catalog
        singles = [events.filter(pl.col("session_id") == number) for number in range(job["asked"])]
        times = []
        for frame in singles[:3] + singles:
            began = time.perf_counter()
            recommender.top(recommender.vocabulary.encode(frame), 20)
            times.append(time.perf_counter() - began)
        began = time.perf_counter()
        recommended = recommender.top(recommender.vocabulary.encode(events), 20)
        seconds = time.perf_counter() - began
    assert len(recommended) == 20 * job["sessions"]
    print(
        json.dumps(
            {
                "one_p50_ms": 1e3 * statistics.median(times[3:]),
                "one_p95_ms": 1e3 * statistics.quantiles(times[3:], n=20)[-1],
                "batch_per_second": job["sessions"] / seconds,
                "items": recommender.vocabulary.schema.n_items,
            }
        )
    )


if __name__ == "__main__":
    main()
