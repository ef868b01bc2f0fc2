"""The Data panel without a browser: a frame or a file is read, its columns corrected, prepared, and looked at."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Progress
from t4r_lab.data.pipeline.inspection import ColumnReading, inspect
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.split_checks import Finding
from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.lab.app import Lab
from t4r_lab.lab.panels.data.data_panel import DataPanel
from t4r_lab.lab.panels.data.preparation_panel import PrepareController
from t4r_lab.lab.panels.data.prepare_form import BY_COLUMN, ELSEWHERE, FIRST, PrepareForm
from t4r_lab.lab.panels.data.profile_page import profile
from t4r_lab.lab.panels.data.role_table import ROLES, ColumnRoles
from t4r_lab.lab.parts import plots
from t4r_lab.lab.parts.text import escape
from t4r_lab.lab.state import source
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.views import DataSummary, Preview, Raw
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec.preparation import READING
from tests.support.panels import EVIL, until
from tests.support.small import small_data
from tests.support.timing import at_most


def events(sessions: int = 60) -> pl.DataFrame:
    """Sessions with a column of every scope and kind."""
    rows = [(s, i) for s in range(sessions) for i in range(4)]
    item = [(s + 3 * i) % 7 for s, i in rows]
    return pl.DataFrame(
        {
            "visit": [s for s, _ in rows],
            "thing": [EVIL if k == 3 else f"thing {k}" for k in item],
            "timestamp": [1e9 + 3600 * s + i for s, i in rows],
            "user": [s // 2 for s, _ in rows],
            "brand": [f"brand {k % 2}" for k in item],
            "device": [("phone", "desk")[s % 2] for s, _ in rows],
            "seconds": [float(s + i) for s, i in rows],
            "bought": [i % 2 for _, i in rows],
        }
    )


ROLES_BY_NAME = {"visit": "feature", "thing": "feature", "timestamp": "time", "user": "user"}


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    names: dict[str, Any] = {
        "clicks": events(),
        "shop": events().to_pandas(),
        "x": 3,
        "_": events(),
        "empty": pl.DataFrame(),
    }
    monkeypatch.setattr(source, "namespace", lambda: names)
    return names


@pytest.fixture
def lab(tmp_path: Path, notebook: dict[str, Any]) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    try:
        until(lambda: lab.data.summary is not None and not lab.runs.loading)
        yield lab
    finally:
        lab.close()


def form(preview: Preview | None = None) -> tuple[PrepareForm, list[Any]]:
    calls: list[Any] = []
    view = PrepareForm(lambda raw: calls.append(raw), lambda o: calls.append(o), lambda *all: calls.append(all))
    view.preview = preview
    return view, calls


def previewed(frame: pl.DataFrame, **options: Any) -> Preview:
    return source.preview(RawTable(frame, where="clicks"), options)


# ── columns as they would be prepared ───────────────────────────────────────────────────────────


def test_columns_are_read_as_prepare_reads_them(tmp_path: Path) -> None:
    options = PrepareOptions(session="visit", item="thing", targets=["bought"])
    readings, refusal = inspect(RawTable(events()), options)
    assert refusal is None
    schema = prepare(events(), tmp_path / "d", options).schema
    for reading in readings:
        if reading.role in ("feature", "label"):
            column = schema[reading.name]
            assert (reading.kind, reading.of) == (column.kind, column.scope), reading
    assert {r.name: (r.role, r.of) for r in readings} == {
        "visit": ("session", ""),
        "thing": ("item", ""),
        "timestamp": ("time", ""),
        "user": ("user", ""),
        "brand": ("feature", "item"),
        "device": ("feature", "session"),
        "seconds": ("feature", "event"),
        "bought": ("label", "event"),
    }


def test_what_is_missing_is_said_and_the_rest_is_read_all_the_same() -> None:
    readings, refusal = inspect(RawTable(events()), PrepareOptions())
    assert "no item column" in str(refusal)
    assert {r.name: r.role for r in readings} | ROLES_BY_NAME == {r.name: r.role for r in readings}
    assert {r.name: r.kind for r in readings if r.role == "feature"}["seconds"] == "continuous"
    text = events().with_columns(pl.int_range(pl.len()).cast(pl.String).alias("note"))
    note = inspect(RawTable(text), PrepareOptions(session="visit", item="thing"))[0][-1]
    assert (note.role, note.note) == ("ignore", "left out: another value on nearly every row")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pl.Series("thing", ["a", None] * 120), "column 'thing' has no item"),
        (pl.Series("visit", [0.5, 1.0] * 120), "session column 'visit' holds decimal numbers"),
        (pl.Series("timestamp", ["soon", "1e9"] * 120), "timestamp 'soon' is not a time"),
    ],
)
def test_what_prepare_would_refuse_is_said_in_the_preview(tmp_path: Path, column: pl.Series, words: str) -> None:
    options = PrepareOptions(session="visit", item="thing")
    readings, refusal = inspect(RawTable(events().with_columns(column), where="clicks"), options)
    assert refusal is not None and refusal.columns == (column.name,)
    assert words in str(refusal) and [r.name for r in readings] == events().columns
    with pytest.raises(InputError, match=re.escape(words)):
        prepare(events().with_columns(column), tmp_path / "d", options)


def test_a_column_given_another_part_leaves_the_one_its_name_says() -> None:
    for options in ({"targets": ["user"]}, {"ignore": ["user"]}, {"title": "user"}):
        inferred = dict.fromkeys(("session", "item"), "") | {"session": "visit", "item": "thing"}
        readings, refusal = inspect(RawTable(events()), PrepareOptions.parse({**inferred, **options}))
        assert refusal is None
        assert {r.role for r in readings if r.name == "user"} == {"label", "ignore", "title"} & {
            {"targets": "label", "ignore": "ignore", "title": "title"}[next(iter(options))]
        }


# ── the form ────────────────────────────────────────────────────────────────────────────────────


def test_every_option_has_a_field_or_its_place_elsewhere() -> None:
    view, _ = form()
    assert {*view.fields, *BY_COLUMN, *ELSEWHERE} == set(PrepareOptions.model_fields)
    for path, field in view.fields.items():
        assert field.help == PrepareOptions.model_fields[path].description
        assert field.control.description and field.control.tooltip


def test_every_column_has_a_row_with_labels_and_evil_names_are_text() -> None:
    view, _ = form(previewed(events().rename({"brand": EVIL})))
    assert list(view.columns.rows) == [c if c != "brand" else EVIL for c in events().columns]
    row = view.columns.rows[EVIL]
    assert row.role.description == f"role of {EVIL}"
    assert tuple(row.role.options) == ROLES
    html = view._table.value + "".join(r._name.value + r._note.value for r in view.columns.rows.values())
    assert "<img" not in html and "&lt;img" in html
    assert "caption" in view._table.value and 'scope="col"' in view._table.value


def test_roles_and_kinds_become_options() -> None:
    view, calls = form(previewed(events()))
    rows = view.columns.rows
    rows["visit"].role.value = "session"
    rows["thing"].role.value = "item"
    rows["bought"].role.value = "label"
    rows["seconds"].kind.value = "categorical"
    view.fields["min_session_length"].control.value = 3
    assert (
        view.options
        == calls[-1]
        == {
            "session": "visit",
            "item": "thing",
            "targets": ["bought"],
            "kinds": {"seconds": "categorical"},
            "min_session_length": 3,
        }
    )
    rows["bought"].role.value = "ignore"
    rows["thing"].role.value = "title"
    assert {k: view.options.get(k) for k in ("item", "title", "targets", "ignore")} == {
        "item": None,
        "title": "thing",
        "targets": None,
        "ignore": ["bought"],
    }


def test_what_a_column_depends_on_can_be_corrected() -> None:
    view, calls = form(previewed(events(), item="thing", session="visit", targets=["bought"]))
    rows = view.columns.rows
    assert rows["brand"].scope.description == "what brand depends on"
    assert {name: row.scope.value for name, row in rows.items()} == {
        "visit": "",
        "thing": "",
        "timestamp": "",
        "user": "",
        "brand": "item",
        "device": "session",
        "seconds": "event",
        "bought": "event",
    }
    assert [value for _, value in rows["bought"].scope.options] == ["event", "session"]  # a label is never an item's
    assert rows["visit"].scope.disabled and not rows["brand"].scope.disabled
    assert not calls
    rows["seconds"].scope.value, rows["brand"].scope.value = "item", "event"
    assert view.options == calls[-1] == {"scopes": {"seconds": "item", "brand": "event"}}
    chosen = {"item": "thing", "session": "visit", **view.options}
    view.preview = previewed(events(), **chosen)
    assert (rows["seconds"].scope.value, rows["brand"].scope.value) == ("item", "event")
    assert "events differ; the first value counts" in rows["seconds"]._note.value
    assert rows["brand"]._note.layout.display == "none"
    rows["seconds"].role.value = "label"  # as a label it is found anew
    assert view.options == {"scopes": {"brand": "event"}, "targets": ["seconds"]}
    view.preview = previewed(events(), scopes={"brand": "event"})  # nothing is found without an item column
    assert (rows["brand"].scope.value, rows["device"].scope.value) == ("event", "")


def test_a_column_with_a_telling_name_is_no_plain_feature() -> None:
    view, calls = form(previewed(events()))
    row = view.columns.rows["user"]
    row.role.value = "feature"
    assert row.role.value == "user" and not calls
    assert "its name says user" in row._note.value


def test_errors_stand_beside_what_they_name(tmp_path: Path) -> None:
    view, _ = form(previewed(events()))
    view.fields["valid_days"].control.value = "-1"
    assert "-1" in view.fields["valid_days"].error and view.refusal is None
    view.fields["valid_days"].control.value = ""
    assert not any(field.error for field in view.fields.values()) and view.options == {}
    with pytest.raises(InputError) as short:
        prepare(events(), tmp_path / "out", PrepareOptions(item="thing", session="visit", min_session_length=99))
    view.refuse(short.value)
    assert view.fields["min_session_length"].error.startswith("no session has 99 events or more; ")
    assert view.refusal is None
    remedy = "fix it, or use --kinds seconds=categorical"
    view.refuse(InputError("clicks, row 3", "'x' in column 'seconds' is not a number: ever", remedy, ["seconds"]))
    assert "“kinds”" in view.columns.rows["seconds"]._note.value
    assert "row 3" in view._message.value and 'role="alert"' in view._message.value
    assert "Error" not in view.columns.rows["brand"]._note.value
    view.refuse(None)
    assert "Error" not in view.columns.rows["seconds"]._note.value


@pytest.mark.parametrize("name", ["it's", 'a "b"', "x: y; z"])
def test_what_the_data_refuse_stands_beside_its_column_whatever_it_is_called(name: str) -> None:
    view, _ = form(previewed(events().rename({"thing": name}).with_columns(pl.lit(0.5).alias(name)), item=name))
    marked = [column for column, row in view.columns.rows.items() if "Error" in row._note.value]
    assert marked == [name] and "decimal numbers" in view.columns.rows[name]._note.value


def test_options_that_are_seldom_wanted_are_folded_until_they_are_what_is_wrong() -> None:
    view, _ = form(previewed(events(), item="thing", session="visit"))
    assert not view._more.opened and not view._reading.opened
    assert {*READING, *FIRST} <= set(view.fields) and view.fields["split"] in view._choices.children
    view.fields["valid_days"].control.value = "-1"
    assert view._more.opened and not view._reading.opened
    view.refuse(InputError("clicks.csv", "has no header", "name its columns with --columns a,b,c"))
    assert view._reading.opened


def test_nothing_can_be_prepared_before_the_columns_fit() -> None:
    view, _ = form()
    assert view.button.disabled and "Choose a data frame" in view._message.value
    view.preview = previewed(events())
    assert view.button.disabled and "no item column" in view._message.value
    view.preview = previewed(events(), item="thing", session="visit")
    assert not view.button.disabled
    view.doing, view.progress = "Preparing clicks: splitting …", Progress("splitting", 2, 5, "stages")
    assert view.button.disabled and 'aria-valuenow="40"' in view._message.value


def test_names_in_use_are_said_to_be_replaced() -> None:
    view, _ = form()
    view.taken, view.name.value = ["shop"], "shop"
    assert "replaces" in view._name_note.value
    view.name.value = "shop 2"
    assert view._name_note.value == ""


def test_many_columns_are_shown_in_part() -> None:
    roles = ColumnRoles(lambda *a: None, lambda *a: None)
    roles.show(tuple(ColumnReading(f"c{i}", "feature", "continuous") for i in range(300)))
    assert len(roles.rows) == 60 and "240 more columns" in roles.children[-1].value


def test_another_source_keeps_what_was_typed_but_not_the_roles_of_columns() -> None:
    view, calls = form()
    view.frames = {"clicks": "polars, 240 × 8", "shop": "pandas, 240 × 8"}
    view.frame.value = "clicks"
    assert (view.name.value, calls[-1]) == ("clicks", Raw(frame="clicks"))
    view.preview = previewed(events())
    view.columns.rows["thing"].role.value = "item"
    view.fields["min_session_length"].control.value = 3
    view.frame.value = "shop"
    assert (view.name.value, view.options, view.preview) == ("shop", {"min_session_length": 3}, None)
    view.name.value = "mine"
    view.frame.value = "clicks"
    assert view.name.value == "mine"


class Later(Background):
    """Work whose answers come when the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Any, Any]] = []

    def run(self, work: Any, done: Any, failed: Any) -> None:
        self.waiting.append((work, done))

    def answer(self, number: int) -> None:
        work, done = self.waiting[number]
        done(work())


