"""A record on a real MLflow server, which is stopped, started again and kept from writing while a run trains."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Epoch, Report, TrialEnded, silent
from t4r_lab.cli import program as main
from t4r_lab.runs import processes
from t4r_lab.runs import run as runner
from t4r_lab.spec.study_options import StudyOptions
from t4r_lab.tracking import study_runs
from t4r_lab.tuning import lead
from tests.support.mlflow_server import Server
from tests.support.small import small_data, small_spec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("data") / "d")


@pytest.fixture
def home(mlflow: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # so that what fails does so soon
    return tmp_path / "home"


def test_documents_are_documents_and_a_comparison_fetches_what_it_needs_once(
    mlflow: Server,
    home: Path,
    data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv(homes.VARIABLE, str(home))

    def document(*arguments: str) -> Any:
        """All that stands on standard output, whoever wrote it."""
        capfd.readouterr()
        status = main.main([*arguments, "--json"])
        out, err = capfd.readouterr()
        assert status == 0, err
        assert "Downloading artifacts" not in err
        return json.loads(out)

    (tmp_path / "s.yaml").write_text(small_spec(data, name="one", train__epochs=1).to_yaml())
    runs = [document("train", str(tmp_path / "s.yaml"))["run_id"]]
    runs.append(runner.run(small_spec(data, name="two", train__epochs=1), home=home, on_report=silent).run_id)
    mlflow.requests("GET")
    comparison = document("compare", "one", "two")
    assert [row["run_id"] for row in comparison["runs"]] == runs
    assert comparison["differences"] and comparison["slices"] and comparison["reliability"]
    files = {path: n for path, n in mlflow.requests("GET").items() if "/mlflow-artifacts/artifacts/" in path}
    wanted = {"artifacts/spec.yaml", "ranks/valid/model.parquet", "detail/valid/model.json"}
    for run in runs:
        names = {path.partition(f"{run}/")[2].removeprefix("artifacts/") for path in files if run in path}
        assert names >= {name.removeprefix("artifacts/") for name in wanted}
    assert set(files.values()) == {1}
    assert not [path for path in files if "model.safetensors" in path]
    assert len(document("recommend", "one", "--items", "1", "2", "-k", "3")["recommendations"]) == 3
    assert [path.name for path in scratch.iterdir() if not path.name.startswith("torchinductor")] == []


def test_a_machine_ends_its_own_runs_alone(home: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from t4r_lab.data.prepared.prepared_data import Dataset

    def status() -> str:
        return next(row.status for row in processes.runs(home) if row.run_id == record.run_id)

    folder = home / "jobs" / "x"
    with processes.hold_lock(folder):
        record = tracking.start(home, small_spec(data, name="alive"), Dataset.open(data), folder)
        assert status() == "RUNNING"
        with monkeypatch.context() as other:
            other.setattr(homes, "host", lambda: "another")
            home.rename(home.with_name("of the first"))  # the other machine has nothing at that path
            assert status() == "RUNNING"
            home.with_name("of the first").rename(home)
            assert status() == "RUNNING"
    with monkeypatch.context() as other:
        other.setattr(homes, "host", lambda: "another")
        assert status() == "RUNNING"  # it can't know that the process is gone
    assert status() == "KILLED"


def test_a_run_that_names_no_host_is_left_alone(home: Path, data: Path) -> None:
    from t4r_lab.data.prepared.prepared_data import Dataset

    record = tracking.start(home, small_spec(data, name="old"), Dataset.open(data), home / "jobs" / "y")
    tracking.client_of(home)[0].delete_tag(record.run_id, tracking.HOST)
    assert [row.status for row in processes.runs(home) if row.name == "old"] == ["RUNNING"]


def test_a_training_waits_for_its_server_and_loses_nothing(mlflow: Server, home: Path, data: Path) -> None:
    epochs: list[Epoch] = []

    def on_report(report: Report) -> None:
        if isinstance(report, Epoch):
            epochs.append(report)
            if report.epoch == 2:
                mlflow.stop()
                threading.Timer(1.0, mlflow.start).start()

    result = runner.run(small_spec(data, name="waits", train__epochs=4), home=home, on_report=on_report)
    assert result.status == "FINISHED"
    curve = tracking.history(home, result.run_id, ["train/loss"])["train/loss"]
    assert sorted(curve) == [(report.epoch, pytest.approx(report.train_loss)) for report in epochs]
    assert tracking.find(home, "waits").valid == pytest.approx(result.valid)


def test_a_study_waits_for_its_server_and_each_trial_is_recorded_once(
    mlflow: Server, home: Path, data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server goes before a trial is written, in the midst of writing one, and before the files of the summary are."""

    def away() -> None:
        mlflow.stop()
        threading.Timer(1.0, mlflow.start).start()

    def on_report(report: Report) -> None:
        if isinstance(report, TrialEnded):
            ended.append(report.number)
            if len(ended) == 1:
                away()

    def in_the_midst(*args: Any) -> Any:
        written.append(args)
        if len(written) == 3:
            away()
        return tracking.data_input(*args)

    def at_the_end(record: tracking.Record, folder: Path) -> None:
        away()
        artifacts(record, folder)

    ended: list[int] = []
    written: list[Any] = []
    artifacts = tracking.Record.artifacts
    monkeypatch.setattr(study_runs, "data_input", in_the_midst)
    monkeypatch.setattr(tracking.Record, "artifacts", at_the_end)
    options = StudyOptions.parse({"space": {"train.learning_rate": None}, "trials": 4, "workers": 2, "pruner": "none"})
    result = lead.tune(small_spec(data, name="study"), options, home=home, on_report=on_report)
    assert (result.status, result.counts) == ("finished", {"finished": 4})
    assert sorted(ended) == list(range(4))
    client, experiment = tracking.client_of(home)
    assert client.get_run(result.run_id).info.status == "FINISHED"
    runs = client.search_runs([experiment], f"tags.`{study_runs.PARENT}` = '{result.run_id}'")
    assert sorted(int(run.data.tags[study_runs.TRIAL]) for run in runs) == list(range(4))
    _, trials = lead.report("study", home=home)
    for run in runs:
        trial = trials[int(run.data.tags[study_runs.TRIAL])]
        assert run.info.status == "FINISHED"
        assert float(run.data.params["train.learning_rate"]) == pytest.approx(
            trial.params.get("train.learning_rate", 2e-2)
        )
        assert run.data.metrics["valid/ndcg_at_5"] == pytest.approx(trial.values["ndcg@5"])
        curve = tracking.history(home, run.info.run_id, ["train/loss"])["train/loss"]
        assert curve == [(n, pytest.approx(epoch["loss"])) for n, epoch in enumerate(trial.epochs, 1)]
    files = {file.path for file in client.list_artifacts(result.run_id)}
    assert files >= {"study.csv", "best.yaml", "start.yaml", "figures.html", "figures"}
    assert len([record for record in caplog.records if "waiting for it, nothing is lost" in record.message]) == 3


