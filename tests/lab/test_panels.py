"""The panels of recorded runs without a browser: ticking, comparing, acting, recommending.

Times are of the thread that is asked, so that a busy machine does not fail them.
"""

from __future__ import annotations

import html
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from t4r_lab import tracking
from t4r_lab.base.reports import silent
from t4r_lab.families.metrics.metric_table import RANK_METRICS
from t4r_lab.lab.app import Lab
from t4r_lab.lab.panels.architecture.diff import differences
from t4r_lab.lab.panels.recommend.answers import answers
from t4r_lab.lab.panels.recommend.recommend_panel import RecommendPanel
from t4r_lab.lab.panels.recommend.session_picker import Picker
from t4r_lab.lab.panels.runs import analysis_figures
from t4r_lab.lab.panels.runs.actions import HIDDEN, RunActions, test_part
from t4r_lab.lab.panels.runs.comparison import ComparisonController, ComparisonView, sentences
from t4r_lab.lab.panels.runs.run_columns import cells
from t4r_lab.lab.panels.runs.runs_panel import RunsPanel
from t4r_lab.lab.parts.table import Cell, Heading, Table
from t4r_lab.lab.parts.theme import LIGHT, Theme
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.views import NextItems
from t4r_lab.runs import run as runner
from t4r_lab.runs.analyze import Analysis, analyze
from t4r_lab.runs.recommend import Item
from tests.support.panels import summary, until
from tests.support.small import small_data, small_spec
from tests.support.timing import at_most

EVIL = "<img src=x onerror=alert(1)>"
test_part.__test__ = False  # type: ignore[attr-defined]  # a function of the panel, not a test


# ── table and runs ──────────────────────────────────────────────────────────────────────────────


def test_a_filtered_row_stays_chosen_and_one_that_is_gone_does_not() -> None:
    table = Table(choose="many")
    rows = [[Cell("red shoe", under="a1")], [Cell("blue shoe")], [Cell("red hat")]]
    table.fill([Heading("x", "x")], rows, ["a", "b", "c"])
    table.selected = ["c", "b"]
    table.filter_text = "RED sho"
    assert (table.row_keys, table.selected) == (["a"], ["c", "b"])
    table.filter_text = "a1"
    assert table.row_keys == ["a"]
    table.filter_text = ""
    table.fill([Heading("x", "x")], rows[:2], ["a", "b"])
    assert (table.row_keys, table.selected) == (["a", "b"], ["b"])


def test_a_thousand_runs_are_shown_sorted_and_filtered_at_once() -> None:
    panel = RunsPanel(lambda: None)
    runs = [summary(i) for i in range(1000)]
    with at_most(0.5):
        panel.loading, panel.runs = False, runs
    for change in (
        lambda: panel.table.set_trait("sort_by", "metric"),
        lambda: panel.filter.set_trait("text", "xlnet"),
        lambda: panel.choice.set_trait("value", "recall@5"),
    ):
        with at_most(0.15):
            change()
    assert len(panel.table.rows) == 500
    assert panel.metric == "recall@5"


def test_a_thousand_recorded_runs_are_read_within_a_second(tmp_path: Path) -> None:
    from t4r_lab.lab.state import source

    client, experiment = tracking.client_of(tmp_path)
    from mlflow.entities import Metric, Param

    first = client.create_run(experiment, run_name="first").info.run_id
    names = [f"{m}@{k}" for m in RANK_METRICS for k in (10, 20)]
    keys = [tracking.to_key("valid", name, b) for name in names for b in (None, "popularity", "successors")]
    params = [Param(path, str(value)) for path, value in small_spec(tmp_path / "data").flat().items()]
    client.log_batch(first, [Metric(k, 0.1, 0, 0) for k in keys], params)
    with sqlite3.connect(tmp_path / "mlflow.db") as base:  # the others at once: one by one takes MLflow minutes
        for table in ("runs", "tags", "params", "latest_metrics"):
            columns = [row[1] for row in base.execute(f"PRAGMA table_info({table})")]
            values = ", ".join("? || run_uuid" if name == "run_uuid" else name for name in columns)
            copy = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} WHERE run_uuid = ?"
            base.executemany(copy, [(f"{i}-", first) for i in range(999)])
    panel = RunsPanel(lambda: None)
    seconds = []
    for _ in range(3):  # the best of three, since other tests work beside this one
        began = time.thread_time()
        panel.runs = source.runs(tmp_path)
        seconds.append(time.thread_time() - began)
    assert min(seconds) < 1
    assert len(panel.table.rows) == 1000


def test_ticks_come_back_in_their_order() -> None:
    panel = RunsPanel(lambda: None)
    panel.runs = [summary(i) for i in range(3)]
    assert panel.clear.disabled
    panel.table.selected = [panel.runs[2].run_id, panel.runs[0].run_id]
    assert [run.name for run in panel.selected] == ["run 2", "run 0"]
    panel.clear.click()
    assert panel.selected == []