def test_of_two_answers_the_one_to_what_stands_is_shown(tmp_path: Path, notebook: dict[str, Any]) -> None:
    later = Later()
    view = PrepareController(tmp_path, later, lambda summary: None).form
    notebook["short"] = events(5)
    view.frames = source.frames(notebook)
    view.frame.value, view.frame.value = "clicks", "short"
    later.answer(1)
    later.answer(0)  # of what was chosen before
    assert view.preview is not None and view.preview.events == 20 and len(view.preview.rows) == 5
    assert str(view.preview.refusal).startswith("short: no item column")
    view.columns.rows["thing"].role.value, view.columns.rows["visit"].role.value = "item", "session"
    later.answer(3)
    assert view.preview.refusal is None
    later.answer(2)  # to the first edit alone
    assert view.preview.refusal is None and view.columns.rows["visit"].role.value == "session"


# ── frames of the notebook ──────────────────────────────────────────────────────────────────────


def test_frames_are_offered_by_name_and_size(notebook: dict[str, Any]) -> None:
    assert source.frames(notebook) == {"clicks": "polars, 240 × 8", "shop": "pandas, 240 × 8"}


def test_a_frame_that_came_later_is_offered_and_one_that_went_is_not(lab: Lab, notebook: dict[str, Any]) -> None:
    view = lab.data.form
    assert view.frames.keys() == {"clicks", "shop"}
    view.frame.value = "clicks"
    notebook["late"] = events(5)
    lab.preparing.offer()
    assert ("late · polars, 20 × 8", "late") in view.frame.options
    assert view.frame.value == "clicks"
    del notebook["clicks"]
    lab.preparing.offer()
    assert view.frame.value == "" and view.preview is None


