"""What the page of a run shows: people's words, related runs, environment, log; and what is lost is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from t4r_lab import tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import silent
from t4r_lab.lab.panels.runs.run_page import RunBody, RunHead, RunPageController, tags_of
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
    assert first.closest is None and [row.name for row in first.repeats] == ["again"]
    assert again.closest is not None and again.closest.name == "first"
    assert again.differing == {"train.seed": ("0", "1")} and [row.name for row in again.repeats] == ["first"]
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
    tracking.annotate(home, tracking.find(home, "moved"), tags={"team": "ranking"})
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
        ({"notes": "n" * 5001}, "5,001 characters are too many"),
    ):
        with pytest.raises(InputError, match=words):
            tracking.annotate(home, tracking.find(home, "moved"), **wrong)  # type: ignore[arg-type]
    assert run_details("moved", home=home) == details
    tracking.annotate(home, tracking.find(home, "moved"), name="elsewhere", tags={})


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
        until(lambda: len(changes) == 2)
        page.head.name.value = "first"
        until(lambda: "another run is called" in page.head.error)
        page.choose(None)
        assert page.head.layout.display == "none" and page.body.layout.display == "none"
    finally:
        background.close()


def test_tags_are_read_as_typed_and_texts_are_shown_as_text(home: Path) -> None:
    assert tags_of("a: 1, b:two: three,") == {"a": "1", "b": "two: three"}
    with pytest.raises(InputError, match="has no colon"):
        tags_of("a")
    saved: list[tuple[str, str, str]] = []
    head = RunHead(lambda *texts: saved.append(texts))
    head.show("run", EVIL, {"a": "1"})
    assert saved == [] and head.tags.value == "a: 1"
    body = RunBody(lambda run_id: None)
    body.details = run_details("first", home=home)
    shown = [
        child.value
        for section in body.sections.values()
        for child in section.fields.children
        if hasattr(child, "value")
    ]
    assert not [text for text in shown if "<script" in text or EVIL in text]
