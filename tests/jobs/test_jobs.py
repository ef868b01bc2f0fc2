"""Jobs: processes of their own that can be watched, stopped, lost and resumed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from t4r_lab import jobs, tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import silent
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.synthetic import Generator
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.runs import processes
from t4r_lab.runs.run import run
from t4r_lab.spec import RunSpec
from t4r_lab.training.checkpoint import FILE


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "d"
    return prepare(Generator(n_items=40).events(600), folder, PrepareOptions()).path


@pytest.fixture(autouse=True)
def _record(tmp_path: Path) -> None:
    """Workers open it at once instead of making it."""
    tracking.client_of(tmp_path)


def spec(data: Path, epochs: int) -> RunSpec:
    return RunSpec.parse(
        {
            "name": "job",
            "data": {"path": str(data)},
            "model": {"body": {"kind": "gru", "d_model": 8, "n_layer": 1}},
            "train": {"epochs": epochs, "patience": None, "batch_size": 64},
            "evaluation": {"cutoffs": [5]},
        }
    )


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
    row = tracking.find(tmp_path, done.run_id)
    assert row.valid == done.metrics
    assert row.status == "FINISHED"
    log = job.log(1000)
    for line in ("baseline successors: ndcg@5 ", "epoch 2/2  loss ", "training finished: best epoch ", " finished"):
        assert line in log
    with pytest.raises(InputError, match="it has finished"):
        job.resume()


@pytest.mark.slow
def test_a_job_goes_on_to_the_same_result_after_a_kill_a_pause_and_a_stop(data: Path, tmp_path: Path) -> None:
    whole = run(spec(data, 18), home=tmp_path, on_report=silent)
    job = jobs.launch(spec(data, 18), tmp_path)
    running = wait(job, lambda s: len([e for e in job.events() if e["event"] == "epoch"]) >= 3)
    with pytest.raises(InputError, match="stop it first"):
        job.resume()
    os.kill(running.pid, signal.SIGKILL)
    assert "resume" in wait(job, lambda s: s.state == "lost").error
    record = lambda: {run.run_id: run.status for run in processes.runs(tmp_path)}[running.run_id]  # noqa: E731
    assert record() == "KILLED"  # by whoever reads it next
    for ask, state in ((job.pause, "paused"), (job.stop, "stopped")):
        steps = job.status().done
        job.resume()
        wait(job, lambda s, steps=steps: s.state == "running" and s.done > steps)  # type: ignore[misc]
        assert record() == "RUNNING"
        ask()
        assert job.status().state in (state, {"paused": "pausing", "stopped": "stopping"}[state])
        ended = wait(job, lambda s: s.state not in jobs.ACTIVE)
        assert (ended.state, ended.eta) == (state, None), job.log()
        assert tracking.find(tmp_path, ended.run_id).status == "KILLED"
        wait(job, lambda s: not alive(s.pid), 10)
    job.resume()
    done = wait(job, lambda s: s.state not in jobs.ACTIVE)
    assert done.state == "finished", job.log()
    assert done.run_id == running.run_id
    assert done.metrics == whole.valid
    assert [run.status for run in tracking.runs(tmp_path)] == ["FINISHED", "FINISHED"]


def alive(pid: int) -> bool:
    """Whether the process works; one that ended may still wait to be collected by this one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_a_worker_that_died_after_the_record_left_is_cleared(data: Path, tmp_path: Path) -> None:
    job = jobs.launch(spec(data, 1), tmp_path)
    done = wait(job, lambda s: s.state not in jobs.ACTIVE)
    assert done.state == "finished", job.log()
    wait(job, lambda s: not alive(s.pid), 10)
    job.checkpoints.mkdir(exist_ok=True)
    (job.checkpoints / FILE).write_bytes(b"left behind")
    job.write(replace(done, state="running"))  # dead and not finished: lost
    job.resume()
    again = wait(job, lambda s: s.state not in jobs.ACTIVE)
    assert (again.state, again.run_id, again.metrics) == ("finished", done.run_id, done.metrics), job.log()
    assert not job.checkpoints.exists()


KILLS = 8
"""Of one run of the suite; each has a seed of its own."""


@pytest.mark.slow
def test_killed_at_any_moment_a_job_reaches_the_same_result(data: Path, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    run_spec = spec(data, 3).override({"train.checkpoint_seconds": 0})
    (tmp_path / "spec.yaml").write_text(run_spec.to_yaml())
    command = [
        sys.executable,
        "-m",
        "tests.support.killing",
        str(tmp_path),
        str(tmp_path / "spec.yaml"),
        str(seed),
        str(KILLS),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, f"seed {seed}\n{done.stderr}"
    answer = json.loads(done.stdout)
    assert len(answer["stages"]) >= KILLS
    assert len(set(answer["stages"])) >= 3, answer["stages"]
    expected = outcome(tmp_path, answer["whole"])
    for id in answer["others"]:
        assert outcome(tmp_path, id) == expected, f"seed {seed}, job {id}: {answer['stages']}"
    runs = tracking.runs(tmp_path)
    assert [run.status for run in runs] == ["FINISHED"] * (1 + len(answer["others"]))  # none stands there twice


def outcome(home: Path, id: str) -> dict[str, object]:
    """All that a job left, without names and times."""
    job = jobs.find(home, id)
    status = job.status()
    assert status.state == "finished", job.log()
    row = tracking.find(home, status.run_id)
    assert row.valid == status.metrics
    assert not list(job.checkpoints.glob("*"))
    folder = tracking.artifacts(home, status.run_id)
    weights = (folder / "model" / "model.safetensors").read_bytes()
    events = {e["epoch"]: (e["train_loss"], e["valid"]) for e in job.events() if e["event"] == "epoch"}
    return {
        "valid": row.valid,
        "baselines": row.baselines,
        "digest": row.digest,
        "body": row.body,
        "events": events,
        "history": tracking.history(home, status.run_id, ["train/loss", "valid/ndcg_at_5"]),
        "weights": hashlib.sha256(weights).hexdigest(),
        "files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*")),
    }