@pytest.mark.parametrize("name", ["clicks", "shop"])
def test_a_frame_is_read_corrected_prepared_and_used(lab: Lab, name: str) -> None:
    view = lab.data.form
    view.frame.value = name
    until(lambda: view.preview and view.columns.rows)
    assert view.name.value == name
    assert view.source.layout.display == "none"
    with at_most(4 * 0.15):
        view.columns.rows["visit"].role.value = "session"
        view.columns.rows["thing"].role.value = "item"
        view.columns.rows["bought"].role.value = "label"
        view.fields["split"].control.value = "leave_one_out"
    until(lambda: view.preview is not None and view.preview.refusal is None)
    assert view.columns.rows["device"].scope.value == "session"
    view.columns.rows["device"].scope.value = "event"
    until(lambda: view.preview is not None and view.preview.columns[5].of == "event")
    view.button.click()
    until(lambda: (lab.data.summary is not None and lab.data.summary.name == name) or view.refusal)
    assert view.refusal is None and view.doing == ""
    schema = lab.data.summary.schema  # type: ignore[union-attr]
    assert schema["bought"].role == "target" and (schema["brand"].scope, schema["device"].scope) == ("item", "event")
    assert lab.draft.spec.data.path.endswith(name)
    assert not lab.data.section.opened
    view.name.value = "clicks"
    assert ("replaces" in view._name_note.value) == (name == "clicks")


