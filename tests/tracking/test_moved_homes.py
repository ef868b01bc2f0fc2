"""Homes that are moved, copied, deleted, damaged, oddly named or read-only: what lies in one is found where it stands."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from t4r_lab import jobs, tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Epoch, Report, silent
from t4r_lab.runs import analyze, compare, evaluate, processes, promote, run
from t4r_lab.runs.recommend import Recommender
from tests.support.rights import readonly
from tests.support.small import small_data, small_spec

URIS = "experiments.artifact_location", "runs.artifact_uri", "model_versions.source", "datasets.dataset_source"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with its data, a finished and promoted run and a stopped one; tests take copies of it."""
    home = tmp_path_factory.mktemp("project") / "mlruns"
    data = small_data(home / "data" / "d")
    done = run.run(small_spec(data, name="done"), home=home, on_report=silent)
    promote.promote(done.run_id, home=home, on_report=silent)
    run.run(small_spec(data, name="stopped"), home=home, on_report=silent, should_stop=lambda: True)
    return home


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    """As it lies at another place, before anyone has opened it there."""
    return Path(shutil.copytree(original, tmp_path / "copied" / "mlruns"))


def values(home: Path, column: str) -> list[str]:
    table, name = column.split(".")
    with closing(sqlite3.connect(home / "mlflow.db")) as base:
        return [value for (value,) in base.execute(f"SELECT {name} FROM {table} WHERE {name} IS NOT NULL")]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ── moved, copied ───────────────────────────────────────────────────────────────────────────────


def test_all_that_can_be_done_with_a_run_is_done_at_the_new_place_and_the_original_stays(
    original: Path, copy: Path
) -> None:
    before = files(original)
    row = tracking.find(copy, "done")
    assert Recommender.open("done", home=copy).dataset.path == copy / "data" / "d"
    assert analyze.analyze(["done"], home=copy).curves["done"]
    assert evaluate.evaluate_run("done", home=copy, on_report=silent).valid == row.valid
    spec = promote.spec_to_repeat("done", home=copy)
    assert Path(spec.data.path) == copy / "data" / "d"
    again = run.run(spec.override({"name": "again"}), home=copy, on_report=silent)
    assert again.valid == row.valid
    assert (copy / "artifacts" / again.run_id / "artifacts" / "model").is_dir()
    assert run.resume("stopped", home=copy, on_report=silent).status == "FINISHED"
    assert files(original) == before


def test_the_pages_and_the_registry_of_mlflow_find_all_at_the_new_place(original: Path, copy: Path) -> None:
    assert any(str(original) in value for column in URIS for value in values(copy, column))
    tracking.runs(copy)
    for column in URIS:
        addresses = values(copy, column)
        assert not [value for value in addresses if str(original) in value]
        assert any(str(copy) in value for value in addresses)
    client, _ = tracking.client_of(copy)
    version = client.get_model_version_by_alias("t4r-lab-d", "champion")
    assert Path(version.source.removeprefix("file://"), "model.safetensors").is_file()
    assert "spec.yaml" in [file.path for file in client.list_artifacts(version.run_id)]


def test_a_run_with_the_whole_path_of_its_folder_is_resumed_too(original: Path, copy: Path) -> None:
    with closing(sqlite3.connect(copy / "mlflow.db")) as base, base:
        query = "UPDATE tags SET value = ? || value WHERE key = 't4r.folder' AND value LIKE 'jobs/%'"
        assert base.execute(query, [f"{original}/"]).rowcount == 2
        base.execute("DELETE FROM tags WHERE key = 't4r.host'")
    row = tracking.find(copy, "stopped")
    assert Path(row.folder).is_relative_to(copy)
    assert run.resume("stopped", home=copy, on_report=silent).status == "FINISHED"


