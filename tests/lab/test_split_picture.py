"""The picture of the split in the form, before anything is prepared."""

from __future__ import annotations

from typing import Any

import polars as pl

from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.lab.panels.data.prepare_form import PrepareForm
from t4r_lab.lab.state import source
from t4r_lab.lab.state.views import Preview


def clicks(**columns: Any) -> pl.DataFrame:
    session, item = zip(*((s, (s + i) % 5) for s in range(100) for i in range(3)), strict=True)
    return pl.DataFrame({"session_id": session, "item_id": item, **columns})


TIMES = [1.7e9 + 3600.0 * s + i for s in range(100) for i in range(3)]


def previewed(frame: pl.DataFrame, **options: Any) -> Preview:
    return source.preview(RawTable(frame, where="clicks"), options)


def form() -> tuple[PrepareForm, list[Any]]:
    calls: list[Any] = []
    return PrepareForm(calls.append, calls.append, lambda *all: calls.append(all)), calls


def test_the_split_is_drawn_with_its_cuts_counts_and_checks() -> None:
    view, _ = form()
    assert view._split.value == ""
    view.preview = previewed(clicks(timestamp=TIMES))
    shown = view._split.value
    assert shown.count('class="t4r-cut"') == 2
    assert (
        '<th scope="row">train</th><td class="t4r-number">81</td><td class="t4r-number">243</td>' in shown
    )  # 90 % of 90 %
    assert "no session is in two parts" in shown
    assert not view.button.disabled
    view.preview = None
    assert view._split.value == ""


def test_the_picture_is_dimmed_until_the_options_are_split_again() -> None:
    view, calls = form()
    view.preview = previewed(clicks(timestamp=TIMES))
    view.edit("valid_share", 0.5)
    assert calls == [{"valid_share": 0.5}] and "t4r-stale" in view._split._dom_classes
    view.preview = previewed(clicks(timestamp=TIMES), **calls[0])
    assert "t4r-stale" not in view._split._dom_classes
    assert '<th scope="row">valid</th><td class="t4r-number">45</td>' in view._split.value  # half of the 90 before test


def test_a_split_that_would_be_refused_is_said_beside_its_option_before_the_click() -> None:
    view, _ = form()
    view.preview = previewed(clicks(timestamp=TIMES), min_session_length=9)
    assert "no session has 9 events" in view.fields["min_session_length"].error
    assert view.button.disabled and view._split.value == ""
    view.edit("min_session_length", 2)
    assert not view.fields["min_session_length"].error
    view.preview = previewed(clicks(timestamp=TIMES))
    assert not view.button.disabled


def test_events_without_times_have_counts_and_a_note() -> None:
    view, _ = form()
    view.preview = previewed(clicks(), split="leave_one_out")
    assert "Events have no times" in view._split.value and "<svg" not in view._split.value