def test_files_that_the_server_refuses_are_named_as_that_and_the_run_goes_on_afterwards(
    mlflow: Server, home: Path, data: Path
) -> None:
    backup = mlflow.folder / "kept"

    def on_report(report: Report) -> None:
        if isinstance(report, Epoch) and report.epoch == 2:
            mlflow.files.rename(backup)
            mlflow.files.write_text("a file, no folder")

    with pytest.raises(InputError, match=r"the MLflow server can't keep or give files \(it answers 500\)"):
        runner.run(small_spec(data, name="refused"), home=home, on_report=on_report)
    mlflow.files.unlink()
    backup.rename(mlflow.files)
    row = tracking.find(home, "refused")
    assert row.status == "FAILED"
    assert "it answers 500" in row.reason
    assert runner.resume("refused", home=home, on_report=silent).status == "FINISHED"
    assert tracking.find(home, "refused").status == "FINISHED"


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ("failed with exception HTTPConnectionPool: Max retries exceeded with url", True, "no MLflow server answers"),
        ("failed with timeout exception", True, "no MLflow server answers"),
        (
            "/api/2.0/mlflow-artifacts/x: Max retries exceeded (too many 500 error responses)",
            False,
            "keep or give files",
        ),
        ("413 Client Error: Too Large for url: http://h/api/2.0/mlflow-artifacts/artifacts/x", False, "answers 413"),
        ("/api/2.0/mlflow-artifacts/x: too many 503 error responses", True, "answers 503"),
        ("/api/2.0/mlflow/runs/log-batch: too many 500 error responses", True, "answers 500"),
        ("API request to endpoint /x failed with error code 403 != 200.", False, "MLFLOW_TRACKING_USERNAME"),
    ],
)
def test_answers_of_a_server_are_said_by_what_they_mean(answer: str, kind: bool, words: str) -> None:
    from t4r_lab.base.retries import Unavailable
    from t4r_lab.tracking.client import _server_refusal

    refusal = _server_refusal(answer, "http://h")
    assert refusal is not None and words in str(refusal)
    assert isinstance(refusal, Unavailable) is kind
    assert (
        _server_refusal("API request failed with error code 404 != 200. Response body: 'no such run'", "http://h")
        is None
    )