def test_a_frame_that_polars_cannot_take_is_refused_in_words(lab: Lab, notebook: dict[str, Any]) -> None:
    notebook["odd"] = pd.DataFrame({"a": [1, "x", object()], "b": [1, 2, 3]})
    lab.preparing.offer()
    lab.data.form.frame.value = "odd"
    until(lambda: lab.data.form.refusal)
    assert "Traceback" not in str(lab.data.form.refusal) and lab.data.form.button.disabled
    notebook.pop("odd")
    with pytest.raises(Exception, match="no such data frame"):
        source.read(Raw(frame="odd"), {})


# ── files ───────────────────────────────────────────────────────────────────────────────────────


def test_a_wrong_file_is_refused_in_the_panel(lab: Lab, tmp_path: Path) -> None:
    view = lab.data.form
    view.source.value = str(tmp_path / "none.csv")
    until(lambda: view.refusal)
    assert "no such file" in view._message.value


def test_a_file_without_names_is_named_in_the_panel(lab: Lab, tmp_path: Path) -> None:
    rows = events().select("thing", "visit", "timestamp").iter_rows()
    (tmp_path / "bare.txt").write_text("".join(f"{thing}~x{visit}~{time}\n" for thing, visit, time in rows))
    view = lab.data.form
    view.source.value = str(tmp_path / "bare.txt")
    until(lambda: (view.preview or view.refusal) and not view.doing)
    assert view._reading.layout.display == "" and view.button.disabled
    view.fields["separator"].control.value = "~"
    until(lambda: view.preview is not None and view.preview.refusal and not view.doing)
    view.fields["columns"].control.value = "item_id, session_id, timestamp"
    until(lambda: view.preview is not None and not view.preview.refusal and not view.doing)
    assert view.preview is not None and view.preview.rows[0][1].startswith("x") and view.refusal is None
    assert list(view.columns.rows) == ["item_id", "session_id", "timestamp"] and not view.button.disabled
    view.source.value = str(tmp_path / "other.csv")  # another file is read by its own first lines
    assert view.fields["columns"].control.value == "" and not {"columns", "separator"} & set(view.options)


