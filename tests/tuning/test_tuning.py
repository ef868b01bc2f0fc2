"""Studies: trials are given out once, judged by what is asked for, and end each for its own reason.

Most of these train nothing: `trial.train` is replaced by a formula, so that what is known is exact.
"""

from __future__ import annotations

import csv
import io
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import polars as pl
import pytest

from t4r_lab.base import processors, retries
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Progress, Remark, Report, TrialEnded
from t4r_lab.base.retries import Unavailable
from t4r_lab.base.urls import shown
from t4r_lab.spec import RunSpec
from t4r_lab.spec.domains import parse_search
from t4r_lab.spec.study_options import Plan, StudyOptions
from t4r_lab.training.experiment import Experiment
from t4r_lab.tuning import lead, trial, worker
from t4r_lab.tuning import study_record as record
from t4r_lab.tuning.studies import open_study, storage, study
from t4r_lab.tuning.studies.storage import connect
from t4r_lab.tuning.studies.storage_address import address
from t4r_lab.tuning.study_images import FIGURES
from tests.support.panels import until
from tests.support.small import small_data, small_spec

SMOOTHING, DROPOUT = "model.heads.0.loss.label_smoothing", "model.body.dropout"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("data") / "d")


def begin(data: Path, home: Path, name: str = "s", **options: Any) -> study.Study:
    from t4r_lab.data.prepared.prepared_data import Dataset

    plan = Plan.of(small_spec(data), StudyOptions.parse({"space": {SMOOTHING: None, DROPOUT: None}, **options}))
    return open_study.begin(name, plan, Dataset.open(data).digest, connect(address(home, None)))


def orders(home: Path, name: str = "s", worker_name: str = "w", until: float | None = None) -> worker.Orders:
    return worker.Orders(name, address(home, None), str(home), worker_name, [1], until)


@pytest.fixture
def formula(monkeypatch: pytest.MonkeyPatch) -> list[RunSpec]:
    """In place of training: ndcg@5 is best at smoothing 0.3 without dropout, ece rises with the smoothing."""
    seen: list[RunSpec] = []

    def train(spec: RunSpec, plan: Plan, dataset: Any, folder: Path, epochs: list, stop: Any, prune: Any) -> dict:
        seen.append(spec)
        flat = spec.flat()
        ndcg = 1 - (flat[SMOOTHING] - 0.3) ** 2 - flat[DROPOUT]
        epochs.append({"loss": 1.0, "seconds": 0.1, "valid": {"ndcg@5": ndcg}})
        if plan.prunes and prune(1, ndcg):
            raise trial.Pruned("worse than others")
        return {"ndcg@5": ndcg, "ece": flat[SMOOTHING], "parameters": 10.0}

    monkeypatch.setattr(trial, "train", train)
    return seen


# ── giving out ──────────────────────────────────────────────────────────────────────────────────


def test_the_starting_spec_is_trial_0_and_the_count_is_exact(
    data: Path, tmp_path: Path, formula: list[RunSpec]
) -> None:
    begin(data, tmp_path, trials=8)
    assert worker.work(orders(tmp_path)) == 8
    opened = open_study.load("s", connect(address(tmp_path, None)))
    trials = opened.trials()
    assert [t.number for t in trials] == list(range(8))
    assert formula[0] == opened.plan.spec == opened.spec_of(trials[0])
    assert trials[0].params == {SMOOTHING: 0.0, DROPOUT: 0.1}
    assert [opened.spec_of(t) for t in trials] == formula
    assert all(0 <= t.params[SMOOTHING] <= 0.9 and 0 <= t.params[DROPOUT] <= 0.5 for t in trials)
    assert opened.ended()
    assert worker.work(orders(tmp_path)) == 0  # there is nothing left


def test_a_starting_spec_outside_the_search_is_trial_0_as_it_is(
    data: Path, tmp_path: Path, formula: list[RunSpec]
) -> None:
    outside = {SMOOTHING: "0.2:0.4", DROPOUT: "0.2:0.3"}  # it has 0 and 0.1
    begin(data, tmp_path, trials=3, space={path: parse_search(f"{path}={r}")[1] for path, r in outside.items()})
    assert worker.work(orders(tmp_path)) == 3
    opened = open_study.load("s", connect(address(tmp_path, None)))
    first, *others = opened.trials()
    assert first.start
    assert formula[0] == opened.plan.spec == opened.spec_of(first)
    assert not any(t.start for t in others)
    assert all(0.2 <= t.params[SMOOTHING] <= 0.4 and 0.2 <= t.params[DROPOUT] <= 0.3 for t in others)