def test_a_home_behind_a_link_or_below_a_renamed_folder(copy: Path) -> None:
    link = copy.parent / "link"
    link.symlink_to(copy)
    tracking.runs(copy)
    rows = {column: values(copy, column) for column in URIS}
    assert Recommender.open("done", home=link).row.name == "done"
    assert {column: values(copy, column) for column in URIS} == rows  # two ways to one home don't take turns
    moved = copy.parent.rename(copy.parent.with_name("re named")) / "mlruns"
    assert Recommender.open("done", home=moved).dataset.path == moved / "data" / "d"


def test_data_that_are_not_those_are_not_taken_for_them(copy: Path) -> None:
    shutil.rmtree(copy / "data" / "d")
    small_data(copy / "data" / "d", sessions=300)
    row = tracking.find(copy, "done")
    spec = tracking.spec(copy, row)
    assert Path(spec.data.path) != copy / "data" / "d"
    other = Path(small_data(copy / "data" / "e", sessions=300))
    assert (
        tracking.with_present_data(copy, spec.override({"data.path": "nowhere/e"}), row.digest).data.path == "nowhere/e"
    )
    assert other.is_dir()


def begin_study(home: Path, name: str) -> None:
    from t4r_lab.data.prepared.prepared_data import Dataset
    from t4r_lab.spec.study_options import Plan, StudyOptions
    from t4r_lab.tuning import lead
    from t4r_lab.tuning.studies import open_study, storage

    plan = Plan.of(small_spec(home / "data" / "d"), StudyOptions.parse({"space": {"train.learning_rate": None}}))
    open_study.begin(name, plan, Dataset.open(home / "data" / "d").digest, storage.connect(lead.address(home, None)))


def test_a_study_is_gone_on_with_on_its_data(copy: Path) -> None:
    from t4r_lab.tuning import lead
    from t4r_lab.tuning.studies import open_study, storage

    begin_study(copy, "s")
    moved = copy.rename(copy.with_name("moved"))
    moved_study = open_study.load("s", storage.connect(lead.address(moved, None)))
    assert Path(moved_study.plan.spec.data.path) == moved / "data" / "d"


def test_a_job_goes_on_where_its_folder_is_gone(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy / "jobs" / "j"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text('{"cwd": "/gone/for/good", "version": "0"}')
    began: list[Any] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **named: began.append(named["cwd"]))
    jobs.Job(folder).start(0)
    assert began == [str(copy)]


# ── odd names ───────────────────────────────────────────────────────────────────────────────────

