"""One truth for the data: what the Lab shows, writes, searches and trains is on the data that were chosen."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t4r_lab.base.errors import InputError
from t4r_lab.lab.app import Lab
from t4r_lab.lab.panels.architecture.architecture_panel import ArchitecturePanel
from t4r_lab.lab.panels.architecture.elements import head_offers, no_head_offered
from t4r_lab.lab.panels.tune.search_form import SearchForm, offered
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.cost import CostEstimate
from t4r_lab.lab.state.draft import Draft, OpenData
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec import RunSpec
from t4r_lab.spec.presets import PRESETS
from t4r_lab.training import assembly
from t4r_lab.training.estimate import Cost, Estimate
from tests.support.panels import HEADS, shop, until

ITEM = Column(name="item_id", kind="categorical", role="item", size=41)
PRICE = Column(name="price", kind="continuous")
BRAND = Column(name="brand", kind="categorical", scope="item", size=9)
BOUGHT = Column(name="bought", kind="categorical", role="target", scope="session", size=4)
RATING = Column(name="rating", kind="continuous", role="target", scope="session")
A = Schema(columns=(ITEM, PRICE, BRAND, BOUGHT, RATING))
B = Schema(columns=(ITEM,))
C = Schema(columns=(ITEM, BRAND, RATING.model_copy(update={"kind": "categorical", "size": 9})))
DATA = {"a": A, "b": B, "c": C}


def on_a(**model: Any) -> Draft:
    return Draft(RunSpec.parse({"data": {"path": "a"}, "model": {"heads": HEADS, **model}}), A)


def use(d: Draft, name: str) -> None:
    d.use_data(OpenData(name, DATA[name]))


# ── the draft ───────────────────────────────────────────────────────────────────────────────────


def test_other_data_are_taken_at_once_and_what_they_lack_is_refused_until_it_goes() -> None:
    d = on_a()
    use(d, "b")
    assert d.spec.data.path == "b" and len(d.spec.model.heads) == 3  # nothing is dropped unasked
    assert set(d.errors) == {"model.heads.1.column", "model.heads.2.column"}
    assert d.lacking == ("model.heads.1", "model.heads.2") and "(and 1 more)" in d.obstacle
    with pytest.raises(InputError, match="no label 'bought'"):
        d.ready()
    d.set("model.heads", d.spec.to_dict()["model"]["heads"][:2])  # as Remove does, one after the other
    assert set(d.errors) == {"model.heads.1.column"}
    d.set("model.heads", d.spec.to_dict()["model"]["heads"][:1])
    assert d.valid and d.ready().data.path == "b"


def test_a_preset_after_other_data_is_on_those() -> None:
    d = on_a()
    use(d, "b")
    for name in PRESETS:
        d.start(name)
        assert d.valid and d.ready().data.path == "b" and d.preset == name


def test_going_back_to_the_first_data_undoes_it_all() -> None:
    d = on_a(
        inputs={"features": {"item_id": {}, "price": {"encoding": "soft_one_hot", "bins": 7}, "brand": {"dim": 5}}}
    )
    before = d.spec
    for names in ("ba", "bca", "cba", "bbca"):
        for name in names:
            use(d, name)
        assert d.valid and d.spec == before, names


def test_all_that_the_data_lack_goes_in_one_step() -> None:
    features = {"item_id": {}, "price": {}, "brand": {}, "text": {"vectors": {"path": "t.npy"}}}
    d = on_a(inputs={"features": features}, towers=[{"body": {"kind": "gpt2"}, "inputs": {"features": {"price": {}}}}])
    d.set("train.monitor", "rating/rmse")
    use(d, "b")
    d.drop()
    assert d.valid and [head.kind for head in d.spec.model.heads] == ["next_item"]
    assert set(d.spec.model.inputs.features or {}) == {"item_id", "text"}
    assert d.spec.model.towers[0].inputs.features == {}  # the item alone: not every feature again
    assert d.spec.train.monitor is None
    for words in ("head bought", "head rating", "feature price", "feature brand", "'rating/rmse' is not computed"):
        assert words in d.note


def test_without_any_head_left_the_next_item_is_predicted() -> None:
    d = on_a(heads=HEADS[1:])
    use(d, "b")
    d.drop()
    assert d.valid and [head.kind for head in d.spec.model.heads] == ["next_item"]


def test_a_label_of_another_kind_is_refused_and_can_be_dropped() -> None:
    d = on_a()
    use(d, "c")
    assert (
        d.lacking == ("model.heads.1", "model.heads.2")
        and "regression is not for label" in d.errors["model.heads.2.kind"].problem
    )
    d.set("model.heads.2.kind", "categorical")
    assert d.lacking == ("model.heads.1",)


def test_what_cannot_be_dropped_ends() -> None:
    d = on_a(heads=[{"kind": "next_item", "weight": 0}, *HEADS[1:]])
    use(d, "b")
    d.drop()  # which leaves nothing to learn
    assert "every weight is 0" in d.obstacle
    d.set("model.heads.0.weight", 1.0)
    assert d.valid and len(d.spec.model.heads) == 1


def test_an_edit_that_fits_is_taken_whatever_else_is_refused() -> None:
    d = on_a()
    d.set("model.body.n_head", 5)
    d.set("train.epochs", 3)
    assert d.spec.train.epochs == 3 and list(d.pending) == ["model.body.n_head"]
    d.set("model.body.d_model", 66)  # neither goes with what stands, and they don't go together
    assert set(d.pending) == {"model.body.n_head", "model.body.d_model"} and len(d.errors) == 1
    d.set("model.heads", HEADS[:1])
    assert len(d.spec.model.heads) == 1
    use(d, "b")
    assert d.spec.data.path == "b" and set(d.pending) == {"model.body.n_head", "model.body.d_model"}
    d.set("model.body.n_head", 6)
    assert d.valid and (d.spec.model.body.n_head, d.spec.model.body.d_model) == (6, 66)


def test_errors_keep_their_parts_and_are_at_the_path_of_their_field() -> None:
    d = on_a()
    d.set("model.body.d_model", 66)  # the part that holds d_model and n_head is at fault
    d.refuse(InputError("data.path", "no such folder", "prepare it with --out"))
    assert [(path, error.path) for path, error in d.errors.items()] == [("data.path", "data.path")]
    assert d.obstacle == "data.path: no such folder; prepare it with “out”"
    d.set("train.epochs", 3)
    (error,) = d.errors.values()
    assert error.parts == (
        "model.body.d_model",
        "n_head 4 does not divide d_model 66",
        "choose n_head from [1, 2, 3, 6, 11, 22, 33]",
    )
    with pytest.raises(InputError) as refused:
        d.ready()
    assert refused.value.parts == (*error.parts[:2], f"{error.remedy}; fix it in Architecture")


def test_removing_the_head_that_is_judged_by_goes_back_to_the_default() -> None:
    d = on_a()
    d.set("train.monitor", "bought/auc")
    d.set("model.heads", [HEADS[0], HEADS[2]])
    assert d.valid and d.spec.train.monitor is None and "bought/auc" in d.note


def test_a_spec_from_elsewhere_is_on_its_own_data_or_on_the_present_ones() -> None:
    d = on_a()
    use(d, "b")
    other = RunSpec.parse({"name": "other", "data": {"path": "c"}})
    d.replace(other)
    assert d.spec.data.path == "b"
    d.clone(other, "run", OpenData("c", C))
    assert d.spec.data.path == "c" and d.schema is C and d.valid
    with pytest.raises(InputError, match="choose them in Data"):
        d.set("data.path", "a")


def test_while_data_are_opened_nothing_can_be_launched() -> None:
    d = on_a()
    view, form = ArchitecturePanel(d, d.set, lambda: None), SearchForm(d, lambda *study: None)
    form.table.selected = ["model.body.dropout"]
    assert not view.train.disabled and not form.start.disabled
    d.wait("Opening b …")
    assert view.train.disabled and form.start.disabled and "Opening b" in view._status.value + form._message.value
    use(d, "b")
    assert not d.waiting


# ── the panels ──────────────────────────────────────────────────────────────────────────────────


def test_every_panel_speaks_of_the_data_that_were_chosen() -> None:
    paths: list[str] = []

    def answer(spec: RunSpec) -> Estimate:
        paths.append(spec.data.path)
        return Estimate((Cost("model.body", 1000, 8, 8, 16, 0),), 6.4, 31)

    d, started = on_a(), list[Any]()
    costs = CostEstimate(d, Background(), answer)
    view, form = (
        ArchitecturePanel(d, d.set, lambda: None, cost_estimate=costs),
        SearchForm(d, lambda *s: started.append(s)),
    )
    view.view.value = "YAML"
    form.table.selected = ["model.body.dropout"]
    until(lambda: costs.estimate is not None)
    use(d, "b")
    assert costs.estimate is None and not costs.line  # what was found is of other data
    assert view.train.disabled and form.start.disabled
    assert "bought" in view._status.value and "Fix the spec in Architecture first: model.heads.1" in form._message.value
    assert RunSpec.loads(view.text.text).data.path == "b" and ">b<" in view.canvas.svg
    form._start()
    assert not started
    assert view.drop.layout.display == "" and view.drop.description == "Drop all 2 that don't fit"
    view.drop.click()
    assert not view.train.disabled and not form.start.disabled and view.drop.layout.display == "none"
    until(lambda: costs.estimate is not None)
    assert paths == ["a", "b"]
    form._start()
    assert started[0][0].data.path == "b"


def test_features_that_the_data_lack_stand_as_that_and_come_back() -> None:
    d = on_a(
        inputs={"features": {"item_id": {}, "price": {"encoding": "soft_one_hot", "bins": 7}, "brand": {}}},
        heads=HEADS[:1],
    )
    view = ArchitecturePanel(d, d.set, lambda: None)
    use(d, "b")
    row = view.features.rows["price"]
    assert row.ticked and "no such feature" in row._error.value and row.encoding.label == "absent"
    view.features.rows["brand"].tick.value = False
    assert {p for p in d.errors if "features" in p} == {"model.inputs.features.price"}
    use(d, "a")
    assert d.valid and d.spec.model.inputs.features is not None
    price = d.spec.model.inputs.features["price"]
    assert (price.encoding, price.bins) == ("soft_one_hot", 7)  # an edit of another row has kept it


def test_a_spec_that_is_copied_says_what_is_not_in_it() -> None:
    d = on_a()
    view = ArchitecturePanel(d, d.set, lambda: None)
    view.view.value = "YAML"
    d.set("model.body.n_head", 5)
    assert view.text.text.startswith("# not taken yet: model.body.n_head: 5\n")
    assert RunSpec.loads(view.text.text) == d.spec


def test_ticks_of_a_study_belong_to_their_head_and_go_with_it() -> None:
    d = on_a()
    form = SearchForm(d, lambda *study: None)
    form.table.selected = ["model.heads.1.dropout", "model.body.dropout"]
    assert [row.path for row in form.ranges.children] == form.table.selected
    d.set("model.heads", [HEADS[0], HEADS[2]])  # another head has that place now
    assert form.table.selected == ["model.body.dropout"]
    assert [row.path for row in form.ranges.children] == ["model.body.dropout"]


# ── any order of edits ──────────────────────────────────────────────────────────────────────────

VALUES: dict[str, list[Any]] = {
    "model.body.n_head": [1, 4, 5],
    "model.body.d_model": [60, 64, 66],
    "model.body.kind": ["gpt2", "xlnet", "gru", "bert"],
    "model.masking.kind": ["clm", "mlm", "plm"],
    "model.heads": [HEADS, HEADS[:1], HEADS[1:], [HEADS[0], HEADS[2]]],
    "model.inputs.features": [None, {"item_id": {}}, {"item_id": {}, "price": {}, "brand": {"dim": 3}}],
    "model.inputs.aggregation": ["concat", "element-wise-sum"],
    "model.towers": [[], [{"body": {"kind": "gru", "d_model": 32}, "inputs": {"features": {"price": {}}}}]],
    "model.merge": ["concat", "sum"],
    "train.monitor": [None, "bought/auc", "ndcg@20"],
    "data.max_length": [2, 20],
}
STEPS = st.one_of(
    st.tuples(st.just("data"), st.sampled_from(sorted(DATA))),
    st.tuples(st.just("preset"), st.sampled_from(sorted(PRESETS))),
    st.sampled_from([(path, value) for path, values in VALUES.items() for value in values]),
    st.tuples(st.just("clone"), st.sampled_from(sorted(DATA))),
    st.tuples(st.just("load"), st.sampled_from(sorted(DATA))),
    st.just(("drop", None)),
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, max_size=6))
def test_in_any_order_all_speak_of_one_data_and_train_is_on_where_nothing_is_refused(
    steps: list[tuple[str, Any]],
) -> None:
    d, launched = on_a(), list[Any]()
    view, form = ArchitecturePanel(d, d.set, lambda: None), SearchForm(d, lambda *study: launched.append(study))
    view.view.value = "YAML"
    form.table.selected = ["train.learning_rate"]
    chosen = "a"
    for what, value in steps:
        if what in ("data", "clone"):
            chosen = value
        elsewhere = (
            RunSpec.parse({"data": {"path": value}, "model": {"heads": HEADS[:2]}})
            if what in ("clone", "load")
            else None
        )
        match what:
            case "data":
                use(d, value)
            case "preset":
                d.start(value)
            case "clone":
                d.clone(elsewhere, "run", OpenData(value, DATA[value]))  # type: ignore[arg-type]
            case "load":
                d.clone(elsewhere, "its data are gone")  # type: ignore[arg-type]
            case "drop":
                d.drop()
            case _:
                d.set(what, value)
        assert d.spec.data.path == chosen and d.schema is DATA[chosen]
        text = RunSpec.loads(view.text.text)
        assert text.data.path == chosen and f">{chosen}<" in view.canvas.svg
        fits = True
        try:
            assembly.check(d.spec, DATA[chosen])
        except InputError:
            fits = False
        assert view.train.disabled == (not fits or bool(d.pending)) == bool(d.obstacle)
        form._start()
        if not view.train.disabled:
            assert d.ready() == text
        assert [study[0].data.path for study in launched] == [chosen] * len(launched)
        assert not launched or not view.train.disabled
        launched.clear()


# ── the whole ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    for name in ("a", "b"):
        shop(tmp_path / "data" / name, name == "a")
    lab = Lab(tmp_path)
    try:
        until(lambda: lab.data.summary is not None)
        yield lab
    finally:
        lab.close()


def test_the_lab_shows_and_trains_the_data_that_were_chosen(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[RunSpec] = []
    monkeypatch.setattr("t4r_lab.jobs.launch", lambda spec, home: launched.append(spec))

    def turn(name: str) -> None:
        lab.data.choice.value = str(lab.home / "data" / name)
        assert lab.architecture.train.disabled  # it opens
        lab.train()
        until(lambda: lab.data.summary is not None and lab.data.summary.name == name)

    turn("a")
    lab.edit("model.heads", HEADS)
    assert lab.draft.valid, lab.draft.errors
    turn("b")
    lab.train()
    assert not launched and "bought" in lab.jobs.refusal
    for number in (1, 1):
        lab.architecture.form._heads["model.heads", number].remove.click()
    assert lab.draft.valid
    turn("a")
    lab.edit("model.heads", [{"kind": "regression", "column": "rating"}])
    turn("b")
    lab.architecture.presets.buttons["sasrec"].click()
    lab.train()
    until(lambda: launched)
    assert [Path(spec.data.path).name for spec in launched] == ["b"]
    assert "<span>b · " in lab._header.value
    assert "Ready to train on" in lab.architecture._status.value and re.search(r"/b<", lab.architecture._status.value)


def test_of_two_that_are_opened_the_last_is_used_whatever_becomes_of_the_other(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from t4r_lab.lab.state import source

    summarize, waiting = source.summarize, list[str]()

    def slow(path: Path) -> Any:
        if path.name == "b":
            waiting.append("b")
            until(lambda: not waiting)
        elif path.name == "gone":
            raise InputError("gone", "no such folder", "choose another")
        return summarize(path)

    monkeypatch.setattr(source, "summarize", slow)
    lab.choose(lab.home / "data" / "b")
    lab.choose(lab.home / "data" / "gone")
    until(lambda: lab.data.error and not lab.draft.waiting)
    assert lab.data.summary is not None and lab.data.summary.name != "b"
    lab.choose(lab.home / "data" / "a")
    until(lambda: lab.data.summary.name == "a")
    waiting.clear()
    time.sleep(0.3)
    assert lab.data.summary.name == "a" and Path(lab.draft.spec.data.path).name == "a"


def test_data_from_elsewhere_stand_in_the_choice(lab: Lab, tmp_path: Path) -> None:
    path = shop(tmp_path / "elsewhere" / "a", True)
    lab.clone(RunSpec.parse({"data": {"path": str(path)}}), "a run")
    until(lambda: lab.data.choice.value == str(path))
    assert lab.draft.spec.data.path == str(path)


def test_data_prepared_anew_or_removed_by_others_are_noticed(lab: Lab) -> None:
    """The header, what is trained and what is refused follow the folder, whoever writes it."""
    path = lab.home / "data" / "a"
    lab.choose(path)
    until(lambda: lab.data.summary is not None and lab.data.summary.path == path)
    lab.edit("model.heads", HEADS)
    before = lab.data.summary
    shop(path, False)  # other data in the same place
    until(lambda: lab.data.summary is not before and not lab.data.doing)
    assert len(lab.draft.errors) == 2 and lab.architecture.train.disabled
    shop(path, True)
    until(lambda: lab.draft.valid and not lab.draft.obstacle)
    shutil.rmtree(path)
    until(lambda: lab.data.error)
    until(lambda: "no data yet" in lab._header.value)
    assert "no such folder" in lab.data.error and lab.architecture.train.disabled
    lab.train()
    assert "choose a dataset in Data" in lab.jobs.refusal
    lab.data.choice.value = str(lab.home / "data" / "b")
    until(lambda: lab.data.summary is not None and lab.data.summary.name == "b")


# ── what is offered ─────────────────────────────────────────────────────────────────────────────


def test_a_search_offers_only_what_the_data_allow() -> None:
    d = on_a(inputs={"features": {"item_id": {}, "price": {}, "brand": {}}})
    shown = offered(d)
    features = {path: domain.choices for path, domain in shown.items() if path.startswith("model.inputs.features.")}
    assert features == {"model.inputs.features.price.encoding": ("scalar", "projected", "soft_one_hot")}
    for path, domain in shown.items():
        for choice in domain.choices:
            with suppress(InputError):  # one that fits only with other values is for the search to combine
                assert assembly.refusals(d.spec.override({path: choice}), A) == {}, (path, choice)


def test_the_heads_offered_are_those_that_the_data_can_train() -> None:
    d = Draft(RunSpec.parse({"data": {"path": "b"}}))
    d.use_data(OpenData("a", A))
    assert [text for text, _ in head_offers(d)] == [
        "bought · binary",
        "bought · categorical",
        "rating · binary",
        "rating · regression",
    ]
    d.use_data(OpenData("a", A, {"bought": (), "rating": ("regression",)}))  # the values have been read
    assert [text for text, _ in head_offers(d)] == ["rating · regression"]
    d.set("model.heads", [{"kind": "next_item"}, {"kind": "regression", "column": "rating"}])
    assert head_offers(d) == [] and "can't be predicted" in no_head_offered(d)
    d.use_data(OpenData("a", B))
    assert "no label columns" in no_head_offered(d)