def test_a_file_is_prepared_and_a_failure_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    events().write_csv(tmp_path / "clicks.csv")
    view = lab.data.form
    view.source.value = str(tmp_path / "clicks.csv")
    until(lambda: view.preview and view.columns.rows)
    view.columns.rows["visit"].role.value, view.columns.rows["thing"].role.value = "session", "item"
    until(lambda: view.preview is not None and view.preview.refusal is None)
    view.name.value = "../mine"
    view.button.click()
    assert "plain name" in str(view.refusal)
    view.name.value = "mine"
    shortest = view.fields["min_session_length"]
    shortest.control.value = 9
    view.button.click()
    until(lambda: shortest.error and not view.doing)  # beside the field that it is about
    assert "no session has 9 events" in shortest.error
    assert sorted(p.name for p in (lab.home / "data").iterdir()) == ["demo"]
    shortest.control.value = 3
    assert not shortest.error
    stages: list[str] = []
    view.observe(lambda change: change["new"] and stages.append(change["new"].stage), "progress")
    view.button.click()
    until(lambda: (lab.data.summary is not None and lab.data.summary.name == "mine") or view.refusal)
    assert view.refusal is None
    assert stages[0] == "reading events" and stages[-1] == "writing"
    assert [p.name for p in lab.data.paths] == ["demo", "mine"]


# ── the profile ─────────────────────────────────────────────────────────────────────────────────


def test_the_profile_shows_plots_checks_and_columns(tmp_path: Path) -> None:
    summary = source.summarize(small_data(tmp_path / "shop"))
    html = profile(summary)
    for heading in ("Session length", "Item popularity", "Events over time", "Checks of the split", "Columns"):
        assert heading in html
    assert all(escape(check.words) in html for check in summary.checks)
    assert html.count('class="t4r-cut"') == 2
    assert html.count('role="img"') == 3 + len(summary.checks)
    assert "validation" in html


