"""The whole workflow on built-in data, without a browser: prepare, train, evaluate, compare, recommend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from t4r_lab.base import homes
from t4r_lab.base.documents import read_json
from t4r_lab.base.reports import OnReport, Progress
from t4r_lab.spec import RunSpec


def demo_spec(data: Path) -> RunSpec:
    """A small GPT-2 over every feature of the built-in data."""
    return RunSpec.parse(
        {
            "name": "demo-gpt2-clm",
            "data": {"path": str(data), "max_length": 20},
            "model": {
                "body": {"kind": "gpt2", "d_model": 64, "n_layer": 1, "n_head": 4},
                "heads": [{"kind": "next_item", "loss": {"kind": "cross_entropy", "label_smoothing": 0.1}}],
            },
            "train": {"epochs": 5, "learning_rate": 3e-3},
            "evaluation": {"cutoffs": [10, 20]},
        }
    )


def demo(home: str | Path | None = None, on_report: OnReport | None = None) -> dict[str, Any]:
    """Metrics and comparison of one small run, its recommendations for two sessions, and the next commands to try."""
    from t4r_lab.data.pipeline.synthetic import demo_dataset
    from t4r_lab.runs.compare import compare
    from t4r_lab.runs.evaluate import evaluate_run
    from t4r_lab.runs.recommend import recommend
    from t4r_lab.runs.run import run

    if on_report is None:
        from t4r_lab.runs.progress import Console

        with Console() as console:
            return demo(home, console)
    home_path = homes.ensure(home)
    on_report(Progress("preparing built-in data"))
    dataset = demo_dataset(home_path / "data" / "demo")
    result = run(demo_spec(dataset.path), home=home_path, on_report=on_report)
    evaluated = evaluate_run(result.run_id, "test", home=home_path, on_report=on_report)
    compared = compare([result.run_id], home=home_path)
    items = dataset.items["item"].to_list()
    import pandas as pd

    sessions = pd.DataFrame(
        {"session_id": ["a", "a", "b"], "item_id": [items[0], items[1], items[2]], "timestamp": [1, 2, 1]}
    )
    frame = recommend(result.run_id, sessions, 5, home=home_path)
    where = [
        f"recorded in {home_path}",
        f"next: t4r-lab ui (the MLflow UI) · t4r-lab compare {result.run_id[:8]} · make lab (the front end)",
    ]
    return {
        "run_id": result.run_id,
        "valid": result.valid,
        "test": evaluated.test,
        "baselines": {**result.baselines, **evaluated.baselines},
        "differences": [d.sentence for d in compared.differences],
        "recommendations": read_json(frame.to_json(orient="records"), "recommendations"),
        "where": where,
    }
