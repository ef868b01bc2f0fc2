"""Jobs where something goes wrong: torn and damaged files, watchers in the way, a home that can't be written."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from t4r_lab import jobs, worker
from t4r_lab.errors import InputError
from t4r_lab.report import Epoch, Progress
from tests.small import small_spec


@pytest.fixture
def job(tmp_path: Path) -> jobs.Job:
    folder = tmp_path / "jobs" / "x"
    folder.mkdir(parents=True)
    job = jobs.Job(folder)
    job.write(jobs.Status("x", "x", "running", pid=os.getpid(), launched=time.time()))
    return job


def epoch(number: int) -> Epoch:
    return Epoch(number, 3, number, 1.0, {"ndcg@5": 0.1}, 1e-3, 1.0, True)


def test_a_line_torn_by_a_kill_does_not_spoil_those_of_the_next_worker(job: jobs.Job) -> None:
    whole = '{"event": "progress"}\n'
    (job.folder / "events.jsonl").write_text(whole + '{"event": "epo')
    reporter = worker.Reporter(job)
    reporter(epoch(1))
    reporter(epoch(2))
    assert [event.get("epoch") for event in job.events()] == [None, 1, 2]
    assert (job.folder / "events.jsonl").read_text().startswith(whole)


@pytest.mark.parametrize("content", ["", '{"id": "x', "[]", "\x00\x01"])
def test_a_damaged_state_is_shown_and_hides_no_other_job(content: str, job: jobs.Job, tmp_path: Path) -> None:
    other = tmp_path / "jobs" / "y"
    other.mkdir()
    jobs.Job(other).write(jobs.Status("y", "y", "finished"))
    (job.folder / "status.json").write_text(content)
    found = {j.id: j.status() for j in jobs.all_jobs(tmp_path)}
    assert found["y"].state == "finished"
    assert found["x"].state == "lost"
    assert "can't be read" in found["x"].error


def test_a_state_of_a_newer_version_is_read(job: jobs.Job) -> None:
    content = {**asdict(jobs.Status("x", "new", "finished")), "temperature": 21.5}
    (job.folder / "status.json").write_text(json.dumps(content))
    assert (job.status().name, job.status().state) == ("new", "finished")


def test_a_process_id_that_lives_on_as_another_process_does_not_make_the_job_live(job: jobs.Job) -> None:
    assert job.status().state == "lost"  # its pid is this process's, but nobody holds the lock


def test_a_watcher_that_looks_does_not_turn_the_worker_away(job: jobs.Job) -> None:
    (job.folder / "lock").touch()
    with (job.folder / "lock").open() as watcher:
        fcntl.flock(watcher, fcntl.LOCK_SH)
        threading.Timer(0.2, lambda: fcntl.flock(watcher, fcntl.LOCK_UN)).start()
        with job.lock():
            assert job.status().state == "running"


def test_watchers_do_not_take_each_other_for_a_worker(job: jobs.Job) -> None:
    (job.folder / "lock").touch()
    with (job.folder / "lock").open() as watcher:
        fcntl.flock(watcher, fcntl.LOCK_SH)
        assert job.status().state == "lost"


def test_progress_is_kept_at_most_five_times_a_second_and_everything_else_always(job: jobs.Job) -> None:
    reporter, began = worker.Reporter(job), time.monotonic()
    for step in range(1, 2001):
        reporter(Progress("training", step, 2000))
    reporter(Progress("evaluating", 1, 9))
    for number in (1, 2, 3):
        reporter(epoch(number))
    seconds = time.monotonic() - began
    events = job.events()
    training = [e["done"] for e in events if e.get("stage") == "training"]
    assert 2 <= len(training) <= 2 + seconds / worker.PROGRESS_EVERY
    assert (training[0], training[-1]) == (1, 2000)  # the first of a stage and its end are never left out
    assert [e["event"] for e in events[-4:]] == ["progress", "epoch", "epoch", "epoch"]


def test_the_state_tells_worker_stage_and_time_left(job: jobs.Job) -> None:
    reporter = worker.Reporter(job)
    reporter(Progress("training", 10, 100))
    time.sleep(worker.PROGRESS_EVERY + 0.05)
    reporter(Progress("training", 60, 100))
    with job.lock():
        status = job.status()
    assert (status.state, status.pid, status.stage, status.done, status.total) == (
        "running",
        os.getpid(),
        "training",
        60,
        100,
    )
    assert status.launched <= status.started <= status.heartbeat
    assert status.eta is not None
    assert 0.1 < status.eta < 1.0  # 50 steps took about 0.25 s, 40 are left


def test_a_job_that_cannot_be_written_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="home can't be written"):
        jobs.launch(small_spec(tmp_path), tmp_path / "file")

    def full(path: Path, content: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jobs, "write_json", full)
    with pytest.raises(InputError, match=r"the job can't be written.*free some space"):
        jobs.launch(small_spec(tmp_path), tmp_path / "home")
    assert list((tmp_path / "home" / "jobs").iterdir()) == []
    assert jobs.all_jobs(tmp_path / "home") == []