PRINTABLE = "".join(chr(c) for c in range(32, 127) if chr(c) != "/")
NAMES = [PRINTABLE, "a?b=c", "%25%s%%", "{x} {0} {", "a#b", "new\nline", 'it\'s "so"', "ü" * 120, "x" * 255, "file:x"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_databases_lie_in_the_home_whatever_it_is_called(name: str, original: Path, tmp_path: Path) -> None:
    from t4r_lab.tuning import lead
    from t4r_lab.tuning.studies.storage import connect

    home = tmp_path / "p" / name
    home.mkdir(parents=True)
    shutil.copytree(original, home, dirs_exist_ok=True)
    homes.ensure(home)
    assert {row.name for row in tracking.runs(home)} == {"done", "stopped"}
    compare.compare(["done"], home=home)
    record = tracking.Record(home, tracking.find(home, "done").run_id)
    record.text("here", "odd/note.txt")
    assert (home / "artifacts" / record.run_id / "artifacts" / "odd" / "note.txt").read_text() == "here"
    assert processes.discard_run(home, Path(tracking.find(home, "stopped").folder)) is None
    assert tracking.find(home, "stopped").reason == "canceled"
    assert lead.names(home=home) == []
    assert connect(lead.address(home, None)).folder == home / "studies"
    assert (home / "studies" / "studies.db").is_file()
    assert [p.name for p in (tmp_path / "p").iterdir()] == [name]


def test_every_character_comes_back_from_the_url_of_a_database() -> None:
    from sqlalchemy import make_url

    for path in [Path("/a", name, "mlflow.db") for name in [*PRINTABLE, *NAMES]]:
        url = homes.sqlite_url(path)
        assert homes.sqlite_path(url) == path
        assert make_url(url.format(SCHEMA_VERSION=1)).database == str(path)  # Optuna formats it
    assert homes.sqlite_path("postgresql://host/db") is None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/tmp/" + "x" * 200 + "/" + "y" * 200 + "/" + "z" * 200, r"has 607 bytes, SQLite can use 480"),
        ("/tmp/\udcff", "isn't UTF-8"),
    ],
)
def test_a_path_that_no_database_can_have_is_refused(path: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        homes.ensure(path)
    assert not os.path.exists(path)


# ── damaged ─────────────────────────────────────────────────────────────────────────────────────


def cut(home: Path) -> None:
    content = (home / "mlflow.db").read_bytes()
    (home / "mlflow.db").write_bytes(content[:50_000])


def overwrite(home: Path) -> None:
    (home / "mlflow.db").write_bytes(b"not a database at all" * 1000)


def holes(home: Path) -> None:
    content = bytearray((home / "mlflow.db").read_bytes())
    content[8192:] = b"\0" * (len(content) - 8192)
    (home / "mlflow.db").write_bytes(content)


def newer(home: Path) -> None:
    with closing(sqlite3.connect(home / "mlflow.db")) as base, base:
        base.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")


def older(home: Path) -> None:
    with closing(sqlite3.connect(home / "mlflow.db")) as base, base:
        base.execute("UPDATE alembic_version SET version_num = '0584bdc529eb'")


def folder_instead(home: Path) -> None:
    (home / "mlflow.db").unlink()
    (home / "mlflow.db").mkdir()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, "damaged; bring back a copy"),
        (overwrite, "damaged; bring back a copy"),
        (holes, "damaged; bring back a copy"),
        (newer, r"made by another, newer MLflow \(tables f+\) .*install the MLflow"),
        (older, r"made by an older MLflow .*mlflow db upgrade 'sqlite:"),
        (folder_instead, "cannot be opened"),
    ],
)
def test_a_damaged_record_is_said_at_once_with_what_to_do(damage: Any, words: str, copy: Path) -> None:
    damage(copy)
    began = time.monotonic()
    with pytest.raises(InputError, match=words) as refusal:
        tracking.runs(copy)
    assert time.monotonic() - began < 10  # MLflow tries for 101 s
    assert "\n" not in str(refusal.value)
    assert str(copy / "mlflow.db") in str(refusal.value)


def test_a_damaged_record_that_is_moved_away_leaves_a_home_without_runs(copy: Path) -> None:
    cut(copy)
    with pytest.raises(InputError, match="move it away to start again"):
        tracking.runs(copy)
    (copy / "mlflow.db").rename(copy / "damaged.db")
    assert tracking.runs(copy) == []


def test_lost_artifacts_are_said_with_what_to_bring_back(copy: Path) -> None:
    row = tracking.find(copy, "done")
    shutil.rmtree(copy / "artifacts")
    lost = str(tracking.artifacts(copy, row.run_id))
    with pytest.raises(InputError, match=r"has no model; bring back a copy of .*, or train its spec again") as refusal:
        Recommender.open("done", home=copy)
    assert lost in str(refusal.value)
    with pytest.raises(InputError, match=r"spec.yaml is not in the record any more; bring back a copy of"):
        compare.compare(["done"], home=copy)


def test_what_is_edited_by_hand_hides_no_run(copy: Path) -> None:
    client, _ = tracking.client_of(copy)
    before = {row.name: row for row in tracking.runs(copy)}
    run_id = before["done"].run_id
    for key, value in {"t4r.test_looks": "many", "t4r.folder": "\0", "t4r.host": "?", "t4r.reason": "ü"}.items():
        client.set_tag(run_id, key, value)
    client.log_metric(run_id, "baseline.", 1.0)
    client.log_metric(run_id, "valid", float("nan"))
    client.log_metric(run_id, "baseline.x/valid/y", float("inf"))
    with closing(sqlite3.connect(copy / "mlflow.db")) as base, base:
        base.execute("DELETE FROM params WHERE run_uuid = ?", [run_id])
        base.execute("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", [run_id])
    rows = {row.name: row for row in processes.runs(copy)}
    assert set(rows) == set(before)
    assert rows["done"].valid == before["done"].valid
    assert (rows["done"].looks, rows["done"].body) == (0, "")
    assert tracking.Record(copy, run_id).look() == 1