def test_workers_at_once_share_one_budget(data: Path, tmp_path: Path, formula: list[RunSpec]) -> None:
    begin(data, tmp_path, trials=12)
    crew = [threading.Thread(target=worker.work, args=(orders(tmp_path, worker_name=f"w{i}"),)) for i in range(3)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    opened = open_study.load("s", connect(address(tmp_path, None)))
    assert Counter(t.state for t in opened.trials()) == {"finished": 12} or len(opened.trials()) == 12
    assert len(formula) == 12
    assert {t.worker for t in opened.trials()} <= {"w0", "w1", "w2"}


def test_two_studies_at_once_do_not_mix(data: Path, tmp_path: Path, formula: list[RunSpec]) -> None:
    begin(data, tmp_path, "one", trials=5, pruner="none")
    begin(data, tmp_path, "two", trials=7, space={DROPOUT: None}, pruner="none")
    crew = [threading.Thread(target=worker.work, args=(orders(tmp_path, name),)) for name in ("one", "two")]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    store = connect(address(tmp_path, None))
    assert [len(open_study.load(name, store).trials()) for name in ("one", "two")] == [5, 7]
    assert all(set(t.params) == {DROPOUT} for t in open_study.load("two", store).trials())
    assert set(open_study.all_names(store)) == {"one", "two"}


def test_a_larger_budget_goes_on(data: Path, tmp_path: Path, formula: list[RunSpec]) -> None:
    begin(data, tmp_path, trials=3)
    worker.work(orders(tmp_path))
    begin(data, tmp_path, trials=5)
    assert worker.work(orders(tmp_path)) == 2
    begin(data, tmp_path, trials=4)
    assert worker.work(orders(tmp_path)) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space": {DROPOUT: None}}, r"another space \(.*label_smoothing"),
        ({"space": {SMOOTHING: {"low": 0, "high": 0.5}, DROPOUT: None}}, "0 to 0.9, not 0 to 0.5"),
        ({"objectives": ["ece"]}, "another objectives"),
        ({"constraints": ["ece<=0.5"]}, "another constraints"),
        ({"sampler": "random"}, "another sampler"),
    ],
)
def test_another_plan_is_another_study(data: Path, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    begin(data, tmp_path)
    with pytest.raises(InputError, match=words):
        begin(data, tmp_path, **changes)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "qmc", "random"])
def test_every_sampler_fills_a_conditional_space(
    data: Path, tmp_path: Path, formula: list[RunSpec], sampler: str
) -> None:
    kinds = {"choices": ["gru", "sasrec"]}
    space = {"model.body.kind": kinds, "model.body.n_head": {"choices": [1, 2]}, SMOOTHING: None, DROPOUT: None}
    begin(data, tmp_path, trials=16, sampler=sampler, space=space, pruner="none")
    worker.work(orders(tmp_path))
    trials = open_study.load("s", connect(address(tmp_path, None))).trials()
    assert Counter(t.state for t in trials) == {"finished": 16}
    for t in trials[1:]:
        assert ("model.body.n_head" in t.params) == (t.params["model.body.kind"] == "sasrec")
    assert {t.params["model.body.kind"] for t in trials} == {"gru", "sasrec"}
    assert len({str(t.params) for t in trials}) > 12  # no two workers' or trials' numbers repeat


def test_a_grid_is_tried_point_by_point(data: Path, tmp_path: Path, formula: list[RunSpec]) -> None:
    space = {SMOOTHING: {"choices": [0, 0.3, 0.6]}, DROPOUT: {"choices": [0.1, 0.2]}}
    begin(data, tmp_path, sampler="grid", space=space)
    worker.work(orders(tmp_path))
    trials = open_study.load("s", connect(address(tmp_path, None))).trials()
    assert len(trials) == 6  # the start is one of them
    assert {(t.params[SMOOTHING], t.params[DROPOUT]) for t in trials} == {
        (s, d) for s in (0, 0.3, 0.6) for d in (0.1, 0.2)
    }
    with pytest.raises(InputError, match="the grid has 3,125 points"):
        begin(
            data,
            tmp_path,
            "large",
            sampler="grid",
            space=dict.fromkeys(
                [SMOOTHING, DROPOUT, "model.inputs.dropout", "train.learning_rate", "train.weight_decay"]
            ),
        )
    assert open_study.all_names(connect(address(tmp_path, None))) == ["s"]  # nothing was begun


# ── judging ─────────────────────────────────────────────────────────────────────────────────────


def test_the_best_is_optunas_and_the_search_finds_it(data: Path, tmp_path: Path, formula: list[RunSpec]) -> None:
    begin(data, tmp_path, trials=40, pruner="none")
    worker.work(orders(tmp_path))
    opened = open_study.load("s", connect(address(tmp_path, None)))
    (best,) = opened.front()
    assert best.number == opened.optuna.best_trial.number
    assert best.values["ndcg@5"] > 0.95
    assert best.values["ndcg@5"] > opened.trials()[0].values["ndcg@5"]
    shares = opened.importance("ndcg@5").shares
    assert next(iter(shares)) == DROPOUT  # which counts linearly over 0.5, the other by squares of at most 0.36
    assert sum(shares.values()) == pytest.approx(1)


