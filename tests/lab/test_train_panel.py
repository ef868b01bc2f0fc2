"""The Train panel without a browser: curves and their smoothing, logs, many jobs, and what a look at them costs."""

from __future__ import annotations

import io
import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np
import pytest

from t4r_lab import jobs
from t4r_lab.base.files import append, write_json
from t4r_lab.lab.app import Lab
from t4r_lab.lab.panels.train.job_card import JobCard, progress
from t4r_lab.lab.panels.train.train_controller import BUSY, IDLE
from t4r_lab.lab.panels.train.train_panel import SHOWN, TrainPanel, with_card
from t4r_lab.lab.parts.curves import Curves, smoothed
from t4r_lab.lab.state import source
from t4r_lab.lab.state.views import JobState, News
from tests.support.panels import until
from tests.support.small import small_spec
from tests.support.timing import at_most

EVIL = "<img src=x onerror=alert(1)>"
EPOCH = {"event": "epoch", "epoch": 1, "train_loss": 2.5, "valid": {"ndcg@5": 0.2}, "losses": {}}


def state(number: int, **changes: Any) -> JobState:
    values = {"name": f"job {number}", "state": "finished", "stage": "ndcg@5 0.200", "launched": 1e9 + number} | changes
    return JobState(id=f"{number:03d}", what="gru · clm", metrics=("ndcg@5",), epochs=2, **values)


# ── curves ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.95])
def test_smoothing_is_the_weighted_mean_of_what_came_before(weight: float) -> None:
    values = np.random.default_rng(0).normal(size=30)
    curve = smoothed(list(values), weight)
    for last in range(30):
        weights = weight ** np.arange(last, -1, -1.0)
        assert curve[last] == pytest.approx(np.average(values[: last + 1], weights=weights))


def test_the_words_follow_the_smoothing() -> None:
    curves = Curves(title="loss")
    curves.extend("training", [(1, 4.0), (2, 2.0)])
    assert curves.alternative == "loss: training 2.00 at epoch 2, lowest 2.00"
    curves.smoothing = 0.5
    assert curves.alternative == "loss: training 2.00 at epoch 2, smoothed 2.67, lowest 2.00"


def test_one_control_smooths_every_card_and_those_to_come() -> None:
    panel = TrainPanel(lambda id, action: None)
    panel.show([state(1)], {})
    panel.smoothing.value = 0.8
    panel.show([state(1), state(2)], {})
    assert {curves.smoothing for card in panel.cards.values() for curves in (card.loss, *card.metrics.values())} == {
        0.8
    }
    assert panel.smoothing.description == "smoothing"
    assert panel.smoothing.tooltip


def test_what_came_since_the_last_look_is_one_message_a_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    card = JobCard(state(1, state="running"), lambda id, action: None)
    sent: list[w.Widget] = []
    monkeypatch.setattr(Curves, "send_state", lambda self, key=None: sent.append(self) if key else None)
    events = [
        {"event": "baseline", "name": "popularity", "metrics": {"ndcg@5": 0.1}},
        {"event": "baseline", "name": "successors", "metrics": {"ndcg@5": 0.15}},
        *(
            {"event": "progress", "stage": "training", "done": i, "total": 9, "figures": {"loss": 3.0}}
            for i in range(9)
        ),
        {**EPOCH, "losses": {"next_item": 1.5, "purchase": 0.5}},
    ]
    card.consume(events)
    assert sorted(curves.title for curves in sent) == ["training loss", "validation ndcg@5"]
    assert list(card.loss.series) == ["training", "next item", "purchase"]


def test_jobs_are_looked_at_no_more_than_five_times_a_second() -> None:
    assert min(BUSY, IDLE) >= 0.2


# ── log ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_log_is_shown_on_demand_and_escaped() -> None:
    looks: list[int] = []
    card = JobCard(state(1, name=EVIL), lambda id, action: None, lambda: looks.append(1))
    assert not card.log_opened
    card.log_button.click()
    assert card.log_opened
    assert looks == [1]
    assert "nothing yet" in card._log.value
    card.show(card.state, News(log=f"12:00:00 {EVIL}"))
    assert "12:00:00 &lt;img" in card._log.value
    assert "<img" not in card._log.value
    card.log_button.click()
    assert not card.log_opened