# ── one run ─────────────────────────────────────────────────────────────────────────────────────


def test_the_test_part_is_shown_of_promoted_runs_only() -> None:
    assert HIDDEN in test_part(summary(1))
    assert "looked at 2 times" in test_part(summary(1, looks=2))
    shown = test_part(
        summary(
            1,
            name=EVIL,
            promoted=True,
            aliases=("t4r-lab-shop@champion",),
            looks=1,
            test={"ndcg@5": 0.3125},
            test_baselines={"popularity": {"ndcg@5": 0.1}},
        )
    )
    assert "0.312" in shown
    assert "t4r-lab-shop@champion" in shown
    assert "looked at 1 time with" in shown
    assert "<img" not in shown


def test_actions_wait_for_a_run_and_for_each_other() -> None:
    actions: list[str] = []
    view = RunActions(actions.append)
    assert "Tick one run" in view._test.value
    view.run = summary(1, status="RUNNING")
    assert view.buttons["promote"].disabled
    view.run = summary(2)
    view.buttons["promote"].click()
    assert actions == ["promote"]
    view.doing = "Scoring the test part …"
    assert all(button.disabled for button in view.buttons.values())
    view.doing, view.error = "", EVIL
    assert "&lt;img" in view._message.value


# ── comparison ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two runs, one of them with an evil name."""
    root = tmp_path_factory.mktemp("world")
    data = small_data(root / "home" / "data" / "shop")
    for name, epochs in ((EVIL, 3), ("short", 1)):
        runner.run(small_spec(data, name=name, train__epochs=epochs), home=root / "home", on_report=silent)
    return root / "home"


@pytest.fixture(scope="module")
def analysis(home: Path) -> Analysis:
    return analyze([EVIL, "short"], home=home)


def style(analysis: Analysis, colors: Mapping[str, str] = LIGHT) -> analysis_figures.Style:
    return analysis_figures.Style.of(analysis, colors)


def test_plots_show_what_was_measured(analysis: Analysis) -> None:
    drawn = analysis_figures.draw(analysis, style(analysis))
    assert {"bars", "loss", "metric", "knobs"} <= set(drawn)
    bars = drawn["bars"].figure["data"][0]
    metrics = analysis.comparison.metrics
    shown = dict(zip(bars["y"], bars["x"], strict=True))
    assert shown["short"] == metrics["short"]["ndcg@5"]
    assert sorted(shown.values()) == list(shown.values())
    low, high = analysis.intervals["short"]["ndcg@5"]
    at = bars["y"].index("short")
    assert bars["error_x"]["array"][at] + bars["x"][at] == pytest.approx(high)
    assert bars["x"][at] - bars["error_x"]["arrayminus"][at] == pytest.approx(low)
    curve = next(t for t in drawn["metric"].figure["data"] if t["name"] == "short")
    assert curve["y"] == [value for _, value in analysis.curves["short"]["ndcg@5"]]
    axes = drawn["knobs"].figure["data"][0]["dimensions"]
    assert [a["label"] for a in axes] == ["run", "epochs", "ndcg@5"]
    assert axes[1]["values"] == [3, 1]


def test_plots_follow_the_theme_and_hold_no_markup(analysis: Analysis) -> None:
    dark = {**LIGHT, "dark": "yes", "text": "#eee"}
    for colors in (LIGHT, dark):
        for drawn in analysis_figures.draw(analysis, style(analysis, colors)).values():
            assert drawn.figure["layout"]["font"]["color"] == colors["text"]
            assert "<img" not in str(drawn.figure)
    light_color = analysis_figures.draw(analysis, style(analysis))["loss"].figure["data"][0]["line"]["color"]
    assert (
        light_color != analysis_figures.draw(analysis, style(analysis, dark))["loss"].figure["data"][0]["line"]["color"]
    )


def test_a_run_has_its_color_whatever_it_is_compared_with(home: Path) -> None:
    controller = ComparisonController(home, Background(), Theme())
    try:
        ids = {run.name: run.run_id for run in tracking.runs(home)}
        colors = []
        for order in (("short", EVIL), (EVIL, "short")):
            controller.compare([ids[name] for name in order], "ndcg@5")
            until(lambda: not controller.view.doing)
            curves = controller.view.drawn["loss"].figure["data"]
            colors.append({curve["name"]: (curve["line"], curve["marker"]["symbol"]) for curve in curves})
        assert colors[0] == colors[1]
        assert colors[0]["short"] != colors[0][html.escape(EVIL)]
    finally:
        controller.background.close()


