"""Notices: what is told of a job, when, and once; and that each leads to its job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from t4r_lab.lab.notice_list import SHOWN, NoticeList
from t4r_lab.lab.state.notices import Notice, Notices
from t4r_lab.lab.state.views import JobState
from tests.support.panels import EVIL

RUNNING = JobState("1", "gru", "running", metrics=("ndcg@5",))


def epoch(number: int, best: bool) -> dict[str, Any]:
    return {"event": "epoch", "epoch": number, "best": best}


def words(notices: list[Notice]) -> list[str]:
    return [notice.words for notice in notices]


def test_each_kind_is_told_once() -> None:
    look = Notices()
    finished, failed = JobState("0", "old", "finished", stage="ndcg@5 0.1"), JobState("2", "bad", "failed", error="no")
    assert look([RUNNING, finished], {}) == []  # it had finished before
    assert words(look([RUNNING, finished, failed], {})) == ["bad has failed: no"]
    assert look([RUNNING, finished, failed], {}) == []
    assert words(look([RUNNING], {"1": [{"event": "caution", "words": "worse than popularity"}]})) == [
        "gru: worse than popularity"
    ]
    assert look([RUNNING], {"1": [epoch(1, True), *(epoch(n, False) for n in range(2, 6))]}) == []
    assert words(look([RUNNING], {"1": [epoch(6, False)]})) == ["gru: ndcg@5 was best in epoch 1, 5 epochs ago"]
    assert look([RUNNING], {"1": [epoch(7, False), epoch(8, True)]}) == []
    ended = replace(RUNNING, state="finished", stage="ndcg@5 0.317")
    assert words(look([ended], {})) == ["gru has finished: ndcg@5 0.317"]
    for state in ("paused", "stopped", "canceled", "queued"):  # what a person has asked for is no news
        assert look([replace(RUNNING, state=state)], {}) == []


def test_a_resumed_job_may_end_in_the_same_way_again() -> None:
    look, lost = Notices(), replace(RUNNING, state="lost", error="the worker is gone")
    keys = [notice.key for states in (RUNNING, lost, RUNNING, lost) for notice in look([states], {})]
    assert len(keys) == len(set(keys)) == 2


def test_the_patience_is_a_number_of_epochs() -> None:
    look = Notices()
    look.patience = 2
    look([RUNNING], {"1": [epoch(1, True)]})
    assert look([RUNNING], {"1": [epoch(2, False)]}) == []
    assert words(look([RUNNING], {"1": [epoch(3, False)]})) == ["gru: ndcg@5 was best in epoch 1, 2 epochs ago"]
    assert look([RUNNING], {"1": [epoch(4, False)]}) == []


def test_the_newest_are_shown_and_lead_to_their_jobs() -> None:
    opened: list[str] = []
    shown = NoticeList(opened.append)
    shown.add([Notice(str(n), "finished", f"{EVIL} {n}", str(n)) for n in range(SHOWN + 2)])
    assert [notice.job for notice in shown.notices] == ["4", "3", "2"]
    texts = [row.children[0].value for row in shown.children]
    assert all("<script" not in text and EVIL not in text for text in texts)
    kept = shown.children[0]
    shown.children[1].children[2].click()  # Dismiss
    assert [notice.job for notice in shown.notices] == ["4", "2"] and shown.children[0] is kept
    shown.children[0].children[1].click()  # Show
    assert opened == ["4"] and [notice.job for notice in shown.notices] == ["2"]
