"""Jobs where something goes wrong: torn and damaged files, watchers in the way, a home that can't be written."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from t4r_lab import jobs, tracking
from t4r_lab.base import files
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Epoch, Progress
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.jobs import job_worker as worker
from t4r_lab.runs import processes
from tests.support.small import small_data, small_spec


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


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """No file of this process grows beyond the size of `path` plus a few bytes, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_the_old_state_stays_and_no_event_is_lost(job: jobs.Job) -> None:
    reporter = worker.Reporter(job)
    reporter(epoch(1))
    (job.folder / "small").write_bytes(b"x" * 30)
    content = (job.folder / "events.jsonl").read_bytes()
    written = job.written()
    with full_disk(job.folder / "small"):
        reporter(epoch(2))
        reporter(epoch(3))
        assert job.written() == written
        assert (job.folder / "events.jsonl").read_bytes() == content
    reporter(epoch(4))
    assert [event["epoch"] for event in job.events()] == [1, 2, 3, 4]
    assert job.written().heartbeat > written.heartbeat
    assert not list(job.folder.glob(".*"))


def test_what_is_appended_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    files.append(path, "one\n")
    with full_disk(path), pytest.raises(OSError, match=r"File too large|No space left"):
        files.append(path, "two, which is longer than what is left\n")
    files.append(path, "three\n")
    assert path.read_text() == "one\nthree\n"


def test_what_is_replaced_is_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    files.write_json(path, {"a": 1})
    with full_disk(path), pytest.raises(OSError, match="File too large"):
        files.write_json(path, {"a": "long" * 20})
    assert json.loads(path.read_text()) == {"a": 1}
    with suppress(KeyboardInterrupt), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert json.loads(path.read_text()) == {"a": 1}
    files.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


def test_a_checkpoint_on_a_full_disk_leaves_the_one_before(tmp_path: Path) -> None:
    import torch

    from t4r_lab.training import checkpoint

    def trained(value: float) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        model = torch.nn.Linear(50, 50)
        torch.nn.init.constant_(model.weight, value)
        return model, torch.optim.SGD(model.parameters())

    checkpoint.write_state(tmp_path, *trained(1.0), checkpoint.State(epoch=1))
    (tmp_path / "small").touch()
    with full_disk(tmp_path / "small"), pytest.raises(Exception, match=r"File too large|os error 27"):
        checkpoint.write_state(tmp_path, *trained(2.0), checkpoint.State(epoch=2))
    (tmp_path / ".checkpoint.safetensors.123-4").write_bytes(b"half of one")  # as a kill leaves it
    model, optimizer = trained(0.0)
    assert checkpoint.read_state(tmp_path, model, optimizer).epoch == 1
    assert float(model.weight.detach().mean()) == 1.0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.safetensors", "small"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"action": 3}', '{"action": "snapshot"}', "\x00"])
def test_a_damaged_request_asks_nothing_and_the_next_one_is_heard(content: str, job: jobs.Job) -> None:
    with job.lock():
        (job.folder / "control.json").write_text(content)
        assert job.request() not in jobs.REQUESTS
        assert job.status().state == "running"
        for action, state in jobs.REQUESTS.items():
            getattr(job, action)()
            assert (job.request(), job.status().state) == (action, state)


def test_a_disk_that_fills_in_the_midst_of_training_leaves_a_job_that_resumes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from t4r_lab.training import checkpoint

    def new_job(name: str) -> jobs.Job:
        job = jobs.Job(tmp_path / name / "jobs" / "x")
        job.folder.mkdir(parents=True)
        (job.folder / "spec.json").write_text(spec.to_json())
        job.write(jobs.Status("x", "x"))
        return job

    def fills(folder: Path, *more: object) -> None:
        if (folder / checkpoint.FILE).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        write(folder, *more)  # type: ignore[arg-type]

    spec, write = small_spec(small_data(tmp_path / "d"), train__epochs=3), checkpoint.write_state
    whole, job = new_job("a"), new_job("b")
    assert worker.work(whole) == 0
    with monkeypatch.context() as patch:
        patch.setattr("t4r_lab.training.checkpoint.write_state", fills)
        assert worker.work(job) == 2
    failed = job.written()
    assert failed.state == "failed"
    assert "the disk is full; free some space, then resume" in failed.error
    assert "No space left" in tracking.find(job.home, failed.run_id).reason
    assert worker.work(job) == 0
    assert (job.written().run_id, job.written().metrics) == (failed.run_id, whole.written().metrics)
    assert [e["epoch"] for e in job.events() if e["event"] == "epoch"] == [1, 2, 2, 3]  # the unkept one again


def test_a_worker_whose_folder_is_deleted_still_finishes_its_run(tmp_path: Path) -> None:
    class Vandal(worker.Reporter):
        def __call__(self, report: object) -> None:
            super().__call__(report)  # type: ignore[arg-type]
            if isinstance(report, Epoch) and report.epoch == 1:
                shutil.rmtree(self.job.folder)

    job = jobs.Job(tmp_path / "jobs" / "x")
    job.folder.mkdir(parents=True)
    spec = small_spec(small_data(tmp_path / "d"))
    job.write(jobs.Status("x", "x"))
    from t4r_lab.runs import run

    result = run.run(spec, home=tmp_path, on_report=Vandal(job), folder=job.checkpoints)
    row = tracking.find(tmp_path, result.run_id)
    assert (row.status, row.valid) == ("FINISHED", result.valid)
    assert tracking.history(tmp_path, row.run_id, ["train/loss"])["train/loss"][-1][0] == 2
    assert jobs.all_jobs(tmp_path) == []  # and no half of it stands in the list