@pytest.mark.slow
def test_of_two_resumes_one_works(data: Path, tmp_path: Path) -> None:
    job = jobs.launch(spec(data, 200), tmp_path)
    os.kill(wait(job, lambda s: bool(s.run_id)).pid, signal.SIGKILL)
    wait(job, lambda s: s.state == "lost")
    code = "import sys, pathlib; from t4r_lab import jobs; jobs.Job(pathlib.Path(sys.argv[1])).resume()"
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(job.folder)], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    messages = [process.communicate(timeout=60)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1]
    assert any("stop it first, or wait for it" in text for text in messages), messages
    wait(job, lambda s: s.state == "running")
    assert len(workers(job)) == 1
    job.cancel()
    assert wait(job, lambda s: s.state not in jobs.ACTIVE).state == "canceled"


def workers(job: jobs.Job) -> list[int]:
    """The processes that work on `job`, by what the system says they were started with."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if f"t4r_lab.jobs.job_worker\0{job.folder}\0" in path.read_text():
                pids.append(int(path.parent.name))
    return pids


def test_a_worker_that_died_before_it_wrote_anything_is_lost_at_once_and_resumes(data: Path, tmp_path: Path) -> None:
    job = jobs.launch(spec(data, 1), tmp_path)
    while not (pids := workers(job)):
        time.sleep(0.001)
    os.kill(pids[0], signal.SIGKILL)
    assert wait(job, lambda s: s.state != "starting", 2).state == "lost"
    assert job.events() == []
    job.resume()
    assert wait(job, lambda s: s.state not in jobs.ACTIVE).state == "finished", job.log()
    assert len(tracking.runs(tmp_path)) == 1


def test_threads_of_a_job_beside_another_one_sleep_while_they_wait(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[dict[str, str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *args, env, **options: began.append(env))
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    alone = jobs.launch(spec(data, 1), tmp_path / "home")
    with alone.lock():  # as its worker would hold it
        jobs.launch(spec(data, 1), tmp_path / "home")
        monkeypatch.setenv("OMP_WAIT_POLICY", "active")
        jobs.launch(spec(data, 1), tmp_path / "home")
    monkeypatch.delenv("OMP_WAIT_POLICY")
    jobs.launch(spec(data, 1), tmp_path / "home")
    assert [env.get("OMP_WAIT_POLICY") for env in began] == [None, "passive", "active", None]


def test_a_canceled_job_ends_for_good(data: Path, tmp_path: Path) -> None:
    job = jobs.launch(spec(data, 1000), tmp_path)
    wait(job, lambda s: s.stage == "training" and s.done > 0)
    job.stop()
    stopped = wait(job, lambda s: s.state not in jobs.ACTIVE)
    assert list(job.checkpoints.glob("*.safetensors"))
    job.cancel()
    assert job.status().state == "canceled"
    assert not list(job.checkpoints.glob("*"))
    row = tracking.find(tmp_path, stopped.run_id)
    assert (row.status, row.reason) == ("KILLED", "canceled")
    for action in (job.resume, job.cancel, job.stop, job.pause):
        with pytest.raises(InputError, match="it is canceled"):
            action()


@pytest.mark.slow
def test_the_shell_does_the_same(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from t4r_lab.cli.program import main

    def shell(*arguments: str) -> dict[str, Any]:
        assert main(["jobs", *arguments, "--json"]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    home = Path(os.environ["T4R_LAB_HOME"])
    job = jobs.launch(spec(data, 24), home)
    wait(job, lambda s: s.stage == "training" and s.eta is not None)
    (listed,) = shell("list")["jobs"]
    assert (listed["id"], listed["state"], listed["stage"]) == (job.id, "running", "training")
    assert 0 < listed["eta"] < 600
    assert main(["jobs"]) == 0
    assert "left  name" in capsys.readouterr().out
    assert shell("pause", job.id[:-1])["state"] in ("pausing", "paused")
    wait(job, lambda s: s.state == "paused")
    assert shell("resume", job.id)["state"] in ("starting", "running")
    assert shell("attach", job.id)["state"] == "finished"
    assert main(["jobs", "stop", job.id]) == 2
    assert "it is finished; there is nothing to stop" in capsys.readouterr().err


def test_a_job_that_cannot_run_says_why(data: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(data, tmp_path / "data")
    job = jobs.launch(spec(copied, 1), tmp_path / "home")
    shutil.rmtree(copied)  # before its worker opens them
    failed = wait(job, lambda s: s.state not in jobs.ACTIVE)
    assert failed.state == "failed"
    assert "no such folder of prepared data" in failed.error
    with pytest.raises(InputError) as expected:
        Dataset.open(copied)
    assert InputError(*failed.refusal).parts == expected.value.parts


def test_a_half_written_event_is_read_when_it_is_whole(tmp_path: Path) -> None:
    job = jobs.Job(tmp_path)
    (tmp_path / "events.jsonl").write_text('{"event": "é"}\n{"eve')
    events, offset = job.follow()
    assert events == [{"event": "é"}]
    assert job.follow(offset) == ([], offset)
    (tmp_path / "events.jsonl").write_text('{"event": "é"}\n{"event": "b"}\n')
    assert job.follow(offset)[0] == [{"event": "b"}]
    assert job.events() == [{"event": "é"}, {"event": "b"}]


def test_unknown_jobs_are_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are none"):
        jobs.find(tmp_path, "x")
