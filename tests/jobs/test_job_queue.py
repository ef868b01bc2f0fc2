"""The queue of jobs: who waits, who is next, and that nobody is forgotten when a worker is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from t4r_lab import jobs
from t4r_lab.base import system
from t4r_lab.base.errors import InputError
from t4r_lab.cli.program import main
from t4r_lab.jobs import Job, job_queue, launch_record
from t4r_lab.lab.panels.train.job_card import JobCard
from t4r_lab.lab.panels.train.train_panel import TrainPanel, with_card
from t4r_lab.lab.state import source
from tests.support.small import small_data, small_spec


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("data") / "d")


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the jobs whose worker was started; instead of a worker, nothing holds the lock."""
    started: list[str] = []
    running: set[str] = set()

    def start(job: Job, lock: int) -> None:
        started.append(job.id)
        running.add(job.id)

    monkeypatch.setattr(Job, "start", start)
    monkeypatch.setattr(Job, "_worker_runs", lambda job: job.id in running)
    monkeypatch.setattr(jobs, "ended", running.discard, raising=False)
    return started


def launch(home: Path, data: Path, count: int) -> list[Job]:
    launched = []
    for number in range(count):
        launched.append(jobs.launch(small_spec(data, name=f"j{number}"), home))
        time.sleep(0.01)  # ids of one second are in no order: the launch times are
    return launched


def states(home: Path) -> dict[str, str]:
    return {job.status().name: job.status().state for job in jobs.all_jobs(home)}


def end(job: Job) -> None:
    jobs.ended(job.id)  # type: ignore[attr-defined]
    job.write(jobs.Status(job.id, job.status().name, "finished"))


