"""The table of runs: filters as chips, columns in another order, rows in groups; without a browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.lab.panels.runs.removal_bar import RemovalController
from t4r_lab.lab.panels.runs.run_columns import FIRST
from t4r_lab.lab.panels.runs.runs_panel import RunsPanel
from t4r_lab.lab.parts.table import Cell, Heading, Table
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.kept_columns import FILE, keep_columns, kept_columns
from t4r_lab.removal import trash
from t4r_lab.removal.trash import Deleted
from tests.support.panels import summary


@pytest.fixture
def panel() -> RunsPanel:
    panel = RunsPanel(lambda: None)
    panel.runs = [summary(number) for number in range(6)]
    return panel


def names(panel: RunsPanel) -> list[str]:
    return [row[0]["text"] for row in panel.table.rows]


def test_words_filter_while_they_are_typed_and_stay_as_chips(panel: RunsPanel) -> None:
    panel.filter.text = "body:gru ndcg>0.001"
    assert names(panel) == ["run 5", "run 3"]
    assert panel.filter.note == "2 of 6 runs"
    panel.keep_filter()
    assert (panel.filter.text, panel.filter.terms) == ("", ["body:gru", "ndcg>0.001"])
    panel.filter.text = "ndcg>"  # not yet understood: what stays is filtered, and said
    assert (names(panel), panel.filter.refused) == (["run 5", "run 3"], True)
    panel.keep_filter()
    assert panel.filter.text == "ndcg>"
    panel.filter.text = ""
    panel.filter.terms = panel.filter.terms[:1]
    assert (names(panel), panel.filter.refused) == (["run 5", "run 3", "run 1"], False)
    panel.runs = [*panel.runs, summary(7)]
    assert names(panel)[0] == "run 7"
    panel.filter.terms = []
    assert (len(names(panel)), panel.filter.note) == (7, "")


def test_columns_are_chosen_and_ordered_and_unknown_ones_wait(panel: RunsPanel) -> None:
    panel.arrange(["train.learning_rate", "recall@5", "from another home", "body"], "")
    assert [c["key"] for c in panel.table.columns] == ["name", "train.learning_rate", "recall@5", "body"]
    assert [c["label"] for c in panel.table.columns] == ["run", "learning_rate", "recall@5", "body"]
    panel.table.sort_by, panel.table.descending = "train.learning_rate", False
    assert names(panel) == ["run 0", "run 3", "run 1", "run 4", "run 2", "run 5"]
    assert "from another home" in panel.columns.chosen
    panel.columns.chosen = list(FIRST)
    assert [c["key"] for c in panel.table.columns] == list(FIRST)


def test_rows_are_grouped_with_mean_and_spread(panel: RunsPanel) -> None:
    panel.arrange(FIRST, "body")
    panel.table.sort_by, panel.table.descending = "metric", True
    assert names(panel) == ["run 5", "run 3", "run 1", "run 4", "run 2", "run 0"]
    groups = [(g["at"], g["text"], g["under"]) for g in panel.table.groups]
    # 5, 3, 1 of 2,000: mean 3, standard deviation 2
    assert groups[0] == (0, "gru", "3 runs · ndcg@5 0.00150 ± 0.00100 (0.000500 to 0.00250)")
    assert groups[1][:2] == (3, "xlnet")
    panel.filter.text = "body:gru"
    assert [g["text"] for g in panel.table.groups] == ["gru"]
    panel.columns.grouped = ""
    assert panel.table.groups == []


def test_numbers_and_texts_of_one_column_are_sorted_together() -> None:
    table = Table(sort_by="x", descending=False)
    table.fill([Heading("x", "x")], [[Cell("b", "b")], [Cell("–")], [Cell("2", 2.0)], [Cell("a", "a")], [Cell("1", 1)]])
    assert [row[0]["text"] for row in table.rows] == ["1", "2", "a", "b", "–"]


def test_the_choice_of_columns_stays_in_the_home(tmp_path: Path) -> None:
    assert kept_columns(tmp_path) is None
    keep_columns(tmp_path, ["name", "body"], "body")
    assert kept_columns(tmp_path) == (["name", "body"], "body")
    for damaged in ("", "[]", '{"columns": "name", "grouped": ""}', '{"columns": [1], "grouped": ""}', "\x00"):
        (tmp_path / FILE).write_text(damaged)
        assert kept_columns(tmp_path) is None
    keep_columns(tmp_path / "missing" / "home", ["name"], "")  # says nothing


def test_chosen_columns_scroll_sideways_and_those_shown_at_first_make_room(panel: RunsPanel) -> None:
    assert not panel.table.wide
    panel.columns.chosen = [*FIRST, "recall@5"]
    assert panel.table.wide


def test_archived_runs_are_left_out_until_they_are_asked_for(panel: RunsPanel) -> None:
    hidden = replace(summary(6), facts={**summary(6).facts, "archived": "yes"})
    panel.runs = [*panel.runs, hidden]
    assert (len(names(panel)), panel.filter.note) == (6, "6 of 7 runs")
    panel.filter.text = "archived:yes"
    assert names(panel) == ["run 6"]


class AtOnce(Background):
    """Does the work at once, on the thread that asks."""

    def run(self, work: Any, done: Any, failed: Any) -> None:
        try:
            done(work())
        except InputError as error:
            failed(error)


def test_ticked_runs_are_deleted_as_far_as_none_is_needed_and_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[str] = []

    def delete(kind: str, name: str, *, home: Path) -> Deleted:
        if name == summary(2).run_id:
            raise InputError("run 2", "needed by the alias <b>", "promote another run")
        gone.append(name)
        return Deleted(name, kind, name, 0.0)

    monkeypatch.setattr(trash, "delete", delete)
    monkeypatch.setattr(trash, "restore", lambda id, *, home: gone.remove(id))
    ticked, changes = [summary(1), summary(2)], []
    removing = RemovalController(tmp_path, AtOnce(), lambda: ticked, lambda: changes.append(1))
    assert removing.view.layout.display == "none"
    removing.view.ticked = 2
    removing.view.buttons["delete"].click()
    assert gone == [summary(1).run_id]
    assert (removing.view.can_undo, removing.view.doing, len(changes)) == (True, "", 1)
    assert "needed by the alias &lt;b&gt;" in removing.view._message.value
    ticked.clear()
    removing.view.ticked = 0
    assert removing.view.buttons["delete"].disabled
    removing.view.buttons["undo"].click()
    assert (gone, removing.view.can_undo, removing.view.error) == ([], False, "")