def test_parallel_coordinates_show_the_knobs_that_differ_most_under_names_of_their_own(analysis: Analysis) -> None:
    paths = ["model.body.dropout", "model.inputs.dropout", *(f"train.knob_{n}" for n in range(9))]
    values = {path: {EVIL: 0, "short": n % 2} for n, path in enumerate(paths)}  # the first and every second are alike
    comparison = replace(analysis.comparison, specs=values, chosen=paths)
    names = analysis_figures.differing_most(replace(analysis, comparison=comparison), analysis.labels)
    assert list(names) == ["dropout", *(f"knob {n}" for n in range(1, 9, 2))]
    varied = {path: {EVIL: 0, "short": 1} for path in paths}
    comparison = replace(analysis.comparison, specs=varied, chosen=paths)
    names = analysis_figures.differing_most(replace(analysis, comparison=comparison), analysis.labels)
    assert len(names) == analysis_figures.MOST_AXES == 8
    assert list(names)[:2] == ["body dropout", "inputs dropout"]


def test_bold_is_what_is_shown_as_a_gain() -> None:
    for score, strong in ((0.1, False), (0.10004, False), (0.1001, True), (0.09, False)):
        run = summary(1)
        run = replace(run, valid={"ndcg@5": score})
        assert next(cell for cell in cells(run, "ndcg@5") if cell.sort == score).strong == strong, score


def test_slices_and_reliability_are_drawn_where_a_run_has_them(analysis: Analysis) -> None:
    cell = {"mean": 0.2, "low": 0.1, "high": 0.3}
    rows = [{"by": "length", "slice": "1 event", "cases": 4, "ndcg@5": cell}]
    bins = [{"confidence": 0.2, "accuracy": 0.1, "cases": 30}, {"confidence": 0.6, "accuracy": 0.8, "cases": 10}]
    with_them = Analysis(
        analysis.comparison,
        "ndcg@5",
        analysis.labels,
        analysis.intervals,
        analysis.curves,
        {"short": rows},
        {"short": bins},
    )
    drawn = analysis_figures.draw(with_them, style(analysis))
    assert drawn["lengths"].figure["data"][0]["y"] == [0.2]
    assert "popularity" not in drawn
    assert "short is off by 0.125" in drawn["reliability"].words  # (30 · 0.1 + 10 · 0.2) / 40


def test_the_comparison_says_it_in_words_and_escapes_names(analysis: Analysis) -> None:
    view = ComparisonView()
    assert view.body.layout.display == "none"
    view.analysis, view.drawn = analysis, analysis_figures.draw(analysis, style(analysis))
    text = (
        view._sentences.value
        + view._figures.value
        + view._differing.value
        + "".join(p._title.value + p._words.value for p in view.plots.values())
    )
    assert "beats" in text or "no difference beyond noise" in text
    assert "train.epochs" in text
    assert "train.batch_size" not in text  # only what differs
    assert "<img" not in text
    outputs = {id(plot): plot for plot in view.plots.values()}
    view.drawn = analysis_figures.draw(analysis, style(analysis, {**LIGHT, "dark": "yes"}))
    assert {id(plot) for plot in view.plots.values()} == set(outputs)  # the same plots, drawn in other colors


def test_many_pairs_are_folded_away(analysis: Analysis) -> None:
    many = type(analysis.comparison)(
        analysis.comparison.runs, analysis.comparison.metrics, {}, analysis.comparison.differences[:1] * 7, ["a < b"]
    )
    text = sentences(Analysis(many, "ndcg@5", analysis.labels, {}, {}, {}, {}))
    assert "2 more pairs" in text
    assert "a &lt; b" in text


# ── recommend ───────────────────────────────────────────────────────────────────────────────────


def test_a_session_is_put_together_and_answered_in_the_owners_words() -> None:
    panel = RecommendPanel()
    assert "Reading" in panel._message.value
    panel.loading = False
    assert "No finished run" in panel._message.value
    one, two = summary(1), summary(2)
    panel.runs = [one, two]
    assert panel.run == one.run_id
    panel.second.value = two.run_id
    assert panel.beside == two.run_id
    assert "Add items" in panel._answers.value
    panel.picker.show_session([Item("7", "Red shoe")])
    panel.answers = {
        one.run_id: NextItems(((Item("8", EVIL), 0.5), (Item("9", "9"), 0.25)), "1 of 2 <b>events</b>"),
        two.run_id: NextItems(((Item("9", "9"), 0.125),)),
    }
    html = panel._answers.value
    assert "<img" not in html
    assert "50.0 %" in html
    assert html.index("width:100.0%") < html.index("width:50.0%") < html.index("width:25.0%")  # one scale for both
    assert "1 of 2 &lt;b&gt;events&lt;/b&gt;." in html
    panel.choice.value = two.run_id  # what is asked alone can't stand beside itself
    assert (panel.run, panel.beside) == (two.run_id, "")
    assert answers([], {}, None)


