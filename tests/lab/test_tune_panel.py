"""Tune panel without a browser: what is ticked becomes a study, which runs by itself and is only watched.

Times are of the thread that is asked, so that a busy machine does not fail them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from t4r_lab.base.errors import InputError
from t4r_lab.base.files import locked
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.lab.app import TABS, Lab
from t4r_lab.lab.panels.tune.search_form import SearchForm, words
from t4r_lab.lab.panels.tune.study_explorer import StudyExplorer
from t4r_lab.lab.panels.tune.study_figures import draw, searched
from t4r_lab.lab.panels.tune.study_list import Look, StudyState, Watch
from t4r_lab.lab.panels.tune.study_plots import plots
from t4r_lab.lab.panels.tune.tune_panel import EMPTY, TuneController, TunePanel, progress
from t4r_lab.lab.parts.theme import LIGHT, Theme
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.draft import Draft
from t4r_lab.spec import RunSpec
from t4r_lab.spec.domains import Domain, Range, parse_search
from t4r_lab.spec.space import SEARCH_PRESETS, search_space
from t4r_lab.spec.study_options import Plan, StudyOptions, load_study
from t4r_lab.tuning import detached, lead
from t4r_lab.tuning.studies.study import START_IS_BEST, Importance, Trial
from tests.support.panels import until
from tests.support.small import small_data, small_spec
from tests.support.timing import at_most

EVIL = "<img src=x onerror=alert(1)>"
SMOOTHING, DROPOUT, RATE = "model.heads.0.loss.label_smoothing", "model.body.dropout", "train.learning_rate"

TOLD = {"ndcg@5": Importance({DROPOUT: 1.0})}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("data") / "d")


@pytest.fixture
def draft(data: Path) -> Draft:
    from t4r_lab.data.prepared.prepared_data import Dataset

    return Draft(small_spec(data), Dataset.open(data).schema)


# ── the form ────────────────────────────────────────────────────────────────────────────────────


def test_the_form_makes_the_plan_that_the_command_line_makes(draft: Draft) -> None:
    studies: list[tuple[RunSpec, StudyOptions, str, str | None]] = []
    form = SearchForm(draft, lambda *study: studies.append(study))
    assert form.start.disabled
    form.table.selected = [RATE, DROPOUT, "model.body.kind"]
    rate, dropout, kind = form.ranges.children
    rate.controls[0].value, rate.controls[1].value = 1e-4, 1e-2
    dropout.controls[1].value = 0.3
    kind.controls[0].value = "gru, gpt2"
    form.fields["objectives"].control.value = "ndcg@5, ece"
    form.fields["constraints"].control.value = "parameters<=1e6"
    form.fields["trials"].control.value = "7"
    form.start.click()
    spec, options, name, storage = studies[0]
    typed = [f"{RATE}=1e-4:1e-2:log", f"{DROPOUT}=0:0.3", "model.body.kind=gru,gpt2"]
    settings = {"objectives": ["ndcg@5", "ece"], "constraints": ["parameters<=1e6"], "trials": 7}
    expected = Plan.of(draft.spec, StudyOptions.parse({**settings, "space": dict(map(parse_search, typed))}))
    assert Plan.of(spec, options).comparable() == expected.comparable()
    assert (options.trials, name, storage) == (7, "small", None)
    form.storage.value = "mysql://host/db"
    assert "write postgresql://" in form._message.value
    assert form.start.disabled
    form.storage.value = "postgresql://lab@host/db"
    form.start.click()
    assert studies[1][3] == "postgresql://lab@host/db"


@pytest.mark.parametrize("preset", SEARCH_PRESETS)
def test_a_preset_ticks_its_own_knobs(draft: Draft, preset: str) -> None:
    form = SearchForm(draft, lambda *study: None)
    form.presets[preset].click()
    assert form.plan is not None
    assert form.plan.space == search_space(draft.spec, [preset], {})


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("objectives", "ndcg@5, ecee", "did you mean &#x27;ece&#x27;"),
        ("constraints", "ece", "write metric&lt;=number"),
    ],
)
def test_what_cannot_be_judged_is_said_at_once(draft: Draft, path: str, value: str, message: str) -> None:
    form = SearchForm(draft, lambda *study: None)
    form.table.selected = [DROPOUT]
    form.fields[path].control.value = value
    assert message in form._message.value
    assert form.start.disabled
    form.fields[path].control.value = ""
    assert not form.start.disabled


def test_a_range_the_wrong_way_round_is_refused(draft: Draft) -> None:
    form = SearchForm(draft, lambda *study: None)
    form.table.selected = [DROPOUT]
    form.ranges.children[0].controls[0].value = 0.9
    assert "the wrong way round" in form.error
    assert form.start.disabled


def test_the_form_follows_the_architecture_quickly(draft: Draft) -> None:
    form = SearchForm(draft, lambda *study: None)
    form.presets["paper"].click()
    with at_most(0.15):
        draft.set("model.body.kind", "xlnet")
    assert "model.body.n_head" in form.table.row_keys
    draft.set("model.body.n_head", 3)  # which divides no width of 8
    assert form.start.disabled


# ── the watch ───────────────────────────────────────────────────────────────────────────────────


def trial(n: int, state: str = "finished", **changes: Any) -> Trial:
    values = {"ndcg@5": n / 10, "ece": n / 20} if state == "finished" else {}
    return Trial(n, state, {DROPOUT: 0.25}, values, {}, changes.get("reason", ""), 6.0, 1e9, [], True, n == 0)


def panel(calls: list[Any]) -> TunePanel:
    return TunePanel(SearchForm(Draft(small_spec(Path("none"))), lambda *study: None), calls.append, calls.append)


def test_a_study_is_shown_with_reasons_and_its_best(draft: Draft) -> None:
    calls: list[Any] = []
    view = panel(calls)
    assert "Reading" in view._message.value
    view.show(Look([], [], None))
    assert EMPTY in view._message.value
    trials = (trial(0), trial(1), trial(2), trial(3, "failed", reason=EVIL), trial(4, "running"))
    state = StudyState("s", "running", True, ("ndcg@5", "ece"), trials, (2, 0), TOLD, 10, EVIL)
    view.show(Look(["s", "older"], ["s"], state))
    assert "running · 4 of 10 trials · 1 running · 1 failed · about 36 s left" in view._progress.value  # 6 of 6 s each
    assert "on the front: trials 0, 2" in view._progress.value
    timed = replace(state, total=None, until=time.time() + 119.9)
    assert "about 1 min 59 s left" in progress(timed)
    assert "ece against ndcg@5" in view.plots.html
    assert "100 %" in view.plots.html
    assert "there are 3" in plots(replace(state, importance={"ece": Importance({}, "10 tell it; there are 3")}))
    assert EVIL in [row[5]["text"] for row in view.table.rows]  # the table sets it as text, never as markup
    assert "<img" not in view._log.value + view.plots.html
    assert view.best.description == "only trials on the front"
    assert [row[1]["under"] for row in view.table.rows if "under" in row[1]] == ["on the front"] * 2
    view.best.value = True
    assert view.table.row_keys == ["2", "0"]
    view.table.selected = ["2"]
    view.use.click()
    assert view.plots.chosen == "2"
    view.plots.chosen = "0"  # as a click on its dot does
    view.use.click()
    assert 'data-trial="0"' in view.plots.html
    view.asks["pause"].click()
    view.asks["stop"].click()
    assert calls == [2, 0, "pause", "stop"]
    assert view.asks["resume"].disabled
    view.show(Look(["s"], ["s"], replace(state, status="paused")))
    assert {ask for ask, button in view.asks.items() if not button.disabled} == {"stop", "resume"}
    assert "left" not in view._progress.value
    view.show(Look(["s"], [], StudyState("s", "stopped", objectives=("ndcg@5", "ece"), trials=trials[:3])))
    assert {ask for ask, button in view.asks.items() if not button.disabled} == {"resume"}


def test_of_one_objective_one_trial_is_best_and_its_ties_are_named(draft: Draft) -> None:
    view = panel([])
    state = StudyState("s", "stopped", False, ("ndcg@5",), (trial(0), trial(1), trial(2)), (1,), ties=(2,))
    view.show(Look(["s"], [], replace(state, remark=START_IS_BEST)))
    assert "trial 1 is best: ndcg@5 0.100, ece 0.0500, as trial 2" in view._progress.value
    assert START_IS_BEST in view._progress.value
    assert view.best.description == "only the best"
    view.best.value = True
    assert view.table.row_keys == ["1"]


def test_what_was_tried_is_drawn_with_the_values_of_the_trials() -> None:
    kind = "model.body.kind"
    rates = {0: 1e-4, 1: 1e-3, 2: 1e-2}
    trials = tuple(replace(trial(n), params={RATE: rates[n], DROPOUT: n / 10, kind: "gru"}) for n in range(3))
    space = {RATE: Domain(low=1e-5, high=0.1, log=True), DROPOUT: Domain(high=0.5), kind: Domain(("gru", "gpt2"))}
    told = {"ndcg@5": Importance({DROPOUT: 0.7, RATE: 0.3})}
    state = StudyState("s", "stopped", False, ("ndcg@5",), trials, (2,), told, space=space)
    assert searched(state, "ndcg@5") == [DROPOUT, RATE, kind]
    drawn = draw(state, "ndcg@5", (DROPOUT, RATE), LIGHT)
    assert list(drawn) == ["slices", "contour", "parallel"]
    slices = drawn["slices"].figure
    dots = [(series["x"], series["y"], series["name"]) for series in slices["data"]]
    assert dots[:2] == [([0.0, 0.1], [0.0, 0.1], "trial"), ([0.2], [0.2], "best")]
    assert slices["layout"]["xaxis2"]["type"] == "log"
    assert slices["layout"]["xaxis3"]["categoryarray"] == ["gru", "gpt2"]
    surface = next(series for series in drawn["contour"].figure["data"] if series["type"] == "contour")
    assert (surface["x"], surface["y"], surface["z"]) == ([0.0, 0.1, 0.2], [1e-4, 1e-3, 1e-2], [0.0, 0.1, 0.2])
    (lines,) = drawn["parallel"].figure["data"]
    axes = {axis["label"]: axis for axis in lines["dimensions"]}
    assert list(axes) == ["trial", "dropout", "learning rate", "body", "ndcg@5"]
    assert axes["dropout"]["values"] == [0.0, 0.1, 0.2]
    assert axes["body"]["ticktext"] == ["gru"]
    without = replace(state, trials=(replace(trials[0], params={RATE: 1e-4}), *trials[1:]))
    (lines,) = draw(without, "ndcg@5", None, LIGHT)["parallel"].figure["data"]
    assert lines["dimensions"][1]["ticktext"][0] == "–"  # a knob that a trial hasn't
    flat = draw(state, "ndcg@5", (DROPOUT, kind), LIGHT)["contour"]
    assert "needs 3 different values of each" in flat.words
    assert not [series for series in flat.figure["data"] if series["type"] == "contour"]
    assert draw(replace(state, trials=()), "ndcg@5", None, LIGHT) == {}


def test_the_explorer_keeps_what_was_chosen_and_draws_when_it_is_opened() -> None:
    asked: list[bool] = []
    explorer = StudyExplorer(lambda: asked.append(explorer.section.opened))
    space = {RATE: Domain(low=1e-5, high=0.1, log=True), DROPOUT: Domain(high=0.5), SMOOTHING: Domain()}
    state = StudyState("s", "running", True, ("ndcg@5", "ece"), (trial(0),), (0,), space=space)
    explorer.state = state
    assert (explorer.objective.value, explorer.pair, asked) == ("ndcg@5", (RATE, DROPOUT), [])
    explorer.section.opened = True
    explorer.up.value, explorer.objective.value = SMOOTHING, "ece"
    assert asked == [True, True, True]
    explorer.state = replace(state, trials=(trial(0), trial(1)))
    assert (explorer.objective.value, explorer.pair, len(asked)) == ("ece", (RATE, SMOOTHING), 3)
    explorer.drawn = draw(state, "ece", explorer.pair, LIGHT)
    assert list(explorer.plots) == ["slices", "contour", "parallel"]
    explorer.state = StudyState("one", "stopped", objectives=("ndcg@5",), space={RATE: space[RATE]})
    assert (explorer.objective.value, explorer.pair) == ("ndcg@5", None)
    explorer.drawn = {}
    assert "No trial has finished yet" in explorer._message.value


def test_a_study_that_cannot_begin_says_why(draft: Draft) -> None:
    view = panel([])
    error = InputError(f"storage {EVIL}", "it can't be reached", "try another --sampler")
    view.show(Look(["s"], [], StudyState("s", "failed", log="about 3 s a trial", error=error)))
    assert "another “sampler”" in view._progress.value
    assert "can&#x27;t be reached" in view._progress.value
    assert "<img" not in view._progress.value
    assert all(button.disabled for button in view.asks.values())
    view.show(Look(["s"], [], StudyState("s", "failed", log="about 3 s a trial\nKilled")))
    assert "Error: Killed" in view._progress.value


def test_a_background_studys_error_comes_back_with_its_parts(tmp_path: Path, data: Path) -> None:
    shutil.copytree(data, moved := tmp_path / "with: a colon; and more")
    space = StudyOptions.parse({"space": {DROPOUT: None}, "trials": 1})
    study = detached.find("s", tmp_path)
    study.folder.mkdir(parents=True)
    content = {**small_spec(moved).to_dict(), "search": space.model_dump(mode="json", exclude_defaults=True)}
    (study.folder / detached.SPEC).write_text(yaml.safe_dump(content))
    shutil.rmtree(moved)
    with locked(study.folder / "lock") as lock:
        detached._start(study, tmp_path, None, lock.fileno())
    until(lambda: study.error() is not None and not study.is_running(), 120)
    with pytest.raises(InputError) as expected:
        Dataset.open(moved)
    look = Watch(tmp_path).look("s")
    assert look.state is not None and look.state.error is not None
    assert look.state.error.parts == expected.value.parts


# ── processes ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def tuning(draft: Draft, tmp_path: Path) -> Iterator[TuneController]:
    controller = TuneController(
        tmp_path, Background(), draft, lambda spec, name: draft.clone(spec, name), lambda living: None, Theme()
    )
    yield controller
    controller.background.close()
    for study in detached.all_detached(tmp_path):
        if study.is_running():
            until(lambda study=study: study.name in lead.names(home=tmp_path))
            lead.stop(study.name, home=tmp_path)
            until(lambda study=study: not study.is_running())


def ended(study: StudyState, number: int) -> bool:
    """Has the trial of that number begun and ended?"""
    return number < len(study.trials) and study.trials[number].state != "running"


@pytest.mark.slow
def test_a_study_outlives_the_panel_is_found_again_and_stopped(
    tuning: TuneController, draft: Draft, tmp_path: Path
) -> None:
    tuning.follow()
    tuning.open(True)
    until(lambda: not tuning.view.loading)
    tuning.view.form.table.selected = [DROPOUT]
    tuning.view.form.fields["trials"].control.value = "500"
    tuning.view.form.start.click()
    until(lambda: tuning.view.state is not None or tuning.view.refusal)
    tuning.background.close()  # as when the kernel ends
    again = TuneController(
        tmp_path, Background(), draft, lambda spec, name: draft.clone(spec, name), lambda living: None, Theme()
    )
    try:
        again.follow()
        again.open(True)
        until(lambda: again.view.state is not None and again.view.state.counts["finished"] >= 2)
        assert again.view.state is not None
        assert again.view.state.status == "running"
        again.view.table.selected = ["1"]
        again.view.use.click()
        until(lambda: draft.origin)
        tried = again.view.state.trials[1].params[DROPOUT]
        assert draft.spec.flat()[DROPOUT] == tried
        again.view.form.table.selected = [DROPOUT]
        again.view.form.start.click()
        until(lambda: again.view.refusal)
        assert "it is running" in again.view.refusal
        again.view.asks["pause"].click()
        until(lambda: again.view.state is not None and again.view.state.status == "paused")
        held = [t.number for t in again.view.state.trials if t.state == "running"]
        number = min(held, default=len(again.view.state.trials))  # the next where the pause came between two trials
        again.view.asks["resume"].click()
        until(lambda: again.view.state is not None and again.view.state.status == "running")
        until(lambda: again.view.state is not None and ended(again.view.state, number))
        assert again.view.state.trials[number].state in ("finished", "pruned")  # held through the pause, not lost
        again.view.asks["stop"].click()
        until(
            lambda: again.view.state is not None and again.view.state.status == "stopped" and not again.view.state.alive
        )
    finally:
        again.background.close()


def test_resuming_takes_the_latest_budget_and_refuses_a_second_process(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from t4r_lab.data.prepared.prepared_data import Dataset
    from t4r_lab.tuning.studies.open_study import begin
    from t4r_lab.tuning.studies.storage import connect
    from t4r_lab.tuning.studies.storage_address import address

    started: list[str] = []
    monkeypatch.setattr(detached, "_start", lambda study, *rest: started.append(study.name))
    plan = Plan.of(small_spec(data), StudyOptions.parse({"space": {SMOOTHING: None}, "trials": 3}))
    begin("a/b", plan, Dataset.open(data).digest, connect(address(tmp_path, None)))
    with pytest.raises(InputError, match="no such study"):
        detached.resume("other", tmp_path)
    detached.resume("a/b", tmp_path)  # begun by the command line
    detached.launch(plan.spec, plan.options.model_copy(update={"trials": 9}), "a/b", tmp_path)
    detached.resume("a/b", tmp_path)
    study = detached.find("a/b", tmp_path)
    assert started == ["a/b"] * 3
    assert (study.name, load_study(study.folder / detached.SPEC)[1]["trials"]) == ("a/b", 9)
    with locked(study.folder / "lock"):
        assert Watch(tmp_path).living() == ["a/b"]
        with pytest.raises(InputError, match="it is running; stop it first"):
            detached.resume("a/b", tmp_path)
    assert Watch(tmp_path).living() == []
    state = Watch(tmp_path).look("").state
    assert state is not None
    assert (state.name, state.status) == ("a/b", "stopped")


def test_a_log_is_shown_as_a_terminal_shows_it(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"first\nbar 10 %\rbar 90 %\r        \rsecond\nbar 1 %\rbar 2 %")
    assert detached.DetachedStudy(tmp_path).log().splitlines() == ["first", "second", "bar 2 %"]


def test_the_form_says_how_long_it_takes(draft: Draft) -> None:
    plan = Plan.of(draft.spec, StudyOptions.parse({"space": {DROPOUT: None}, "workers": 2}))
    assert words(plan, 10.0) == (  # 2 epochs of 10 s, 30 trials, two at a time
        "1 knob for ndcg@5; 30 trials of about 20 s each: about 5 min with 2 workers; trial 0 is small"
    )


def test_a_study_from_a_shell_leaves_the_choice_and_its_tick_alone() -> None:
    view = panel([])
    shown = StudyState("mine", "stopped", objectives=("ndcg@5",), trials=(trial(0), trial(1)))
    view.show(Look(["mine"], [], shown))
    view.table.selected = ["1"]
    view.show(Look(["new", "mine"], ["new"], shown))
    assert (view.chosen, view.choice.value, view.table.selected) == ("mine", "mine", ["1"])
    view.choice.value = "new"
    assert view.chosen == "new"
    view.show(
        Look(
            ["new", "mine"],
            [],
            StudyState("new", "stopped", trials=(trial(0), trial(1)), error=InputError("", "full", "free some")),
        )
    )
    assert view.table.selected == []
    assert "Error: full" in view._progress.value


def test_the_command_line_detaches_to_the_same(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from t4r_lab.cli.program import main

    started: list[detached.DetachedStudy] = []
    monkeypatch.setattr(detached, "_start", lambda study, *rest: started.append(study))
    spec = tmp_path / "spec.yaml"
    spec.write_text(small_spec(data).to_yaml())
    assert main(["tune", str(spec), "--detach", "--search", f"{DROPOUT}=0:0.3", "--trials", "4", "--study", "bg"]) == 0
    assert "study bg runs in the background" in capsys.readouterr().out
    begun, section = load_study(started[0].folder / detached.SPEC)
    assert begun == small_spec(data)
    assert StudyOptions.parse(section).space[DROPOUT] == Range(low=0, high=0.3)
    assert main(["tune", str(spec), "--detach", "--search", "nowhere"]) == 2  # before any process
    assert len(started) == 1


def test_a_study_that_cannot_be_read_hides_no_other(tmp_path: Path, data: Path) -> None:
    import optuna

    from t4r_lab.tuning.studies.storage import connect
    from t4r_lab.tuning.studies.storage_address import address

    store = connect(address(tmp_path, None))
    optuna.create_study(study_name="half", storage=store.backend)
    look = Watch(tmp_path).look("")
    assert look.state is not None
    assert (look.names, look.state.status) == (["half"], "failed")
    assert "half made" in str(look.state.error)


def test_the_tab_stands_between_train_and_runs_and_finds_a_running_study_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = TABS.index("Tune")
    assert (TABS[at - 1], TABS[at + 1]) == ("Train", "Runs")
    monkeypatch.setattr(detached, "_start", lambda *study: None)
    study = detached.launch(small_spec(data), StudyOptions.parse({"space": {DROPOUT: None}}), "s", tmp_path)
    with locked(study.folder / "lock"):  # as its process would
        lab = Lab(tmp_path)
        try:
            until(lambda: lab.tabs.titles[at] == "Tune ●")
            assert "1 study running" in lab._header.value
            assert lab.tuning.view.loading  # nobody has looked, so nothing is read
            lab.tabs.selected_index = at
            until(lambda: lab.tuning.view.state is not None)
            assert "starting" in lab.tuning.view._progress.value
        finally:
            lab.close()