def test_of_a_log_only_its_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = jobs.Job(tmp_path)
    assert job.log() == ""
    with (tmp_path / "log.txt").open("wb") as file:
        file.truncate(10**9)  # a hole, which takes no space
        file.seek(0, 2)
        file.write("".join(f"\nline {i} é" for i in range(100)).encode() + b"\xff")
    tail = job.log(5).splitlines()
    assert tail[:4] == [f"line {i} é" for i in range(95, 99)]
    (tmp_path / "log.txt").write_text("x" * 10**6)  # one line without an end
    assert len(job.log()) == jobs.LOG_BYTES


def test_a_silent_job_is_told_as_such() -> None:
    running = {"state": "running", "stage": "training", "eta": 5.0}
    assert "5 s left" in progress(state(1, **running, silent=3.0))
    assert "no report for 40 s" in progress(state(1, **running, silent=40.0))


# ── many jobs ───────────────────────────────────────────────────────────────────────────────────


def test_the_running_come_first_then_the_newest() -> None:
    many = [state(i, state="running" if i in (0, 1) else "finished") for i in range(50)]
    chosen = [job.id for job in with_card(many, set())]
    assert chosen == ["001", "000", *(f"{i:03d}" for i in range(49, 49 - SHOWN + 2, -1))]
    assert {job.id for job in with_card(many, {"020"})} == {*chosen, "020"}


def test_further_jobs_are_rows_that_can_be_ticked() -> None:
    looks: list[int] = []
    panel = TrainPanel(lambda id, action: None, lambda: looks.append(1))
    many = [state(i, name=EVIL if i == 3 else f"job {i}", state="stopped" if i < 3 else "finished") for i in range(50)]
    panel.show(many, {})
    assert len(panel.cards) == SHOWN
    assert len(panel.table.rows) == 50 - SHOWN
    assert panel.further.summary == f"{50 - SHOWN - 3} finished · 3 stopped"
    assert not panel.further.opened
    assert EVIL in [row[0]["text"] for row in panel.table.rows]  # the table sets it as text, never as markup
    panel.table.selected = ["002"]
    assert looks
    panel.show(many, {"002": News([EPOCH], 10)})
    assert panel.cards["002"].metrics["ndcg@5"].series == {"validation": [[1.0, 0.2]]}
    assert panel.cards["002"].read == 10  # the next look goes on from there
    assert panel.cards["002"].buttons["resume"].layout.display == ""
    panel.table.selected = []
    panel.show(many, {})
    assert "002" not in panel.cards
    panel.show(many[:5], {})
    assert panel.further.layout.display == "none"


def test_fifty_running_jobs_are_shown_at_once_and_cost_nothing_while_nothing_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    panel = TrainPanel(lambda id, action: None)
    many = [state(i, state="running", stage="training", done=i, total=100, eta=9.0) for i in range(50)]
    news = {job.id: News([EPOCH] * 20, 10) for job in many}
    panel.show(many, news)
    sent: list[w.Widget] = []
    monkeypatch.setattr(w.Widget, "send_state", lambda self, key=None: sent.append(self) if key else None)
    with at_most(0.15):
        panel.show(many, {job.id: News(read=10) for job in many})
    assert sent == []
    assert panel.running == 50
    assert [cell["text"] for cell in panel.table.rows[0]][2] == f"training {50 - SHOWN - 1} %"


@pytest.fixture
def fifty(tmp_path: Path) -> Iterator[Path]:
    """A home with fifty jobs: two that work, the others finished."""
    with ExitStack() as held:
        for i in range(50):
            folder = tmp_path / "jobs" / f"20260101-000000-{i:04x}"
            folder.mkdir(parents=True)
            job = jobs.Job(folder)
            (folder / "spec.json").write_text(small_spec(tmp_path, name=f"job {i}").to_json())
            (folder / "log.txt").write_text(f"log of {i} {EVIL}\n")
            append(folder / jobs.EVENTS, json.dumps(EPOCH) + "\n")
            job.write(jobs.Status(job.id, f"job {i}", "finished", launched=1e9 + i, monitor="ndcg@5", epochs=9))
            if i >= 48:
                held.enter_context(job.lock())
                job.write(jobs.Status(job.id, f"job {i}", "running", launched=1e9 + i, monitor="ndcg@5", epochs=9))
        yield tmp_path