def wait(condition: Callable[[], Any], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_jobs_beyond_the_limit_wait_and_start_in_the_order_of_the_queue(
    data: Path, tmp_path: Path, starts: list[str]
) -> None:
    jobs.set_limit(tmp_path, 1)
    first, second, third, fourth = launch(tmp_path, data, 4)
    assert states(tmp_path) == {"j0": "starting", "j1": "queued", "j2": "queued", "j3": "queued"}
    assert [job.id for job in jobs.queued(tmp_path)] == [second.id, third.id, fourth.id]
    jobs.move(fourth, -2)
    jobs.move(second, 5)
    assert [job.id for job in jobs.queued(tmp_path)] == [fourth.id, third.id, second.id]
    third.cancel()
    assert jobs.start_next(tmp_path) == []  # no turn yet
    end(first)
    assert [job.id for job in jobs.start_next(tmp_path)] == [fourth.id]
    assert states(tmp_path) == {"j0": "finished", "j1": "queued", "j2": "canceled", "j3": "starting"}
    second.resume()  # now, whatever the limit
    assert starts == [first.id, fourth.id, second.id] and jobs.queued(tmp_path) == []
    with pytest.raises(InputError, match="only a queued job can be moved"):
        jobs.move(second, -1)


def test_a_higher_limit_or_none_starts_what_waits(data: Path, tmp_path: Path, starts: list[str]) -> None:
    jobs.set_limit(tmp_path, 1)
    launched = launch(tmp_path, data, 4)
    jobs.set_limit(tmp_path, 2)
    assert starts == [job.id for job in launched[:2]]
    jobs.set_limit(tmp_path, None)
    assert starts == [job.id for job in launched]
    for wrong in (0, -1, 65):
        with pytest.raises(InputError, match="give 1 to 64"):
            jobs.set_limit(tmp_path, wrong)
    assert jobs.limit(tmp_path) is None


def test_a_job_that_is_refused_when_its_turn_comes_fails_and_the_next_one_starts(
    data: Path, tmp_path: Path, starts: list[str]
) -> None:
    import shutil

    gone = Path(shutil.copytree(data, tmp_path / "gone"))
    jobs.set_limit(tmp_path / "home", 1)
    (first,) = launch(tmp_path / "home", data, 1)
    waits = jobs.launch(small_spec(gone, name="gone"), tmp_path / "home")
    last = jobs.launch(small_spec(data, name="last"), tmp_path / "home")
    shutil.rmtree(gone)
    end(first)
    assert [job.id for job in jobs.start_next(tmp_path / "home")] == [last.id]
    status = waits.status()
    assert status.state == "failed" and "no such folder of prepared data" in status.error


def test_a_damaged_file_of_the_queue_forgets_no_job_and_starts_none(
    data: Path, tmp_path: Path, starts: list[str]
) -> None:
    jobs.set_limit(tmp_path, 1)
    launched = launch(tmp_path, data, 3)
    for content in ("[1", "[]", '{"limit": "x", "order": 3}', '{"limit": true, "order": []}'):
        (tmp_path / "jobs" / job_queue.FILE).write_text(content)
        assert [job.id for job in jobs.queued(tmp_path)] == [job.id for job in launched[1:]]
        with pytest.raises(InputError, match="set the limit of jobs at once again"):
            jobs.start_next(tmp_path)
        with pytest.raises(InputError, match="it can't be read"):
            jobs.launch(small_spec(data), tmp_path)
        assert len(jobs.all_jobs(tmp_path)) == 3
        shown = {state.name: state for state in source.job_states(tmp_path)}  # with the reason on the next one
        assert "it can't be read" in shown["j1"].error and shown["j2"].error == ""
        assert source.jobs_at_once(tmp_path) is None
    jobs.set_limit(tmp_path, 2)
    assert starts == [launched[0].id, launched[1].id]


def test_a_full_disk_or_another_process_fails_no_waiting_job(
    data: Path, tmp_path: Path, starts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.set_limit(tmp_path, 1)
    first, second, third = launch(tmp_path, data, 3)
    end(first)
    before = Job.write

    def full(job: Job, status: jobs.Status) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Job, "write", full)
    with pytest.raises(InputError, match=r"can't be started \(No space left on device\)"):
        jobs.start_next(tmp_path)
    monkeypatch.setattr(Job, "write", before)
    assert states(tmp_path) == {"j0": "finished", "j1": "queued", "j2": "queued"}
    monkeypatch.setattr("t4r_lab.jobs.job.LOCK_SECONDS", 0.1)
    with second.lock():  # someone cancels it at this moment
        second.write(replace(second.written(), state="canceled"))
        assert not second_started(second)
        assert [job.id for job in jobs.start_next(tmp_path)] == [third.id]
    assert states(tmp_path) == {"j0": "finished", "j1": "canceled", "j2": "starting"}
    assert not second.start_queued() and second.status().state == "canceled"  # the cancel came first


def second_started(job: Job) -> bool:
    """True if it can be started while another process holds its lock."""
    try:
        return job.start_queued()
    except BlockingIOError:
        return False


def test_a_job_is_resumed_in_turn(data: Path, tmp_path: Path, starts: list[str]) -> None:
    jobs.set_limit(tmp_path, 1)
    first, second = launch(tmp_path, data, 2)
    first.write(replace(first.written(), state="stopped", run_id="r1", metrics={"ndcg_at_10": 0.5}))
    jobs.start_next(tmp_path)
    assert states(tmp_path) == {"j0": "stopped", "j1": "starting"}
    jobs.resume(first)
    assert states(tmp_path) == {"j0": "queued", "j1": "starting"} and first.status().run_id == "r1"
    jobs.resume(first)  # it waits: now
    assert states(tmp_path) == {"j0": "starting", "j1": "starting"}
    assert (first.status().run_id, first.status().metrics) == ("r1", {"ndcg_at_10": 0.5})
    end(second)
    with pytest.raises(InputError, match="it has finished"):
        jobs.resume(second)


def test_a_copied_home_and_another_server_start_no_job_by_themselves(
    data: Path, tmp_path: Path, starts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    home, copy = tmp_path / "home", tmp_path / "copy"
    jobs.set_limit(home, 1)
    first, second = launch(home, data, 2)
    end(first)
    shutil.copytree(home, copy)
    assert jobs.start_next(copy) == [] and states(copy)["j1"] == "queued"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9/?token=secret")
    assert jobs.start_next(home) == [] and states(home)["j1"] == "queued"
    assert launch_record._server() == "http://127.0.0.1:9/"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert [job.id for job in jobs.start_next(home)] == [second.id]
    jobs.resume(jobs.find(copy, second.id))  # when asked to
    assert states(copy)["j1"] == "starting"


def test_a_worker_gets_the_processors_of_its_launch_and_nothing_else_from_the_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environments: list[dict[str, str]] = []
    monkeypatch.setattr(
        system, "start_detached", lambda c, lock, log, environment, folder: environments.append(environment)
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    job = jobs.launch(small_spec(data), tmp_path)
    launch_file = job.folder / "job.json"
    content = json.loads(launch_file.read_text())
    content["processors"] |= {"LD_PRELOAD": "evil.so", "PYTHONSTARTUP": "evil.py"}
    launch_file.write_text(json.dumps(content))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    job.write(replace(job.written(), state="stopped"))
    job.resume()
    assert environments[-1]["CUDA_VISIBLE_DEVICES"] == "3"
    assert not environments[-1].keys() & {"LD_PRELOAD", "PYTHONSTARTUP", "OMP_WAIT_POLICY", launch_record.SHARED}
    monkeypatch.setattr(Job, "_worker_runs", lambda each: each.id == job.id)
    jobs.launch(small_spec(data), tmp_path)  # beside the other
    assert (environments[-1]["OMP_WAIT_POLICY"], environments[-1][launch_record.SHARED]) == ("passive", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    jobs.launch(small_spec(data), tmp_path)
    assert environments[-1]["OMP_WAIT_POLICY"] == "active" and launch_record.SHARED not in environments[-1]


def offered(card: JobCard) -> list[str]:
    return [action for action, button in card.buttons.items() if button.layout.display == ""]


def test_the_lab_shows_places_and_starts_whose_turn_it_is(data: Path, tmp_path: Path, starts: list[str]) -> None:
    jobs.set_limit(tmp_path, 1)
    first, second, _ = launch(tmp_path, data, 3)
    shown = {state.name: state for state in source.job_states(tmp_path)}
    assert [shown[name].position for name in ("j0", "j1", "j2")] == [0, 1, 2]
    asked: list[tuple[str, str]] = []
    card = JobCard(shown["j2"], lambda id, action: asked.append((id, action)))
    assert "in the queue: number 2" in card._progress.value and card.buttons["resume"].description == "Start now"
    assert offered(card) == ["resume", "up", "cancel"]
    for action in offered(card):
        card.buttons[action].click()
    assert [action for _, action in asked] == ["resume", "up", "cancel"]
    assert offered(JobCard(shown["j1"], lambda id, action: None)) == ["resume", "down", "cancel"]  # it is the next one
    assert [state.name for state in with_card(shown.values(), set())] == ["j0", "j1", "j2"]  # in the order of the queue
    assert card._curves.layout.display == "none"  # nothing to see yet
    many = [shown["j2"], *(shown["j0"].__class__(str(n), str(n), "finished", launched=1e12) for n in range(20))]
    assert shown["j2"] in with_card(many, set())  # however many have ended since
    end(first)
    source.job_states(tmp_path)
    assert starts[-1] == second.id
    limits: list[int | None] = []
    panel = TrainPanel(lambda id, action: None, on_limit=limits.append)
    panel.limit.value = 2
    panel.show_limit(12)  # set by the command line
    assert (limits, panel.limit.value, panel.limit.label) == ([2], 12, "12")
    panel.limit.value = None
    assert limits == [2, None]


def test_the_command_line_has_it_too(
    data: Path, starts: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Path(os.environ["T4R_LAB_HOME"])

    def shell(*arguments: str) -> dict[str, Any]:
        assert main(["jobs", *arguments, "--json"]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    assert shell("limit") == {"limit": None, "queued": []}
    shell("limit", "1")
    _, second, third = launch(home, data, 3)
    shell("up", third.id)
    assert shell("limit") == {"limit": 1, "queued": [third.id, second.id]}
    shell("down", third.id)
    assert [job.id for job in jobs.queued(home)] == [second.id, third.id]
    assert main(["jobs", "limit", "many"]) == 2
    assert "'many' is not a number; give one, or none for no limit" in capsys.readouterr().err
    assert shell("limit", "none")["queued"] == []


@pytest.mark.slow
def test_the_next_job_starts_when_one_ends_or_is_killed(data: Path, tmp_path: Path) -> None:
    jobs.set_limit(tmp_path, 1)
    first = jobs.launch(small_spec(data, name="first", train__epochs=500), tmp_path)
    second = jobs.launch(small_spec(data, name="second", train__epochs=1), tmp_path)
    third = jobs.launch(small_spec(data, name="third", train__epochs=1), tmp_path)
    wait(lambda: first.status().stage == "training")
    os.kill(first.status().pid, signal.SIGKILL)
    wait(lambda: first.status().state == "lost")
    assert second.status().state == "queued"  # nobody has looked
    source.job_states(tmp_path)
    wait(lambda: third.status().state == "finished")  # started by the end of the second
    assert second.status().state == "finished", second.log()