def test_a_damaged_event_is_empty_and_those_around_it_are_read(job: jobs.Job) -> None:
    (job.folder / "events.jsonl").write_bytes(b'{"event": "a"}\n\xff\x00{\n[1]\n{"event": "b"}\n')
    assert job.events() == [{"event": "a"}, {}, {}, {"event": "b"}]


def test_a_job_with_a_damaged_state_resumes(job: jobs.Job, monkeypatch: pytest.MonkeyPatch) -> None:
    data = small_data(job.folder.parent.parent / "data")
    (job.folder / "spec.json").write_text(small_spec(data, name="mine", train__epochs=7).to_json())
    (job.folder / "status.json").write_text("{half")
    started: list[int] = []
    monkeypatch.setattr(jobs.Job, "start", lambda self, lock: started.append(lock))
    job.resume()
    assert len(started) == 1
    status = job.written()
    assert (status.state, status.name, status.epochs, status.monitor) == ("starting", "mine", 7, "ndcg@5")


def test_a_job_of_a_later_version_is_shown_and_left_alone(job: jobs.Job) -> None:
    content = json.loads(small_spec(job.folder).to_json())
    (job.folder / "spec.json").write_text(json.dumps({**content, "quantum": True}))
    (job.folder / "job.json").write_text('{"cwd": "/", "version": "99.0"}')
    with pytest.raises(InputError, match=r"of t4r-lab 99.0.*quantum: unknown key.*use that version"):
        job.spec()
    with pytest.raises(InputError, match=r"of t4r-lab 99.0"):
        job.resume()
    job.write(replace(job.written(), state="entangled"))
    assert job.status().state == "entangled"
    for action in (job.resume, job.cancel, job.stop):
        with pytest.raises(InputError, match="entangled"):
            action()


def test_a_folder_deleted_under_its_watcher_is_told_as_such(job: jobs.Job) -> None:
    shutil.rmtree(job.folder)
    assert job.status().state == "lost"
    assert (job.events(), job.log(), job.request()) == ([], "", "")
    for action in (job.pause, job.stop):
        with pytest.raises(InputError, match="it is lost"):
            action()
    with pytest.raises(InputError, match="cannot be resumed"):
        job.resume()


def test_a_job_that_ends_between_two_looks_is_not_lost(job: jobs.Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(self: jobs.Job) -> bool:
        self.write(replace(self.written(), state="finished"))
        return False

    monkeypatch.setattr(jobs.Job, "_worker_runs", ends)
    assert job.status().state == "finished"


def test_a_worker_killed_while_it_opened_its_record_leaves_no_second_run(
    job: jobs.Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_spec(small_data(tmp_path / "d"), train__epochs=1)
    (job.folder / "spec.json").write_text(spec.to_json())
    (job.folder / "events.jsonl").write_text('{"event": "progress"}\n')
    with monkeypatch.context() as patch:
        patch.setattr(tracking.Record, "describe", lambda self, spec, dataset: None)
        left = tracking.start(tmp_path, spec, Dataset.open(spec.data.path), job.checkpoints).run_id
    assert worker.work(job) == 0
    assert job.written().state == "finished"
    (row,) = tracking.runs(tmp_path)
    assert (row.run_id, row.status, row.body) == (left, "FINISHED", "gru")
    assert (tracking.artifacts(tmp_path, left) / "spec.yaml").read_text() == spec.to_yaml()
    # and one that died after it had finished the record, before it said so
    job.write(replace(job.written(), state="running", run_id="", metrics={}))
    assert worker.work(job) == 0
    assert (job.written().state, job.written().run_id, job.written().metrics) == ("finished", left, row.valid)
    assert len(tracking.runs(tmp_path)) == 1


@pytest.mark.parametrize("content", ["", '{"id": "x', "[]", "\x00\x01"])
def test_a_damaged_state_is_shown_and_hides_no_other_job(content: str, job: jobs.Job, tmp_path: Path) -> None:
    other = tmp_path / "jobs" / "y"
    other.mkdir()
    jobs.Job(other).write(jobs.Status("y", "y", "finished"))
    (job.folder / "status.json").write_text(content)
    statuses = {j.id: j.status() for j in jobs.all_jobs(tmp_path)}
    assert statuses["y"].state == "finished"
    assert statuses["x"].state == "lost"
    assert "can't be read" in statuses["x"].error


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
    data = small_data(tmp_path / "data")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="home can't be written"):
        jobs.launch(small_spec(data), tmp_path / "file")

    def full(path: Path, content: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("t4r_lab.jobs.job.write_json", full)
    with pytest.raises(InputError, match=r"the job can't be written.*free some space"):
        jobs.launch(small_spec(data), tmp_path / "home")
    assert list((tmp_path / "home" / "jobs").iterdir()) == []
    assert jobs.all_jobs(tmp_path / "home") == []


def test_what_a_kill_left_half_written_goes_with_the_checkpoints(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("checkpoint.safetensors", ".checkpoint.safetensors.140.host-1-1.part", ".tmpzQz8aX"):
        (folder / name).write_bytes(b"torn")  # the last as safetensors calls what it is writing
    processes.remove_checkpoints(folder)
    assert not folder.exists()
