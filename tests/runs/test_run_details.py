"""What the page of a run shows: people's words, related runs, environment, log; and what is lost is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from t4r_lab import tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import silent
from t4r_lab.lab.panels.runs.run_head import Edit, RunHead, tags_of, tags_text
from t4r_lab.lab.panels.runs.run_page import RunBody, RunPageController
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.source import runs as summaries
from t4r_lab.runs import run as runner
from t4r_lab.runs.recorded.run_details import run_details
from tests.support.panels import EVIL, until
from tests.support.small import small_data, small_spec


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with four runs: a first one, the same with another seed, a wider one, and one on other data."""
    root = tmp_path_factory.mktemp("runs")
    shop, other = small_data(root / "shop"), small_data(root / "other", 300)
    first = small_spec(shop, name="first", train__epochs=1)
    for spec in (
        first,
        first.override({"name": "again", "train.seed": 1}),
        first.override({"name": "wide", "model.body.d_model": 16, "train.seed": 1}),
        small_spec(other, name="elsewhere", train__epochs=1),
    ):
        runner.run(spec, home=root / "home", on_report=silent)
    return root / "home"


def test_a_run_is_shown_beside_the_runs_that_it_is_related_to(home: Path) -> None:
    first, again, wide, elsewhere = (run_details(name, home=home) for name in ("first", "again", "wide", "elsewhere"))
    assert first.closest is None and [row.name for row in first.repeats.values()] == ["again"]
    assert again.closest is not None and again.closest.name == "first"
    assert again.differing == {"train.seed": ("0", "1")} and [row.name for row in again.repeats.values()] == ["first"]
    assert wide.closest is not None and wide.closest.name == "again"  # one knob apart, the first is two
    assert wide.differing == {"model.body.d_model": ("8", "16")} and not wide.repeats
    assert elsewhere.closest is None and not elsewhere.repeats
    assert wide.spec is not None and wide.spec.model.body.d_model == 16
    assert "torch==" in wide.environment and wide.environment.startswith("# Python 3.")
    assert {finding.level for finding in wide.checks} >= {"ok"}
    assert (wide.study, wide.lost) == ("", [])


def test_name_notes_and_tags_are_written_whole_or_not_at_all(home: Path) -> None:
    row = tracking.find(home, "elsewhere")
    tracking.annotate(home, row, name=" moved ", notes="what it showed", tags={"team": "search", "idea": "x"})
    tracking.annotate(home, tracking.find(home, "moved"), tags={"team": "ranking", "idea": None, "lost": None})
    details = run_details("moved", home=home)
    assert (details.notes, details.tags) == ("what it showed", {"team": "ranking"})
    assert details.row.run_id == row.run_id and details.row.digest == row.digest
    for wrong, words in (
        ({"name": "first"}, "another run is called 'first'"),
        ({"name": " "}, "is not a name"),
        ({"name": "a\nb"}, "is not a name"),
        ({"name": "n" * 201}, "give 1 to 200"),
        ({"tags": {"mlflow.user": "me"}, "notes": "lost"}, "can't be the name of a tag"),
        ({"tags": {"t4r.host": "me"}}, "can't be the name of a tag"),
        ({"tags": {"a:b": "1"}}, "can't be the name of a tag"),
        ({"notes": "n" * 5001}, "5,001 characters are too many"),
        ({"notes": "mine", "notes_before": "before", "tags": {"lost": "1"}}, "someone else has changed them"),
    ):
        with pytest.raises(InputError, match=words):
            tracking.annotate(home, tracking.find(home, "moved"), **wrong)
    assert run_details("moved", home=home) == details
    tracking.annotate(home, tracking.find(home, "moved"), name="elsewhere", tags={"team": None})


def test_what_is_lost_is_named_and_the_rest_is_shown(home: Path, tmp_path: Path) -> None:
    import shutil

    moved = shutil.copytree(home, tmp_path / "home")
    row = tracking.find(moved, "wide")
    shutil.rmtree(tracking.artifacts(moved, row.run_id))
    details = run_details("wide", home=moved)
    assert (details.lost, details.spec, details.environment, details.checks) == (["spec.yaml"], None, "", ())
    assert details.differing == {"model.body.d_model": ("8", "16")}