# ── deleted while a run trains ──────────────────────────────────────────────────────────────────


def test_artifacts_deleted_while_a_run_trains_are_there_at_its_end(copy: Path) -> None:
    def on_report(report: Report) -> None:
        if isinstance(report, Epoch) and report.epoch == 1:
            shutil.rmtree(copy / "artifacts")

    spec = small_spec(copy / "data" / "d", name="third")
    result = run.run(spec, home=copy, on_report=on_report)
    names = {p.name for p in tracking.artifacts(copy, result.run_id).iterdir()}
    assert {"spec.yaml", "model.svg", "model", "data", "schema.json", "environment.txt", "ranks", "detail"} <= names
    assert tracking.spec(copy, tracking.find(copy, result.run_id)) == spec


@pytest.mark.parametrize("mounted", [False, True], ids=["deleted", "unmounted"])
def test_a_home_that_goes_while_a_run_trains_is_said_as_that_and_nothing_is_left_in_its_place(
    mounted: bool, copy: Path
) -> None:
    data = Path(shutil.copytree(copy / "data", copy.parent / "data")) / "d"

    def on_report(report: Report) -> None:
        if isinstance(report, Epoch) and report.epoch == 1:
            copy.rename(copy.parent / "away")
            if mounted:
                copy.mkdir()

    with pytest.raises(InputError, match=r"the home is gone, or its mlflow.db .deleted, moved, unmounted"):
        run.run(small_spec(data, name="third"), home=copy, on_report=on_report)
    assert not copy.exists()
    (copy.parent / "away").rename(copy)  # and then it goes on
    assert [row.status for row in processes.runs(copy) if row.name == "third"] == ["KILLED"]


# ── no right to write ───────────────────────────────────────────────────────────────────────────


def test_a_home_that_cannot_be_written_can_be_read(copy: Path) -> None:
    from t4r_lab.tuning import lead

    begin_study(copy, "s")
    before = {name: content for name, content in files(copy).items() if "studies" not in name}
    with readonly(copy):
        with pytest.raises(InputError, match="can't be written"):
            homes.ensure(copy)
        assert {row.name for row in processes.runs(copy)} == {"done", "stopped"}
        recommender = Recommender.open("done", home=copy)
        assert len(recommender.top(recommender.session_of(["1", "2"]), 3)) == 3
        assert recommender.dataset.path == copy / "data" / "d"
        assert analyze.analyze(["done"], home=copy).comparison.metrics["done"]
        assert analyze.won_and_lost("done", home=copy)
        assert tracking.promoted(copy)
        with pytest.raises(InputError, match="can't be written"):
            evaluate.evaluate_run("done", home=copy, on_report=silent)
        assert lead.names(home=copy) == ["s"]
        assert (
            Path(lead.report("s", home=copy)[0].storage.removeprefix("sqlite:///")) == copy / "studies" / "studies.db"
        )
    assert {name: content for name, content in files(copy).items() if "studies" not in name} == before


def test_who_only_reads_makes_nothing(tmp_path: Path) -> None:
    from t4r_lab.tuning import lead

    with pytest.raises(InputError, match="there are no runs in"):
        compare.compare(["x"], home=tmp_path / "none")
    done = subprocess.run(
        [sys.executable, "-m", "t4r_lab", "jobs", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, homes.VARIABLE: str(tmp_path / "none")},
    )
    assert done.stdout.split() == ["{", '"jobs":', "[]", "}"]
    assert lead.names(home=tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
