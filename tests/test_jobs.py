"""Jobs: processes of their own that can be watched, stopped, lost and resumed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from t4r_lab import jobs, track
from t4r_lab.data.prepare import PrepareOptions, prepare
from t4r_lab.data.synthetic import Generator
from t4r_lab.errors import InputError
from t4r_lab.spec import RunSpec


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "d"
    return prepare(Generator(n_items=40).events(600), folder, PrepareOptions()).path


def spec(data: Path, epochs: int) -> RunSpec:
    return RunSpec.parse(
        {
            "name": "job", "data": {"path": str(data)},
            "model": {"body": {"kind": "gru", "d_model": 8, "n_layer": 1}},
            "train": {"epochs": epochs, "patience": None, "batch_size": 64}, "evaluation": {"cutoffs": [5]},
        }
    )  # fmt: skip


def wait(job: jobs.Job, until: Callable[[jobs.Status], bool], seconds: float = 90) -> jobs.Status:
    """The first status for which `until` holds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = job.status()
        if until(status):
            return status
        time.sleep(0.05)
    raise AssertionError(f"{job.status()}\n{job.log()}")


def test_a_job_runs_to_its_end_and_leaves_a_run(data: Path, tmp_path: Path) -> None:
    job = jobs.launch(spec(data, 2), tmp_path)
    assert job.status().state in jobs.ACTIVE
    done = wait(job, lambda s: s.state not in jobs.ACTIVE)
    assert (done.state, done.error) == ("finished", ""), job.log()
    kinds = [event["event"] for event in job.events()]
    assert kinds.count("epoch") == 2
    assert kinds.count("baseline") == 2
    row = track.find(tmp_path, done.run_id)
    assert row.valid == done.metrics
    assert row.status == "FINISHED"
    assert job.events(len(kinds) - 1) == job.events()[-1:]
    with pytest.raises(InputError, match="it has finished"):
        job.resume()


@pytest.mark.slow
def test_a_killed_job_is_lost_and_a_stopped_one_stops_and_both_resume_to_the_same_result(
    data: Path, tmp_path: Path
) -> None:
    whole = wait(jobs.launch(spec(data, 30), tmp_path), lambda s: s.state == "finished")
    job = jobs.launch(spec(data, 30), tmp_path)
    running = wait(job, lambda s: len([e for e in job.events() if e["event"] == "epoch"]) >= 3)
    with pytest.raises(InputError, match="stop it first"):
        job.resume()
    os.kill(running.pid, signal.SIGKILL)
    assert "resume" in wait(job, lambda s: s.state == "lost").error
    job.resume()
    wait(job, lambda s: s.state == "running" and s.done > 5 * 8)
    job.stop()
    stopped = wait(job, lambda s: s.state not in jobs.ACTIVE)
    assert stopped.state == "stopped", job.log()
    assert track.find(tmp_path, stopped.run_id).status == "KILLED"
    job.resume()
    done = wait(job, lambda s: s.state not in jobs.ACTIVE)
    assert done.state == "finished", job.log()
    assert done.run_id == running.run_id
    assert done.metrics == whole.metrics


def test_a_job_that_cannot_run_says_why(data: Path, tmp_path: Path) -> None:
    wrong = spec(data, 1).override({"data.path": str(tmp_path / "nowhere")})
    failed = wait(jobs.launch(wrong, tmp_path), lambda s: s.state not in jobs.ACTIVE)
    assert failed.state == "failed"
    assert "no such folder of prepared data" in failed.error


def test_a_half_written_event_is_read_when_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"event": "a"}\n{"eve')
    assert jobs.Job(tmp_path).events() == [{"event": "a"}]
    (tmp_path / "events.jsonl").write_text('{"event": "a"}\n{"event": "b"}\n')
    assert jobs.Job(tmp_path).events(1) == [{"event": "b"}]


def test_unknown_jobs_are_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are none"):
        jobs.find(tmp_path, "x")
