"""The record, read back with plain SQLite; and a store that fails."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from t4r_lab import tracking
from t4r_lab.base import retries
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Epoch
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.spec import RunSpec
from t4r_lab.tracking import record_file
from tests.support.record import made_by_mlflow
from tests.support.small import small_data, small_spec


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.open(small_data(tmp_path_factory.mktemp("data") / "d"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def rows(home: Path, query: str, *values: str) -> list[Any]:
    with sqlite3.connect(home / "mlflow.db") as base:
        return base.execute(query, values).fetchall()


def test_a_run_is_recorded_whole(home: Path, data: Dataset) -> None:
    spec = small_spec(data.path, train__seed=7)
    record = tracking.start(home, spec, data)
    for epoch, loss in ((1, 3.5), (2, 2.5)):
        record.epoch(Epoch(epoch, 2, 5 * epoch, loss, {"ndcg@5": 0.1 * epoch}, 1e-3, 0.5, True))
    record.scores("valid", {"ndcg@5": 0.05}, "popularity")
    record.finish("FINISHED", "finished")
    stored = dict(rows(home, "SELECT key, value FROM params WHERE run_uuid = ?", record.run_id))
    assert stored == {path: str(value) for path, value in spec.flat().items()}
    tags = dict(rows(home, "SELECT key, value FROM tags WHERE run_uuid = ?", record.run_id))
    assert tags["t4r.dataset_digest"] == data.digest
    assert tags["t4r.seed"] == "7"
    assert tags["mlflow.note.content"] == "gru · clm on d"  # the description in the MLflow UI
    query = "SELECT step, value FROM metrics WHERE run_uuid = ? AND key = ? ORDER BY step"
    assert rows(home, query, record.run_id, "valid/ndcg_at_5") == [(1, 0.1), (2, 0.2)]
    assert rows(home, query, record.run_id, "train/loss") == [(1, 3.5), (2, 2.5)]
    assert rows(home, query, record.run_id, "baseline.popularity/valid/ndcg_at_5") == [(0, 0.05)]
    assert RunSpec.load(tracking.artifacts(home, record.run_id) / "spec.yaml") == spec
    row = tracking.find(home, record.run_id)
    assert (row.status, row.valid, row.baselines["valid"]) == (
        "FINISHED",
        {"ndcg@5": 0.2},
        {"popularity": {"ndcg@5": 0.05}},
    )
    assert (row.body, row.masking, row.digest, row.looks) == ("gru", "clm", data.digest, 0)
    assert tracking.history(home, record.run_id, ["train/loss"]) == {"train/loss": [(1, 3.5), (2, 2.5)]}


def test_everything_lies_in_the_home(
    home: Path, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MLflow's own default is a database in the working directory
    record = tracking.start(home, small_spec(data.path), data)
    assert tracking.artifacts(home, record.run_id).is_relative_to(home / "artifacts")
    assert list(tmp_path.iterdir()) == []


def test_the_pages_of_mlflow_open_on_training_runs(home: Path) -> None:
    _, experiment = tracking.client_of(home)
    tags = rows(home, "SELECT key, value FROM experiment_tags WHERE experiment_id = ?", experiment)
    assert ("mlflow.experimentKind", "custom_model_development") in tags


@pytest.mark.parametrize("name", ["ndcg@10", "recall@5", "mrr@100"])
@pytest.mark.parametrize("baseline", [None, "popularity"])
def test_names_come_back_and_hold_nothing_that_mlflow_refuses(name: str, baseline: str | None) -> None:
    from mlflow.utils.validation import _validate_metric_name

    key = tracking.to_key("test", name, baseline)
    _validate_metric_name(key)
    assert tracking.from_key(key) == (baseline, "test", name)
    assert tracking.from_key("train/loss") is None


def test_a_run_is_found_by_id_beginning_or_name(home: Path, data: Dataset) -> None:
    old = tracking.start(home, small_spec(data.path, name="twice"), data)
    new = tracking.start(home, small_spec(data.path, name="twice"), data)
    assert tracking.find(home, old.run_id).run_id == old.run_id
    assert tracking.find(home, old.run_id[:12]).run_id == old.run_id
    assert tracking.find(home, "twice").run_id == new.run_id
    with pytest.raises(InputError, match=r"no such run.*did you mean 'twice'"):
        tracking.find(home, "twcie")
    with pytest.raises(InputError, match="no such run"):
        tracking.find(home, old.run_id[:3])  # too short to mean anything


def test_a_database_left_half_made_is_made_anew(tmp_path: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_file, "created_completely", made_by_mlflow)
    with sqlite3.connect(tmp_path / "mlflow.db") as base:  # as a kill in the midst of the migrations leaves it
        base.execute("CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY)")
        base.execute("CREATE TABLE _alembic_tmp_experiments (experiment_id INTEGER)")
    (tmp_path / ".mlflow.making").touch()
    run_id = tracking.start(tmp_path, small_spec(data.path), data).run_id
    assert not (tmp_path / ".mlflow.making").exists()
    tracking.client._client.cache_clear()  # another process opens the same home: a whole database is never touched
    assert [row.run_id for row in tracking.runs(tmp_path)] == [run_id]


def test_a_disk_that_fills_while_the_database_is_made_does_not_spoil_the_home(
    tmp_path: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.db import utils

    monkeypatch.setattr(record_file, "created_completely", made_by_mlflow)

    def fill(engine: Any) -> None:
        with sqlite3.connect(tmp_path / "mlflow.db") as base:
            base.execute("CREATE TABLE _alembic_tmp_experiments (experiment_id INTEGER)")  # where migrations stopped
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(utils, "_upgrade_db", fill)
        with pytest.raises(InputError, match="the disk is full; free some space"):
            tracking.start(tmp_path, small_spec(data.path), data)
    code = f"from pathlib import Path; from t4r_lab import tracking; print(tracking.runs(Path({str(tmp_path)!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("(sqlite3.OperationalError) database is locked [SQL: …]", "another program keeps it locked"),
        ("(sqlite3.OperationalError) attempt to write a readonly database", "cannot be written"),
        ("(sqlite3.OperationalError) unable to open database file", "cannot be written"),
    ],
)
def test_what_the_user_can_mend_is_said_in_a_line(
    error: str, words: str, home: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    record = tracking.start(home, small_spec(data.path), data)
    monkeypatch.setattr(retries, "SECONDS", 0.0)
    monkeypatch.setattr(MlflowClient, "log_batch", raising(RuntimeError(error)))
    with pytest.raises(InputError, match=words) as refusal:
        record.metrics({"train/loss": 1.0})
    assert "\n" not in str(refusal.value)
    monkeypatch.setattr(MlflowClient, "log_batch", raising(RuntimeError("something else")))
    with pytest.raises(RuntimeError, match="something else"):
        record.metrics({"train/loss": 1.0})


def test_a_limit_on_the_size_of_files_is_said_in_a_line(
    tmp_path: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(record_file, "created_completely", made_by_mlflow)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (5_000, 200_000):  # at the first table of the database, and at a later one
        (tmp_path / str(size)).mkdir()
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            with pytest.raises(InputError) as error:
                tracking.start(tmp_path / str(size), small_spec(data.path), data)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert error.value.problem == "a file would exceed the limit on the size of files"
        assert error.value.remedy == "raise it (`ulimit -f`) and try again"


def raising(error: Exception) -> Callable[..., None]:
    def call(*args: Any, **named: Any) -> None:
        raise error

    return call


def test_a_run_whose_record_cannot_be_begun_does_not_stay_running(
    home: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    before = {row.run_id for row in tracking.runs(home)}
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_inputs", raising(OSError(28, "No space left on device")))
        with pytest.raises(InputError, match="the disk is full"):
            tracking.start(home, small_spec(data.path), data)
    (new,) = [row for row in tracking.runs(home) if row.run_id not in before]
    assert new.status == "FAILED"


@pytest.mark.slow
def test_processes_that_open_a_new_home_together_share_one_experiment(tmp_path: Path) -> None:
    code = (
        f"from pathlib import Path; from t4r_lab import tracking; print(tracking.client_of(Path({str(tmp_path)!r}))[1])"
    )
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    assert len({out for out, _ in results}) == 1
    assert rows(tmp_path, "SELECT COUNT(*) FROM experiments WHERE name = ?", tracking.EXPERIMENT) == [(1,)]
