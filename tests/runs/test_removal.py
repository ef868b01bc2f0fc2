"""Deleting and bringing back: what needs a thing is named, and nothing is lost between the steps."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from t4r_lab import jobs, tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.files import locked
from t4r_lab.base.reports import silent
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.jobs.job import Job
from t4r_lab.jobs.job_status import Status
from t4r_lab.removal import trash
from t4r_lab.removal.trash import delete, deleted, empty, restore
from t4r_lab.runs.promote import promote
from t4r_lab.runs.run import run
from t4r_lab.spec.study_options import StudyOptions
from t4r_lab.tuning.lead import names, report, tune
from t4r_lab.tuning.studies.copied_study import remove_study
from t4r_lab.tuning.studies.storage import connect
from t4r_lab.tuning.studies.storage_address import address
from tests.support.small import small_data, small_spec


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with data and two runs on them."""
    home = tmp_path_factory.mktemp("home")
    data = small_data(home / "data" / "shop")
    for name in ("a", "b"):
        run(small_spec(data, name=name, train__epochs=1), home=home, on_report=silent)
    return home


def refused(words: str, kind: str, name: str, home: Path) -> None:
    with pytest.raises(InputError, match=words):
        delete(kind, name, home=home)


def test_a_run_goes_and_comes_back_with_all_that_was_recorded(home: Path) -> None:
    before = tracking.find(home, "a")
    entry = delete("run", before.run_id[:8], home=home)
    assert [row.name for row in tracking.runs(home)] == ["b"]
    assert [(e.kind, e.name) for e in deleted(home=home)] == [("run", "a")]
    with pytest.raises(InputError, match="no such run"):
        delete("run", "a", home=home)
    restore(entry.id[:15], home=home)
    assert tracking.find(home, "a") == before
    assert tracking.spec(home, before).name == "a"
    assert deleted(home=home) == []
    assert not list((home / trash.TRASH).iterdir())


def test_what_is_needed_stays_and_who_needs_it_is_said(home: Path) -> None:
    row = tracking.find(home, "b")
    refused("needed by run b, run a", "data", "shop", home)
    promote("b", "champion", home=home, on_report=silent)
    refused("needed by the alias t4r-lab-shop@champion", "run", "b", home)
    tracking.client_of(home)[0].delete_registered_model_alias("t4r-lab-shop", "champion")
    job = Job(home / "jobs" / "j1")
    job.folder.mkdir(parents=True)
    (job.folder / "spec.json").write_text(small_spec(home / "data" / "shop").to_json())
    job.write(Status("j1", "b", "queued", run_id=row.run_id))
    refused("needed by job j1 .queued.", "run", "b", home)
    refused("queued.*cancel j1", "job", "j1", home)
    job.write(Status("j1", "b", "running", run_id=row.run_id))
    with locked(job.folder / "lock"):
        refused("needed by its training .running.", "job", "j1", home)
    job.write(Status("j1", "b", "stopped", run_id=row.run_id))
    entry = delete("job", "j1", home=home)
    assert (jobs.all_jobs(home), job.folder.exists()) == ([], False)
    restore("j1", home=home)
    assert [j.id for j in jobs.all_jobs(home)] == ["j1"]
    assert entry.folders == ["jobs/j1"]
    delete("job", "j1", home=home)
    assert "trash" not in str(tracking.find(home, "b").folder)
    for kind, name in (("data", "shp"), ("job", "j2"), ("study", "s"), ("runs", "b")):
        with pytest.raises(InputError):
            delete(kind, name, home=home)


def test_data_that_nobody_needs_come_back_unless_their_name_is_taken(home: Path) -> None:
    small_data(home / "data" / "other", sessions=50)
    digest = Dataset.open(home / "data" / "other").digest
    delete("data", "other", home=home)
    assert not (home / "data" / "other").exists()
    (home / "data" / "other").mkdir()
    with pytest.raises(InputError, match="exists again"):
        restore("other", home=home)
    (home / "data" / "other").rmdir()
    restore("other", home=home)
    assert Dataset.open(home / "data" / "other").digest == digest


def killed(*arguments: object, **named: object) -> None:
    raise KeyboardInterrupt


def test_a_kill_between_the_steps_loses_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "delete_runs", killed)
    with pytest.raises(KeyboardInterrupt):
        delete("run", "a", home=home)
    assert tracking.find(home, "a").name == "a"
    restore("a", home=home)
    assert tracking.find(home, "a").name == "a"
    assert "a" not in {entry.name for entry in deleted(home=home)}


def test_a_study_comes_back_with_its_trials_and_their_record(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = small_spec(home / "data" / "shop", name="s", train__epochs=1)
    options = StudyOptions.parse(
        {"space": {"train.learning_rate": {"low": 0.01, "high": 0.02}}, "trials": 1, "sampler": "random"}
    )
    tune(spec, options, "s", home=home, on_report=silent)
    before, recorded = report("s", home=home)[1], tracking.runs_of_study(home, "s")
    delete("study", "s", home=home)
    assert (names(home=home), tracking.runs_of_study(home, "s"), len(recorded)) == ([], [], 2)
    store = connect(address(home, None))
    optuna.create_study(study_name="s", storage=store.backend).enqueue_trial({})
    with pytest.raises(InputError, match="a study of that name exists"):
        restore("s", home=home)
    remove_study(store, "s")
    restore("s", home=home)
    assert [(t.number, t.values, t.params) for t in report("s", home=home)[1]] == [
        (t.number, t.values, t.params) for t in before
    ]
    assert sorted(tracking.runs_of_study(home, "s")) == sorted(recorded)
    monkeypatch.setattr("optuna.delete_study", killed)
    with pytest.raises(KeyboardInterrupt):
        delete("study", "s", home=home)
    restore("s", home=home)
    assert len(report("s", home=home)[1]) == len(before)
    assert sorted(tracking.runs_of_study(home, "s")) == sorted(recorded)


def test_the_trash_is_emptied_for_good(home: Path) -> None:
    row = tracking.find(home, "a")
    delete("run", "a", home=home)
    empty(home=home)
    assert deleted(home=home) == []
    assert not tracking.artifacts(home, row.run_id).exists()
    with pytest.raises(InputError, match="nothing deleted"):
        restore("a", home=home)
