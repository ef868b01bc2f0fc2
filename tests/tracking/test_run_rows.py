"""The rows read from the record's file, against what MLflow itself answers."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from t4r_lab import tracking
from t4r_lab.tracking import registry, run_rows


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
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as base, pytest.raises(sqlite3.OperationalError):
        run_rows._of_file(base, tracking.EXPERIMENT)
    assert [row.name for row in run_rows.recorded_runs(tmp_path)] == ["a"]


def test_aliases_of_the_file_are_those_that_mlflow_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, experiment = tracking.client_of(tmp_path)
    runs = [client.create_run(experiment).info.run_id for _ in range(4)]
    client.create_registered_model("shop")
    for run in runs[:3]:
        client.create_model_version("shop", "file:///nowhere", run)
    client.create_registered_model("other")
    client.create_model_version("other", "file:///nowhere", runs[0])
    client.delete_model_version("shop", "3")
    for alias in ("champion", "best"):
        client.set_registered_model_alias("shop", alias, "2")
    expected = {runs[0]: [], runs[1]: ["shop@best", "shop@champion"]}
    assert tracking.promoted(tmp_path) == expected
    monkeypatch.setattr(registry, "from_file", lambda home, read: None)
    asked = tracking.promoted(tmp_path)
    assert {run: sorted(aliases) for run, aliases in asked.items()} == expected


def test_the_present_version_of_the_tables_is_that_which_mlflow_makes(tmp_path: Path) -> None:
    tracking.client_of(tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as base:
        assert run_rows._present_versions() == {base.execute("SELECT version_num FROM alembic_version").fetchone()[0]}


def test_a_list_of_runs_imports_no_mlflow(tmp_path: Path) -> None:
    client, experiment = tracking.client_of(tmp_path)
    client.create_run(experiment, run_name="a")
    code = (
        "import sys; from pathlib import Path; from t4r_lab.lab.state import source;"
        "print([run.name for run in source.runs(Path(sys.argv[1]))], 'mlflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert done.stdout.split() == ["['a']", "False"]
