"""What several tests of panels use."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.views import RunSummary
from t4r_lab.pictures.model_picture import draw, layers
from t4r_lab.schema.columns import Schema
from t4r_lab.spec import RunSpec

EVIL = "<img src=x onerror=alert(1)>"
HEADS: list[dict[str, Any]] = [
    {"kind": "next_item"},
    {"kind": "binary", "column": "bought"},
    {"kind": "regression", "column": "rating"},
]


def picture(spec: RunSpec, schema: Schema | None) -> str:
    """The picture of a model without costs, as SVG."""
    return draw(layers(spec, schema))


def until(condition: Callable[[], Any], seconds: float = 120) -> None:
    """Wait until `condition` holds, judged between two changes of a panel: a trait is set before its observers have run."""
    deadline = time.monotonic() + seconds
    while True:
        with Background.lock:
            if condition():
                return
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def shop(folder: Path, labels: bool) -> Path:
    events = pl.DataFrame(
        [
            {"session": s, "item": (s + t) % 9, "time": s * 100 + t, "bought": s % 2, "rating": s % 5 / 2}
            for s in range(60)
            for t in range(4)
        ]
    )
    events = events if labels else events.drop("bought", "rating")
    return prepare(events, folder, PrepareOptions(targets=["bought", "rating"] if labels else [])).path


def summary(number: int, **changes: Any) -> RunSummary:
    """A run of the table, odd ones of a GRU; `changes` are fields."""
    values = {"name": f"run {number}", "status": "FINISHED", "body": "gru" if number % 2 else "xlnet"} | changes
    facts: dict[str, float | str] = {
        **{key: str(values[key]) for key in ("name", "body")},
        "id": f"{number:032x}",
        "ndcg@5": number / 2000,
        "train.learning_rate": 0.001 * (number % 3 + 1),
    }
    return RunSummary(
        f"{number:032x}",
        values.pop("name"),
        values.pop("status"),
        1e9 + number,
        5.0,
        values.pop("body"),
        "clm",
        {"ndcg@5": number / 2000, "recall@5": 0.5},
        {"popularity": {"ndcg@5": 0.1}},
        "shop",
        knobs={"train.learning_rate": str(0.001 * (number % 3 + 1))},
        facts=facts,
        **values,
    )