def test_the_front_of_two_objectives_with_a_constraint(data: Path, tmp_path: Path, formula: list[RunSpec]) -> None:
    begin(data, tmp_path, trials=30, objectives=["ndcg@5", "ece"], constraints=["ece>=0.05"])
    worker.work(orders(tmp_path))
    opened = open_study.load("s", connect(address(tmp_path, None)))
    trials = opened.trials()
    feasible = [t for t in trials if t.metrics["ece"] >= 0.05]
    assert [t.number for t in feasible] == [t.number for t in trials if t.feasible]
    beats = lambda a, b: (  # noqa: E731
        a["ndcg@5"] >= b["ndcg@5"] and a["ece"] <= b["ece"] and (a["ndcg@5"] > b["ndcg@5"] or a["ece"] < b["ece"])
    )
    front = {t.number for t in feasible if not any(beats(o.values, t.values) for o in feasible)}
    assert {t.number for t in opened.front()} == front == {t.number for t in opened.optuna.best_trials}
    values = [t.values["ndcg@5"] for t in opened.front()]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("objective", ["ndcg@5", "ece"])
def test_importance_is_of_what_made_trials_good(
    data: Path, tmp_path: Path, formula: list[RunSpec], objective: str
) -> None:
    begin(data, tmp_path, trials=20, sampler="qmc", pruner="none", objectives=[objective])
    worker.work(orders(tmp_path))
    opened = open_study.load("s", connect(address(tmp_path, None)))
    by_direction = optuna.importance.get_param_importances(opened.optuna)  # which knows the study's own
    assert opened.importance(objective).shares == pytest.approx(by_direction)
    upside_down = optuna.importance.get_param_importances(
        opened.optuna, target=lambda t: t.values[0] * (1 if objective == "ndcg@5" else -1)
    )
    assert opened.importance(objective).shares != pytest.approx(upside_down)  # so this can fail


def test_why_importance_cannot_be_told(data: Path, tmp_path: Path, formula: list[RunSpec]) -> None:
    begin(data, tmp_path, trials=9, pruner="none")
    worker.work(orders(tmp_path))
    opened = open_study.load("s", connect(address(tmp_path, None)))
    assert opened.importance("ndcg@5") == study.Importance({}, "10 finished trials tell it; there are 9")
    begin(data, tmp_path, trials=10, pruner="none")
    worker.work(orders(tmp_path))
    assert opened.importance("ndcg@5").shares
    assert opened.importance("ndcg@5").reason == ""


def tried(data: Path, home: Path, name: str, sampler: str, **options: object) -> list[dict[str, object]]:
    """The values of five trials of a study of that name."""
    begin(data, home, name, trials=6, sampler=sampler, pruner="none", **options)
    worker.work(orders(home, name))
    return [trial.params for trial in open_study.load(name, connect(address(home, None))).trials()][1:]


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_two_studies_try_other_values_and_one_name_the_same(
    data: Path, tmp_path: Path, formula: list[RunSpec], sampler: str
) -> None:
    first = tried(data, tmp_path / "a", "first", sampler)
    assert tried(data, tmp_path / "a", "second", sampler) != first
    assert tried(data, tmp_path / "b", "first", sampler) == first
    fixed = tried(data, tmp_path / "a", "third", sampler, seed=7)
    assert tried(data, tmp_path / "a", "fourth", sampler, seed=7) == fixed != first


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_pruned_trials_say_so(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pruner: str) -> None:
    def train(spec: RunSpec, plan: Plan, dataset: Any, folder: Path, epochs: list, stop: Any, prune: Any) -> dict:
        for epoch in (1, 2, 3):
            epochs.append({"loss": 1.0, "seconds": 0.1, "valid": {"ndcg@5": -spec.flat()[DROPOUT]}})
            if prune(epoch, -spec.flat()[DROPOUT]):
                raise trial.Pruned(f"worse than others after epoch {epoch} of 9")
        return {"ndcg@5": -spec.flat()[DROPOUT]}

    monkeypatch.setattr(trial, "train", train)
    begin(data, tmp_path, trials=30, pruner=pruner, sampler="random")
    worker.work(orders(tmp_path))
    trials = open_study.load("s", connect(address(tmp_path, None))).trials()
    states = Counter(t.state for t in trials)
    assert states["pruned"] > 3
    assert states["pruned"] + states["finished"] == 30
    assert all("worse than others after epoch" in t.reason and t.epochs for t in trials if t.state == "pruned")
    best = max((t for t in trials if t.state == "finished"), key=lambda t: t.values["ndcg@5"])
    assert best.params[DROPOUT] == min(t.params[DROPOUT] for t in trials)  # the best was not pruned


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────