def test_a_picker_tells_what_it_finds() -> None:
    queries: list[str] = []
    picker = Picker()
    picker.on_query(queries.append)
    picker.query = "sho"
    picker.show_matches([])
    assert (queries, picker.note) == (["sho"], "no such title or id")
    picker.show_matches([Item("7", "Red shoe")])
    assert (picker.matches, picker.note) == ([{"id": "7", "title": "Red shoe"}], "")


# ── the whole ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def lab(home: Path) -> Iterator[Lab]:
    lab = Lab(home)
    try:
        until(lambda: lab.data.summary is not None and not lab.runs.loading)
        yield lab
    finally:
        lab.close()


def test_ticking_compares_and_clones(lab: Lab) -> None:
    ids = [run.run_id for run in lab.runs.runs]
    with at_most(0.15):
        lab.runs.table.selected = ids[:2]
    assert "Comparing 2 runs" in lab.recorded.comparing.view._message.value
    until(lambda: lab.recorded.comparing.view.plots or lab.recorded.comparing.view.error)  # plots come last
    assert lab.recorded.comparing.view.analysis
    assert lab.recorded.acting.view.run is None
    lab.runs.choice.value = "recall@5"
    until(
        lambda: (
            lab.recorded.comparing.view.analysis is not None
            and lab.recorded.comparing.view.analysis.metric == "recall@5"
        )
    )
    lab.runs.table.selected = ids[:1]
    assert lab.recorded.comparing.view.analysis is None  # its page, which never shows the figures of others
    until(lambda: lab.recorded.comparing.view.analysis and lab.recorded.page.body.details)
    assert lab.recorded.comparing.view.analysis is not None and lab.recorded.comparing.view.analysis.labels == [
        lab.runs.selected[0].name
    ]
    assert {"bars", "loss", "metric"} <= set(lab.recorded.comparing.view.drawn)
    assert lab.recorded.page.head.name.value == lab.runs.selected[0].name
    lab.recorded.acting.view.buttons["clone"].click()
    until(lambda: lab.draft.origin)
    assert lab.tabs.selected_index == 1
    assert differences(lab.draft) == {}
    lab.edit("train.batch_size", 48)
    assert differences(lab.draft) == {"train.batch_size": (32, 48)}
    assert "train.batch_size" in lab.architecture._diff.value


def test_a_clone_whose_data_are_gone_uses_the_present_ones(lab: Lab, tmp_path: Path) -> None:
    lab.clone(small_spec(tmp_path / "gone"), "old")
    until(lambda: lab.draft.note)
    assert "gone" in lab.draft.note
    assert lab.draft.valid
    assert differences(lab.draft)["data.path"][1] == str(lab.data.summary.path)  # type: ignore[union-attr]


def test_promotion_shows_the_test_part(lab: Lab) -> None:
    lab.runs.table.selected = [lab.runs.runs[0].run_id]
    view = lab.recorded.acting.view
    assert HIDDEN in view._test.value
    view.alias.value = "not an alias"
    view.buttons["promote"].click()
    until(lambda: view.error)
    assert "alias:" in view._message.value
    view.alias.value = "champion"
    view.buttons["promote"].click()
    until(lambda: view.run is not None and view.run.promoted)
    assert "t4r-lab-shop@champion" in view._test.value
    assert "looked at 1 time" in view._test.value
    assert "champion" in lab.runs.table.rows[0][0]["under"]


def test_sessions_are_drawn_typed_picked_and_answered(lab: Lab) -> None:
    panel, long = lab.recommending.view, lab.runs.runs[1]
    lab.tabs.selected_index = 5
    until(lambda: panel.answers)
    assert panel.case is not None
    assert panel.case.target.title in panel._answers.value
    panel.choice.value = long.run_id
    until(lambda: long.run_id in panel.answers and not panel.doing)
    panel.picker.query = panel.session[0].id
    until(lambda: panel.picker.matches)
    assert panel.picker.matches[0]["id"] == panel.session[0].id
    before = panel.answers
    panel.picker.chips = [panel.picker.matches[0]] * 30  # no session is so long
    until(lambda: panel.answers and panel.answers is not before)
    assert panel.case is None
    probabilities = [p for _, p in panel.answers[long.run_id].items]
    assert np.all(np.diff(probabilities) <= 0)
    panel.section.opened = True
    until(lambda: panel.cases or panel.cases_error)
    assert panel.table.rows
    panel.which.value = "loses to"
    assert "loses to successors" in panel.table.caption
    worst = panel.listed[0]
    panel.table.selected = panel.table.row_keys[:1]
    until(lambda: panel.case == worst and "Came next" in panel._answers.value)
    assert panel.session == worst.items
    panel.clear.click()
    until(lambda: not panel.answers)
    assert "Add items" in panel._answers.value