def test_plots_show_every_event_and_session(tmp_path: Path) -> None:
    import re

    known = source.summarize(small_data(tmp_path / "shop")).profile
    sessions = [
        int(n.replace(",", "")) for n in re.findall(r"([\d,]+) sessions</title>", plots.lengths(known["lengths"]))
    ]
    assert sum(sessions) == known["parts"]["train"]["sessions"]
    svg = plots.over_time(known["time"], known["cuts"])
    for part, word in plots.PARTS.items():
        bars = re.findall(rf'class="t4r-part-{part}"[^>]*><title>[^<]*{word} ([\d,]+)', svg)
        assert sum(int(n.replace(",", "")) for n in bars) == known["parts"][part]["events"]
    ranks = re.findall(
        r'cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>item ([\d,]+): ([\d,]+)', plots.popularity(known["popularity"])
    )
    x, y, rank, count = (np.array([float(v.replace(",", "")) for v in column]) for column in zip(*ranks, strict=True))
    for at, value in ((x, rank), (y, count)):  # straight in the logarithm
        assert np.abs(np.polyval(np.polyfit(np.log(value), at, 1), np.log(value)) - at).max() < 0.1


def test_text_of_the_data_is_escaped_in_the_profile(tmp_path: Path) -> None:
    frame = events().with_columns(brand=pl.lit(EVIL)).rename({"device": EVIL})
    data = prepare(frame, tmp_path / "d", PrepareOptions(session="visit", item="thing"))
    html = profile(source.summarize(data.path))
    assert "<img" not in html and "&lt;img src=x onerror" in html


def test_the_panel_has_its_states(tmp_path: Path) -> None:
    panel = DataPanel(lambda path: None, form()[0])
    assert "No prepared data yet" in panel._message.value
    panel.doing, panel.progress = "Opening shop …", Progress("splitting", 3, 5, "stages")
    assert "Opening shop" in panel._message.value and 'aria-valuenow="60"' in panel._message.value
    assert "t4r-stale" in panel._profile._dom_classes
    panel.doing, panel.error = "", "shop/train.parquet: is corrupt"
    assert 'role="alert"' in panel._message.value
    panel.error, panel.paths = "", [tmp_path / "shop"]
    panel.summary = DataSummary(
        tmp_path / "shop",
        Schema(columns=(Column(name="item_id", kind="categorical", role="item", size=3),)),
        {"parts": {"train": {"sessions": 2}}},
        ("1 short sessions",),
        (Finding("warning", EVIL, "fix it"),),
    )
    assert panel._message.value == "" and panel.form.taken == ["shop"]
    assert "t4r-stale" not in panel._profile._dom_classes
    assert "<img" not in panel._profile.value and "fix it" in panel._profile.value


def test_the_first_data_are_announced_stage_by_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []
    go = threading.Event()
    real = source.first
    monkeypatch.setattr(source, "first", lambda home, last, report: go.wait(30) and real(home, last, report))
    lab = Lab(tmp_path)
    try:
        assert "Opening the data …" in lab.data._message.value and "opening the data …" in lab._header.value
        lab.data.observe(lambda change: seen.append((change["new"], lab.data._message.value)), "doing")
        go.set()
        until(lambda: lab.data.summary is not None and seen[-1:] and seen[-1][0] == "")
        stages = [doing for doing, _ in seen]
        assert stages[0] == "Preparing the built-in data: reading events …" and stages[-1] == ""
        assert any('role="progressbar"' in html for _, html in seen)
        until(lambda: "4.00k sessions" in lab._header.value)
        assert lab.data._message.value == ""
    finally:
        lab.close()


def test_the_data_chosen_last_are_shown_whichever_open_first(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("slow", "quick"):
        small_data(lab.home / "data" / name)
    lab.data.paths = source.datasets(lab.home)
    go = threading.Event()
    real = source.summarize
    monkeypatch.setattr(source, "summarize", lambda path: (path.name != "slow" or go.wait(30)) and real(path))
    choice = lab.data.choice
    choice.value = str(lab.home / "data" / "slow")
    assert choice.value.endswith("slow") and "Opening slow" in lab.data._message.value
    choice.value = str(lab.home / "data" / "quick")
    until(lambda: lab.data.summary is not None and lab.data.summary.name == "quick")
    go.set()
    until(lambda: not [t for t in threading.enumerate() if t.name == "t4r-lab"])
    assert lab.data.summary is not None and lab.data.summary.name == "quick" and choice.value.endswith("quick")
    assert lab.draft.spec.data.path.endswith("quick")