def failing(faults: dict[int, Callable[[], Any]]) -> Callable[..., dict[str, float]]:
    calls = iter(range(10**6))

    def train(spec: RunSpec, *rest: Any) -> dict[str, float]:
        fault = faults.get(next(calls))
        return {"ndcg@5": fault() if fault else 0.5}

    return train


def throw(error: BaseException) -> Callable[[], Any]:
    def fault() -> Any:
        raise error

    return fault


def test_a_trial_fails_alone_with_its_reason(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = {
        1: throw(trial.Diverged("the training loss is not finite")),
        2: throw(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")),
        3: throw(MemoryError()),
        4: throw(InputError("features", "too wide", "use fewer")),
        5: throw(ZeroDivisionError("division by zero")),
        6: throw(pl.exceptions.PanicException("index out of bounds")),  # to Python no Exception
    }
    monkeypatch.setattr(trial, "train", failing(faults))
    begin(data, tmp_path, trials=8, pruner="none")
    assert worker.work(orders(tmp_path)) == 9
    trials = open_study.load("s", connect(address(tmp_path, None))).trials()
    ended = ["finished", *["failed"] * 3, "refused", "failed", "failed", "finished", "finished"]
    assert [t.state for t in trials] == ended  # what was refused has trained nothing, so that no trial is paid for it
    words = ["diverged: the", "out of memory: ", "out of memory: ", "features: too wide", "ZeroDivisionError: div"]
    words += ["PanicException: index"]
    assert [t.reason[: len(w)] for t, w in zip(trials[1:], words, strict=False)] == words


def test_values_that_fit_no_model_cost_no_trial(data: Path, tmp_path: Path, formula: list[RunSpec]) -> None:
    space = {"model.body.kind": {"choices": ["sasrec"]}, "model.body.n_head": {"choices": [2, 3]}, DROPOUT: None}
    begin(data, tmp_path, trials=8, space=space, pruner="none", sampler="random")
    worker.work(orders(tmp_path))
    trials = open_study.load("s", connect(address(tmp_path, None))).trials()
    states = Counter(t.state for t in trials)
    assert states["finished"] == 8
    assert states["refused"] > 0
    assert all("does not divide d_model" in t.reason for t in trials if t.state == "refused")


def test_a_dead_worker_s_trial_is_tried_again_with_the_same_values(
    data: Path, tmp_path: Path, formula: list[RunSpec]
) -> None:
    opened = begin(data, tmp_path, trials=3, pruner="none")
    opened = open_study.load("s", opened.store, [0])
    claimed = opened.claim("dead")
    assert claimed is not None
    worker.choose(claimed, opened.plan)  # it has its values when its worker dies
    opened.release("dead")
    again = opened.claim("dead")
    assert again is not None
    value = worker.choose(again, opened.plan)
    assert value == opened.plan.spec  # trial 0 stays the starting spec
    opened.release("dead")
    assert worker.work(orders(tmp_path)) == 3
    trials = opened.trials()
    assert [t.state for t in trials] == ["lost", "lost", "finished", "finished", "finished"]
    assert trials[0].reason == "its worker died; tried again as trial 1"
    assert [t.start for t in trials] == [True, True, True, False, False]
    assert len(formula) == 3


def test_a_trial_that_kills_its_workers_is_given_up(data: Path, tmp_path: Path, formula: list[RunSpec]) -> None:
    opened = open_study.load("s", begin(data, tmp_path, trials=2, pruner="none").store, [0])
    for _ in range(study.MOST_RETRIES + 1):
        assert opened.claim("dead") is not None
        opened.release("dead")
    assert worker.work(orders(tmp_path)) == 2
    *lost, last = (t for t in opened.trials() if t.state == "lost")
    assert [t.reason for t in lost] == [f"its worker died; tried again as trial {t.number + 1}" for t in lost]
    assert (len(lost), last.reason) == (study.MOST_RETRIES, "its worker died; not tried again")
    assert [t.start for t in opened.trials() if t.state == "finished"] == [False, False]


def test_a_worker_that_dies_in_its_claim_leaves_nothing(data: Path, tmp_path: Path, formula: list[RunSpec]) -> None:
    opened = open_study.load("s", begin(data, tmp_path, trials=2, pruner="none").store, [0])
    opened.optuna.ask()  # given out, but nobody's: as if killed between the two
    assert worker.work(orders(tmp_path)) == 2
    assert Counter(t.state for t in opened.trials()) == {"lost": 1, "finished": 2}


def test_a_worker_without_a_sign_of_life_is_given_up(
    data: Path, tmp_path: Path, formula: list[RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr(storage, "GRACE", 1)
    opened = open_study.load("s", begin(data, tmp_path, trials=2, pruner="none").store, [0])
    assert opened.claim("far away") is not None
    began = time.monotonic()
    assert worker.work(orders(tmp_path)) == 2
    assert time.monotonic() - began > 0.8
    assert Counter(t.state for t in opened.trials()) == {"lost": 1, "finished": 2}


def test_a_running_trial_is_left_alone(data: Path, tmp_path: Path, formula: list[RunSpec]) -> None:
    opened = open_study.load("s", begin(data, tmp_path, trials=2, pruner="none").store, [0])
    assert opened.claim("alive") is not None
    done = threading.Thread(target=worker.work, args=(orders(tmp_path),))
    done.start()
    until(lambda: Counter(t.state for t in opened.trials()) == {"running": 1, "finished": 1})
    opened.release("alive")
    done.join()
    assert Counter(t.state for t in opened.trials()) == {"lost": 1, "finished": 2}


def test_stopped_from_elsewhere_and_gone_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(spec: RunSpec, plan: Plan, dataset: Any, folder: Path, epochs: list, stop: Any, prune: Any) -> dict:
        if len(done) == 2:
            lead.stop("s", home=tmp_path)
            while not stop():
                time.sleep(0.05)
            raise trial.Interrupted
        done.append(spec)
        return {"ndcg@5": 0.5}

    done: list[RunSpec] = []
    monkeypatch.setattr(trial, "train", train)
    begin(data, tmp_path, trials=4, pruner="none")
    worker.work(orders(tmp_path))
    result, trials = lead.report("s", home=tmp_path)
    assert (result.status, result.counts) == ("stopped", {"finished": 2, "lost": 1, "waiting": 1})
    assert trials[2].reason == "it was stopped; tried again as trial 3"
    monkeypatch.setattr(trial, "train", failing({}))
    begin(data, tmp_path, trials=4, pruner="none")
    worker.work(orders(tmp_path))
    result, trials = lead.report("s", home=tmp_path)
    assert (result.status, result.counts) == ("finished", {"finished": 4, "lost": 1})
    assert trials[3].params == trials[2].params


def test_a_pause_holds_the_trial_and_costs_no_minutes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(spec: RunSpec, plan: Plan, dataset: Any, folder: Path, epochs: list, stop: Any, prune: Any) -> dict:
        begun.set()
        assert release.wait(60)  # the pause has been asked for
        time.sleep(worker.POLL + 0.1)  # and is seen at the next look
        began = time.monotonic()
        answers.append(stop())
        held.append(time.monotonic() - began)
        return {"ndcg@5": 0.5}

    begun, release, answers, held = threading.Event(), threading.Event(), [], []
    monkeypatch.setattr(trial, "train", train)
    opened = begin(data, tmp_path, minutes=1, trials=1, pruner="none")
    with pytest.raises(InputError, match="it has no running worker to pause"):
        lead.pause("s", home=tmp_path)
    assert not lead.end_pause("s", home=tmp_path)
    crew = threading.Thread(target=worker.work, args=(orders(tmp_path),))
    crew.start()
    assert begun.wait(60)
    before = time.time()
    lead.pause("s", home=tmp_path)
    after = time.time()
    opened.set_attribute(study.UNTIL, ends := after + 0.5)  # over in the midst of the pause
    release.set()
    time.sleep(2.5)
    result, trials = lead.report("s", home=tmp_path)
    assert (result.status, [t.state for t in trials], answers) == ("paused", ["running"], [])
    least = time.time() - after
    assert lead.end_pause("s", home=tmp_path)
    assert least <= opened.requests().until - ends <= time.time() - before
    crew.join()
    assert answers == [False]
    assert held[0] > 1
    assert lead.report("s", home=tmp_path)[0].counts == {"finished": 1}


def test_a_paused_study_can_be_stopped(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(spec: RunSpec, plan: Plan, dataset: Any, folder: Path, epochs: list, stop: Any, prune: Any) -> dict:
        lead.pause("s", home=tmp_path)
        threading.Timer(0.5, lead.stop, ["s"], {"home": tmp_path}).start()
        while not stop():
            time.sleep(0.05)
        raise trial.Interrupted

    monkeypatch.setattr(trial, "train", train)
    begin(data, tmp_path, trials=2, pruner="none")
    worker.work(orders(tmp_path))
    result, trials = lead.report("s", home=tmp_path)
    assert (result.status, trials[0].reason) == ("stopped", "it was stopped; tried again as trial 1")


def test_workers_elsewhere_keep_the_minutes_of_the_study(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "train", failing({}))
    begin(data, tmp_path, minutes=1, pruner="none").set_attribute(study.UNTIL, time.time() - 1)
    assert worker.work(orders(tmp_path)) == 0


def test_progress_is_of_the_time_where_only_that_is_given(data: Path, tmp_path: Path) -> None:
    opened = begin(data, tmp_path, minutes=10)
    opened.set_attribute(study.UNTIL, time.time() + 450.5)
    searching = Progress("searching", 144, 600, "s")  # 24 hundredths
    assert lead._progress(opened.requests(), opened.trials(), 10) == searching
    by_trials = begin(data, tmp_path, "t", minutes=10, trials=5)
    assert lead._progress(by_trials.requests(), by_trials.trials(), 10) == Progress("searching", 0, 5, "trials")


def test_no_trial_begins_that_would_not_end_in_time(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*rest: Any) -> dict[str, float]:
        time.sleep(1)
        return {"ndcg@5": 0.5}

    monkeypatch.setattr(trial, "train", train)
    clock = Clock(monkeypatch)
    begin(data, tmp_path, minutes=1, pruner="none")
    assert worker.work(orders(tmp_path, until=clock.now + 0.5)) == 1  # a second one would take a second


def test_minutes_end_a_study(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*rest: Any) -> dict[str, float]:
        clock.now += 10
        return {"ndcg@5": 0.5}

    monkeypatch.setattr(trial, "train", train)
    clock = Clock(monkeypatch)
    begin(data, tmp_path, minutes=1, pruner="none")
    assert worker.work(orders(tmp_path, until=clock.now + 25)) == 3  # begun at 0, 10 and 20
    assert Counter(t.state for t in open_study.load("s", connect(address(tmp_path, None))).trials()) == {"finished": 3}


class Clock:
    """The time as a worker sees it, which stands still unless it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.time()
        monkeypatch.setattr(worker, "time", SimpleNamespace(time=lambda: self.now, sleep=time.sleep))


@pytest.mark.parametrize("name", ["ece", "ndcg@5"])
def test_a_value_that_is_no_number_fails_the_trial(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from t4r_lab.training import judgment

    judged = judgment.judge
    spoiled = lambda *given: SimpleNamespace(metrics=lambda: {**judged(*given).metrics(), name: math.nan})  # noqa: E731
    monkeypatch.setattr(judgment, "judge", spoiled)
    options = StudyOptions.parse({"space": {DROPOUT: None}, "objectives": ["ndcg@5", "ece"]})
    plan = Plan.of(small_spec(data, train__epochs=1), options)
    with pytest.raises(trial.Diverged, match=f"{name} is not a finite number"):
        trial.train(plan.spec, plan, Experiment.open(plan.spec), tmp_path / "trial", [])


# ── storage ─────────────────────────────────────────────────────────────────────────────────────


def test_a_storage_that_is_away_is_waited_for_by_those_who_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def call() -> str:
        calls.append(1)
        if len(calls) < 4:
            raise optuna.exceptions.StorageInternalError("away")
        return "there"

    calls: list[int] = []
    monkeypatch.setattr(retries, "LONGEST", 0.001)
    reader = connect(address(tmp_path, None))
    with pytest.raises(Unavailable, match=r"can't be reached \(away\)"):
        reader.patiently(call)
    assert len(calls) == 1
    assert reader.waiting().patiently(call) == "there"
    assert len(calls) == 4
    (message,) = [record.message for record in caplog.records]  # once, and again after half a minute
    assert message.startswith(f"storage {reader.url}: it can't be reached")
    assert "waiting for it, nothing is lost" in message
    with pytest.raises(ZeroDivisionError):  # no affair of the storage
        reader.waiting().patiently(lambda: 1 // 0)


def test_what_waits_within_what_waits_is_made_again_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = {"outer": 0, "inner": 0}

    def inner() -> str:
        tries["inner"] += 1
        if tries["inner"] < 3:
            raise Unavailable("storage", "away", "wait")
        return "there"

    def outer() -> str:
        tries["outer"] += 1
        return retries.patiently(inner)

    monkeypatch.setattr(retries, "LONGEST", 0.001)
    assert retries.patiently(outer) == "there"
    assert tries == {"outer": 3, "inner": 3}
    monkeypatch.setattr(retries, "STOPPING", 0.0)
    tries["inner"] = 0
    retries.hurry.set()  # as by Ctrl-C
    try:
        with pytest.raises(Unavailable):
            retries.patiently(outer)
    finally:
        retries.hurry.clear()
    assert tries["inner"] == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            "postgresql://lab:hu@shed@host/db",
            r"postgresql://lab:\*\*\*@host/db: has a character that separates parts of an address; write an @, / or \? in .* as %40",
        ),
        ("postgresql://lab:hu@sh/ed@host/db", "as %40, %2F or %3F"),
        ("postgresql://lab:hu@sh?ed@host/db", "as %40, %2F or %3F"),
        ("postgresql://lab:hushed/db", r"postgresql://lab:\*\*\*/db: its port is not a number"),
        ("postgresql://lab:hushed@host:x/db", "its port is not a number"),
        ("lab:hushed@host/db", r"lab:\*\*\*@host/db: not an address of a storage; write postgresql://"),
        ("host=h password=hushed", r"host=h password=\*\*\*: not an address of a storage; write postgresql://"),
        ("sqlite:///:memory:", "write sqlite:////path"),
        ("sqlite:///file:studies.db?uri=true", "write sqlite:////path"),
        ("sqlite:///studies.db?timeout=5", "write sqlite:////path"),
        ("sqlite:///", "write sqlite:////path"),
    ],
)
def test_an_address_that_would_be_read_as_another_is_refused(
    given: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words) as refusal:
        lead.report("s", home=tmp_path / "home", storage=given)
    assert not any(part in str(refusal.value) for part in ("hushed", "shed@", "hu@", "sh/ed", "sh?ed"))
    assert [path.name for path in tmp_path.iterdir()] in ([], ["home"])  # no lock of a file that isn't one
    assert not list((tmp_path / "home").rglob("*"))


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://lab:hu%40shed@host/db",
        "postgresql+psycopg://lab@host/db",
        "postgres://one:5432,two:5433/db",
        "postgresql://host/db?user=l%40b&password=x",
        "postgresql://lab:pa/ssw#o@host/db",
        "postgresql://[::1]:5432/db",
        "postgresql://host/db?user=a@b",
    ],
)
def test_addresses_that_are_fine(given: str) -> None:
    assert address(Path("/home"), given) == "postgresql+psycopg://" + given.partition("://")[2]


def test_passwords_are_not_shown() -> None:
    url = address(Path("/home"), "postgresql://lab:secret@host:5432/db")
    assert url == "postgresql+psycopg://lab:secret@host:5432/db"
    assert shown(url) == "postgresql://lab:***@host:5432/db"
    assert shown("sqlite:///studies.db") == "sqlite:///studies.db"


def test_an_unknown_study_is_answered_with_the_nearest(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are none yet"):
        lead.report("shop", home=tmp_path)
    begin(data, tmp_path, "shop")
    with pytest.raises(InputError, match="did you mean 'shop'"):
        lead.report("shpo", home=tmp_path)


def test_other_data_are_refused(data: Path, tmp_path: Path) -> None:
    opened = begin(data, tmp_path)
    with pytest.raises(InputError, match="begun on other data"):
        open_study.begin("s", opened.plan, "0" * 64, opened.store)
    opened.set_attribute(study.PLAN, {**opened.optuna.user_attrs[study.PLAN], "digest": "0" * 64})
    with pytest.raises(InputError, match="not the data of study s"):
        worker.work(orders(tmp_path))


# ── real trainings ──────────────────────────────────────────────────────────────────────────────


def test_a_trial_is_trained_and_judged_as_a_run_is(data: Path, tmp_path: Path) -> None:
    from t4r_lab.base.reports import silent
    from t4r_lab.runs import run

    spec = small_spec(data, model__heads__0__loss__label_smoothing=0.2)
    options = StudyOptions.parse(
        {"space": {DROPOUT: None}, "objectives": ["ndcg@5", "ece"], "constraints": ["latency_ms<=1e6"]}
    )
    epochs: list[dict[str, Any]] = []
    metrics = trial.train(spec, Plan.of(spec, options), Experiment.open(spec), tmp_path / "trial", epochs)
    whole = run.run(spec, home=tmp_path / "home", on_report=silent)
    for name, value in whole.valid.items():
        assert metrics[name] == value, name
    assert len(epochs) == spec.train.epochs
    assert max(e["valid"]["ndcg@5"] for e in epochs) == metrics["ndcg@5"]
    # counted by hand: 41 rows of 8 tied with the output, item bias, one GRU layer of 8
    assert metrics["latency_ms"] > 0
    assert metrics["parameters"] == sum(v.numel() for v in _weights(tmp_path / "home", whole.run_id).values())


def test_a_pause_counts_in_no_epoch_s_time(data: Path, tmp_path: Path) -> None:

    def slowly() -> bool:
        time.sleep(0.1)
        return False

    epochs: list[dict[str, Any]] = []
    plan = Plan.of(small_spec(data), StudyOptions.parse({"space": {DROPOUT: None}}))
    began = time.monotonic()
    trial.train(plan.spec, plan, Experiment.open(plan.spec), tmp_path / "trial", epochs, slowly)
    whole, waited = time.monotonic() - began, sum(e["waited"] for e in epochs)
    assert waited > 0.4  # batches of two epochs, and the end of the first
    assert all(e["seconds"] > 0 for e in epochs)
    assert sum(e["seconds"] for e in epochs) + waited < whole


def _weights(home: Path, run_id: str) -> dict[str, Any]:
    from safetensors.torch import load_file

    from t4r_lab import tracking
    from t4r_lab.training import assembly

    model, *_ = assembly.load(tracking.artifacts(home, run_id) / "model")
    assert load_file(tracking.artifacts(home, run_id) / "model" / "model.safetensors")
    return dict(model.named_parameters())


@pytest.mark.slow
def test_tune_leads_workers_and_records(data: Path, tmp_path: Path) -> None:
    from t4r_lab import tracking

    reports: list[Report] = []
    options = StudyOptions.parse({"presets": ["regularizers"], "trials": 7, "workers": 2, "pruner": "none"})
    spec = small_spec(data, train__epochs=1)
    result = lead.tune(spec, options, home=tmp_path, on_report=reports.append)
    assert (result.name, result.status, result.counts) == ("small", "finished", {"finished": 7})
    assert sorted(r.number for r in reports if isinstance(r, TrialEnded)) == list(range(7))
    assert any("7 trials of about" in r.words for r in reports if isinstance(r, Remark))
    assert len({t.worker for t in lead.report("small", home=tmp_path)[1]}) == 2
    # the record: a run of the study, under which each trial stands; neither is a run of the Lab
    assert tracking.runs(tmp_path) == []
    client, experiment = tracking.client_of(tmp_path)
    runs = client.search_runs([experiment])
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == result.run_id]
    (parent,) = [r for r in runs if r.info.run_id == result.run_id]
    assert len(children) == 7 == len(runs) - 1
    assert parent.info.status == "FINISHED"
    trials = {str(t.number): t for t in lead.report("small", home=tmp_path)[1]}
    for child in children:
        t = trials[child.data.tags["t4r.trial"]]
        assert child.data.metrics["valid/ndcg_at_5"] == t.values["ndcg@5"]
        assert child.inputs.dataset_inputs[0].dataset.name == data.name
        assert f"label smoothing {t.params[SMOOTHING]:.3g}, " in child.data.tags["mlflow.note.content"]
        assert float(child.data.params[SMOOTHING]) == t.params[SMOOTHING]
        assert client.get_metric_history(child.info.run_id, "epoch.valid/ndcg_at_5")[0].value == t.values["ndcg@5"]
    assert parent.data.metrics["valid/ndcg_at_5"] == max(t.values["ndcg@5"] for t in trials.values())
    best = result.front[0]
    note = f"ndcg@5 over 8 knobs on {data.name}; trial {best.number} is best: ndcg@5 {best.values['ndcg@5']:.4g}"
    assert parent.data.tags["mlflow.note.content"] == note
    folder = tracking.artifacts(tmp_path, result.run_id)
    assert RunSpec.load(folder / "best.yaml") == result.best
    rows = list(csv.DictReader(io.StringIO((folder / "study.csv").read_text())))
    assert [float(r["ndcg@5"]) for r in rows] == [t.values["ndcg@5"] for t in trials.values()]
    page = (folder / "figures.html").read_text()
    assert page.count("Plotly.newPlot") >= 5
    assert "src=" not in page.replace("src=\\", "")[:2000]  # nothing is fetched
    images = {path.stem for path in (folder / "figures").iterdir()}
    assert images == set(FIGURES) - {"pareto_front", "importance"}  # of one objective, and too few trials
    assert not (tmp_path / "studies" / "scratch").exists() or not list((tmp_path / "studies" / "scratch").iterdir())
    # a second call has nothing to do, and records nothing twice
    again = lead.tune(spec, options, home=tmp_path, on_report=reports.append)
    assert (again.run_id, again.counts) == (result.run_id, result.counts)
    assert len(client.search_runs([experiment])) == 8


def test_what_was_not_recorded_is_made_up_for(data: Path, tmp_path: Path, formula: list[RunSpec]) -> None:
    from t4r_lab import tracking
    from t4r_lab.tracking import study_runs

    begun = begin(data, tmp_path, trials=4, pruner="none")
    worker.work(orders(tmp_path))
    opened = record.open_record(begun, tmp_path)
    assert record.open_record(begun, tmp_path).run_id == opened.run_id
    recorded: set[int] = set()
    record.write_trials(begun, opened, begun.trials()[:2], recorded)
    client, experiment = tracking.client_of(tmp_path)
    torn = {"mlflow.parentRunId": opened.run_id, "t4r.trial": "2", "t4r.study": "s"}
    client.create_run(experiment, tags=torn)  # whose writer was killed in the midst
    recorded = study_runs.recorded_trials(tmp_path, opened.run_id)
    assert recorded == {0, 1}
    record.write_trials(begun, opened, begun.trials(), recorded)
    assert study_runs.recorded_trials(tmp_path, opened.run_id) == {0, 1, 2, 3}
    assert len(client.search_runs([experiment])) == 5


def test_more_workers_than_cores_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "processors", lambda: 2)
    assert lead._too_many(2) == []
    assert "3 workers share 2 cores" in lead._too_many(3)[0]
