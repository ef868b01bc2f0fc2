"""The rows read from the record's file, against what MLflow itself answers."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import pytest

from t4r_lab import tracking
from t4r_lab.tracking import run_rows


def test_rows_of_the_file_are_those_that_mlflow_gives(tmp_path: Path) -> None:
    from mlflow.entities import Metric, Param, RunTag

    client, experiment = tracking.client_of(tmp_path)
    other = client.create_experiment("another")
    values = {"valid/ndcg_at_10": 0.25, "train/loss": math.nan, "valid/mrr_at_10": math.inf}
    for i in range(4):
        run = client.create_run(experiment, start_time=1000 - i % 2, run_name="" if i == 1 else f"r{i}").info.run_id
        metrics = [Metric(key, value, 0, step) for key, value in values.items() for step in (0, 1)]
        client.log_batch(run, metrics, [Param("name", f"ä{i}")], [RunTag("note", "two\nlines")])
        if i > 1:
            client.set_terminated(run, "FAILED", 2000)
    client.delete_run(run)
    client.log_param(client.create_run(other).info.run_id, "name", "of another experiment")
    rows = run_rows.recorded_runs(tmp_path)
    asked = list(run_rows._of_client(client, experiment))
    for row in (*rows, *asked):
        assert math.isnan(row.metrics.pop("train/loss"))
    assert rows == asked
    assert [row.params["name"] for row in rows if row.name == "r2"] == ["ä2"]
    assert len(rows) == 3


def test_where_the_file_has_other_columns_mlflow_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, experiment = tracking.client_of(tmp_path)
    client.create_run(experiment, run_name="a")
    monkeypatch.setitem(run_rows.CHILDREN, "metrics", ("latest_metrics", "key, value_of_a_later_version"))
    with pytest.raises(sqlite3.OperationalError):
        run_rows._of_file(tmp_path / "mlflow.db", experiment)
    assert [row.name for row in run_rows.recorded_runs(tmp_path)] == ["a"]