@contextmanager
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often this thread opens files of each name; a watch that is closed may still be at its last look."""
    names: Counter[str] = Counter()
    plain, thread = io.open, threading.get_ident()

    def counted(file: Any, *args: Any, **named: Any) -> Any:
        if threading.get_ident() == thread:
            names[Path(file).name] += 1
        return plain(file, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(io, "open", counted)
        yield names


def test_a_look_at_fifty_jobs_reads_a_small_file_of_each_and_what_is_new(
    fifty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = source.job_states(fifty)
    assert [s.what for s in states] == ["gru · clm"] * 50
    with opened(monkeypatch) as names:
        assert [s.id for s in source.job_states(fifty)] == [s.id for s in states]
    # a job that works is read once more than its lock: what was asked of it
    assert names == {"status.json": 50, "lock": 2, "control.json": 2}
    job = jobs.Job(fifty / "jobs" / states[0].id)
    events, read = job.follow()
    assert [e["epoch"] for e in events] == [1]
    append(job.folder / jobs.EVENTS, json.dumps({**EPOCH, "epoch": 2}) + '\n{"torn')
    assert [e["epoch"] for e in job.follow(read)[0]] == [2]
    assert job.follow(job.follow(read)[1]) == ([], job.follow(read)[1])


def test_the_lab_reads_events_of_those_that_work_and_logs_of_those_that_are_open(
    fifty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(fifty)
    try:
        until(lambda: len(lab.jobs.cards) == SHOWN and lab.data.summary is not None)
        lab.background.close()  # from here on it is asked by hand
        ended = next(card for card in lab.jobs.cards.values() if not card.state.running)
        with opened(monkeypatch) as names:
            lab.training.show(lab.training.look())
        assert (names["events.jsonl"], names["log.txt"]) == (2, 0)
        ended.log_button.click()
        with opened(monkeypatch) as names:
            lab.training.show(lab.training.look())
        assert (names["events.jsonl"], names["log.txt"]) == (3, 1)
        assert "&lt;img" in ended._log.value
    finally:
        lab.close()


# ── faults under a watcher ──────────────────────────────────────────────────────────────────────


def test_a_folder_deleted_under_the_watching_lab_takes_its_card_along(fifty: Path) -> None:
    lab = Lab(fifty)
    try:
        until(lambda: len(lab.jobs.cards) == SHOWN)
        gone = next(iter(lab.jobs.cards))
        shutil.rmtree(fifty / "jobs" / gone)
        until(lambda: gone not in lab.jobs.cards)
        assert lab.jobs.error == ""
        assert len(lab.jobs.cards) == SHOWN  # the next one has taken its place
        lab.training.ask(gone, "stop")
        until(lambda: "no such job" in lab.jobs._message.value)
    finally:
        lab.close()


def test_jobs_of_a_later_version_are_shown_in_words(fifty: Path) -> None:
    folders = sorted((fifty / "jobs").iterdir(), reverse=True)
    for folder in folders[1:3]:  # one that works, one that has finished
        content = json.loads((folder / "spec.json").read_text())
        (folder / "spec.json").write_text(json.dumps({**content, "quantum": True}))
        write_json(folder / "job.json", {"version": "99.0"})
    (folders[3] / "spec.json").write_text("{half")
    states = {s.id: s for s in source.job_states(fifty)}
    working, finished = (states[folder.name] for folder in folders[1:3])
    assert (working.state, working.error) == ("running", "")  # its progress can be watched all the same
    assert finished.state == "finished"
    assert "of t4r-lab 99.0" in finished.error
    assert "use that version" in finished.error
    assert "remove the folder" in states[folders[3].name].error