def test_the_page_shows_and_saves(home: Path) -> None:
    opened: list[str] = []
    changes: list[int] = []
    background = Background()
    page = RunPageController(home, background, opened.append, lambda: changes.append(1))
    try:
        by_name = {run.name: run for run in summaries(home)}
        page.choose(by_name["wide"])
        until(lambda: page.body.details is not None)
        assert page.head.layout.display == "" and page.head.name.value == "wide"
        text = "".join(child.value for child in page.body.sections["Spec"].fields.children)
        assert "Changed since again" in text and "model.body.d_model" in text
        assert "model.body.d_model" in text and "<td>8</td><td>16</td>" in text
        (button,) = page.body.sections["Origin"].fields.children[0].children
        button.click()
        assert opened == [by_name["again"].run_id]
        assert "split" in page.body.sections["Data"].fields.children[0].value
        assert "torch" in page.body.sections["Environment"].fields.children[0].value
        page.head.notes.value = f"better {EVIL}"
        until(lambda: changes)
        assert run_details("wide", home=home).notes == f"better {EVIL}"
        page.head.tags.value = "no colon"
        until(lambda: page.head.error)
        assert "write key: value" in page.head.error and changes == [1]
        page.head.tags.value = ""
        assert page.head.error == ""
        page.head.name.value = "first"
        until(lambda: "another run is called" in page.head.error)
        page.head.tags.value = 'team: search, "seen: Mon, Tue"'  # is saved though the name is not
        until(lambda: len(changes) == 2)
        assert run_details("wide", home=home).tags == {"seen": "Mon, Tue", "team": "search"}
        page.choose(None)
        assert page.head.layout.display == "none" and page.body.layout.display == "none"
    finally:
        background.close()


def test_edits_overwrite_neither_each_other_nor_those_of_another_program(home: Path) -> None:
    background = Background()
    page = RunPageController(home, background, lambda run_id: None, lambda: None)
    by_name = {run.name: run for run in summaries(home)}
    again = tracking.find(home, "again")
    before = run_details("first", home=home).notes

    def notes() -> str:
        return run_details("again", home=home).notes

    try:
        page.choose(by_name["again"])
        until(lambda: page.body.details is not None)
        tracking.annotate(home, again, tags={"theirs": "1"})  # by another program
        with background.lock:  # nothing is written before the lock is given back
            page.head.notes.value = "one"
            page.head.notes.value = "two"
            page.head.tags.value = "ours: 2"
        until(lambda: run_details("again", home=home).tags == {"ours": "2", "theirs": "1"})
        assert notes() == "two"
        with background.lock:  # read before the edit is written, shown after it: the edit stays in view
            page._read(again.run_id)
            page.head.notes.value = "three"
        until(lambda: notes() == "three")
        until(lambda: page.head.tags.value == "ours: 2, theirs: 1")
        assert page.head.notes.value == "three"
        tracking.annotate(home, again, notes="theirs")
        page.head.notes.value = "four"
        until(lambda: "someone else has changed them" in page.head.error)
        page._read(again.run_id)
        page.head.name.value = "renamed"
        until(lambda: run_details(again.run_id, home=home).row.name == "renamed")
        assert (page.head.notes.value, run_details("renamed", home=home).notes) == ("four", "theirs")
        page.choose(by_name["first"])  # the edit that wasn't saved isn't written to another run
        until(lambda: page.head.name.value == "first")
        assert page.head.notes.value == before and page.head.error == ""
        assert run_details("first", home=home).notes == before
    finally:
        background.close()
        tracking.annotate(home, again, name="again", notes="", tags={"ours": None, "theirs": None})


def test_tags_are_shown_as_they_are_typed_and_read_back_the_same(home: Path) -> None:
    for tags in ({}, {"a": "1"}, {"a": "", "b": "x, y: z"}, {"link": "https://a/b", "said": 'a "good" one'}):
        assert tags_of(tags_text(tags)) == tags
    assert tags_of("a: 1, b:two: three,") == {"a": "1", "b": "two: three"}
    for wrong, words in (("a", "has no colon"), ('"a: 1', "a double quote has no partner")):
        with pytest.raises(InputError, match=words):
            tags_of(wrong)
    written = {"a": "two\nlines", "b:c": "1", "mlflow.user": "me", "ours": "1"}
    assert tracking.user_tags(written) == {"ours": "1"}
    saved: list[Edit] = []
    head = RunHead(saved.append)
    head.show("id", "run", EVIL, {"a": "1"})
    assert saved == [] and head.tags.value == "a: 1"
    head.tags.value = "a: 2"
    assert saved == [Edit("id", "tags", "a: 1", "a: 2")]


def test_texts_of_people_are_shown_as_text(home: Path) -> None:
    row = tracking.find(home, "first")
    tracking.annotate(home, row, notes=EVIL, tags={"a": EVIL})
    body = RunBody(lambda run_id: None)
    body.details = run_details("first", home=home)
    shown = [
        child.value
        for section in body.sections.values()
        for child in section.fields.children
        if hasattr(child, "value")
    ]
    assert not [text for text in shown if "<script" in text or EVIL in text]
