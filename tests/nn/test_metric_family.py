"""One more metric is one row and its function in one file: monitored, sought, compared and shown."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from t4r_lab.families.metrics.metric_table import METRICS, best_baseline, lower_is_better, named
from t4r_lab.spec import LABEL_METRICS, RunSpec
from tests.support.pages import touched, use

PAGE = "add-a-metric.md"
USE = """
import json, sys
from pathlib import Path
import polars as pl
import t4r_lab
from t4r_lab.lab.panels.architecture.spec_form import SpecForm
from t4r_lab.lab.panels.runs.run_columns import headings
from t4r_lab.lab.state.draft import Draft
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.runs.analyze import analyze
from t4r_lab.spec.study_options import Plan, StudyOptions

home = Path(sys.argv[1])
rows = {"session_id": [i // 5 for i in range(600)], "item_id": [(i * i + i // 5) % 11 for i in range(600)], "timestamp": list(range(600))}
t4r_lab.prepare(pl.DataFrame(rows), home / "data")
spec = t4r_lab.RunSpec.parse({
    "data": {"path": str(home / "data"), "max_length": 6}, "evaluation": {"cutoffs": [3]},
    "model": {"body": {"kind": "gru", "d_model": 8, "n_layer": 1}}, "train": {"epochs": 2, "monitor": "clipped_rank@3"},
})
result = t4r_lab.run(spec, home=home / "home")
ranks = pl.read_parquet(next((home / "home").rglob("ranks/valid/model.parquet")))["rank"].to_list()
found = analyze([result.run_id], home=home / "home")
plan = Plan.of(spec, StudyOptions(presets=["regularizers"], objectives=["clipped_rank@3"]))
form = SpecForm(Draft(spec, Dataset.open(home / "data").schema))
print(json.dumps({
    "metrics": spec.metrics, "default": spec.override({"train.monitor": None}).monitor, "merit": spec.merit({"clipped_rank@3": 2.0}),
    "valid": result.valid, "baselines": result.baselines["valid"], "ranks": ranks,
    "lower": plan.lower("clipped_rank@3"), "prunes": plan.prunes,
    "form": [value for _, value in form.fields["train.monitor"].control.options],
    "metric": found.metric, "interval": found.intervals[found.labels[0]]["clipped_rank@3"],
    "differences": [d.metric for d in found.comparison.differences], "slice": found.slices[found.labels[0]][0]["clipped_rank@3"],
    "help": [heading.help for heading in headings("clipped_rank@3")],
}))
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process says that runs a copy of the package with the metric of the page."""
    return use([PAGE], USE, tmp_path_factory.mktemp("package"))


def test_a_metric_touches_one_file() -> None:
    assert touched(PAGE) == ["t4r_lab/families/metrics/kinds/rank_metrics.py"]


def test_a_new_metric_is_computed_and_monitored(used: dict[str, Any]) -> None:
    assert used["metrics"] == used["form"][1:] == ["ndcg@3", "recall@3", "mrr@3", "clipped_rank@3"]
    assert used["valid"]["clipped_rank@3"] == pytest.approx(np.mean([min(rank, 4) for rank in used["ranks"]]))
    assert all(1 <= metrics["clipped_rank@3"] <= 4 for metrics in used["baselines"].values())
    assert used["default"] == "ndcg@3"
    assert used["merit"] == -2


def test_a_new_metric_is_sought_compared_and_explained(used: dict[str, Any]) -> None:
    assert used["lower"]
    assert used["prunes"]
    assert used["metric"] == "clipped_rank@3"
    low, high = used["interval"]
    assert low <= used["valid"]["clipped_rank@3"] <= high
    assert set(used["differences"]) == {"clipped_rank@3"}
    assert used["slice"]["low"] <= used["slice"]["mean"] <= used["slice"]["high"]
    assert any("k + 1 if the target is not among the first k" in help for help in used["help"])


def test_each_metric_is_in_the_table_once_and_has_one_direction() -> None:
    assert len({(row.source, row.name) for row in METRICS}) == len(METRICS)
    for one, two in itertools.combinations(METRICS, 2):
        assert one.name != two.name or one.better == two.better
    assert all(row.help for row in METRICS)


@pytest.mark.parametrize(
    ("name", "lower"),
    [("ndcg@10", False), ("a/b/rmse", True), ("purchase/auc", False), ("nll", True), ("popularity@5", False)],
)
def test_a_full_name_has_the_direction_of_its_row(name: str, lower: bool) -> None:
    assert named(name) is not None
    assert lower_is_better(name) is lower
    assert best_baseline({"small": {name: 0.1}, "large": {name: 0.2}}, name) == ("small" if lower else "large")


def test_every_label_metric_is_a_metric_of_its_head() -> None:
    heads = [{"kind": kind, "column": kind} for kind in LABEL_METRICS]
    spec = RunSpec.parse({"data": {"path": "x"}, "model": {"heads": heads}})
    assert spec.metrics == [f"{kind}/{name}" for kind, names in LABEL_METRICS.items() for name in names]
    assert spec.monitor == "binary/auc"


def test_unknown_names_have_no_row() -> None:
    assert named("train/loss") is None
    assert not lower_is_better("train/loss")
