"""The Architecture panel without a browser: presets, costs, texts, loading, and the forms of lists and vectors."""

from __future__ import annotations

import base64
import datetime
import html
import os
import signal
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.lab.panels.architecture.architecture_panel import ArchitecturePanel
from t4r_lab.lab.panels.architecture.inspector import belongs
from t4r_lab.lab.panels.architecture.list_edits import moved, removed
from t4r_lab.lab.panels.architecture.spec_form import SpecForm
from t4r_lab.lab.panels.architecture.spec_loader import SpecLoader
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.cost import CostEstimate, EstimateProcess, Unanswered, summary
from t4r_lab.lab.state.draft import Draft, OpenData
from t4r_lab.pictures.model_picture import blocks, layers, picture_file
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec import RunSpec
from t4r_lab.spec.presets import PRESETS
from t4r_lab.training.estimate import Cost, Estimate
from tests.support.panels import picture, until
from tests.support.small import small_data, small_spec
from tests.support.toy import SCHEMA

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<img src=x onerror=alert(1)>"
LABELLED = Schema(
    columns=(
        *SCHEMA,
        Column(name="bought", kind="categorical", role="target", scope="session", size=4),
        Column(name="rating", kind="continuous", role="target", scope="session"),
        Column(name="mood", kind="categorical", role="target", size=7),
    )
)


def draft(schema: Schema | None = LABELLED, **model: Any) -> Draft:
    return Draft(RunSpec.parse({"data": {"path": "shop"}, "model": model}), schema)


def panel(d: Draft, **options: Any) -> ArchitecturePanel:
    return ArchitecturePanel(d, d.set, lambda: None, **options)


# ── Presets ─────────────────────────────────────────────────────────────────────────────────────


def test_a_preset_is_chosen_shown_with_its_source_and_left_by_an_edit() -> None:
    view = panel(draft())
    assert list(view.presets.buttons) == list(PRESETS)
    for name, preset in PRESETS.items():
        view.presets.buttons[name].click()
        assert view.draft.valid and view.draft.spec.name == name
        assert view.draft.spec.data.path == "shop"
        card = view.presets._cards[name].children[1].value
        assert html.escape(preset.source) in card and html.escape(preset.when) in card
        assert [n for n, button in view.presets.buttons.items() if button.description == "Used"] == [name]
    view.draft.set("name", "mine")  # a name makes no other model
    assert view.presets.buttons["ligr"].description == "Used"
    view.draft.set("model.body.dropout", 0.3)
    assert view.presets.buttons["ligr"].description == "Use" and view.draft.spec.model.body.dropout == 0.3


# ── Heads ───────────────────────────────────────────────────────────────────────────────────────


def test_heads_are_added_by_the_labels_they_fit_edited_and_removed() -> None:
    d = draft()
    form = SpecForm(d)
    adder = form.adders["model.heads"]
    assert [text for text, _ in adder.offers] == [
        "bought · binary",
        "bought · categorical",
        "rating · binary",
        "rating · regression",
        "mood · categorical",
    ]
    adder.button.click()  # the first stands chosen
    for name in ("rating · regression", "mood · categorical"):
        adder.choice.value = name
        adder.button.click()
    assert d.valid and not adder.offers and adder._line.layout.display == "none"
    assert [head.kind for head in d.spec.model.heads] == ["next_item", "binary", "regression", "categorical"]
    assert {"model.heads.2.loss", "model.heads.1.summary", "model.heads.3.weight"} <= set(form.fields)
    assert "model.heads.0.kind" not in form.fields  # the next item is no other kind
    form.fields["model.heads.1.kind"].control.value = "categorical"
    assert d.spec.model.heads[1].kind == "categorical" and d.spec.model.heads[1].column == "bought"
    form.fields["model.heads.2.weight"].control.value = 0.25
    assert d.spec.model.heads[2].weight == 0.25
    form.fields["model.heads.3.summary"].control.value = "mean"
    assert "'mean' is for labels of sessions" in form.fields["model.heads.3.summary"].error
    form._heads["model.heads", 0].remove.click()
    assert [head.kind for head in d.spec.model.heads] == ["categorical", "regression", "categorical"]
    assert list(d.errors) == ["model.heads.2.summary"]  # what is refused goes along with its head
    form.fields["model.heads.2.summary"].control.value = "last"
    assert d.valid
    assert d.spec.model.heads[1].weight == 0.25
    for _ in range(2):
        form._heads["model.heads", 0].remove.click()
    assert form._heads["model.heads", 0].remove.layout.display == "none"  # one head stays
    assert "next item" in dict(adder.offers)


def test_edits_of_a_head_that_wait_go_when_the_heads_are_others() -> None:
    d = draft()
    d.set("model.body.n_head", 5)  # everything waits for this
    d.set("model.heads", [{"kind": "next_item"}, {"kind": "binary", "column": "bought"}])
    d.set("model.heads.1.weight", 0.5)
    d.set("model.heads", [{"kind": "next_item"}])
    d.set("model.body.n_head", 8)
    assert d.valid and len(d.spec.model.heads) == 1


def test_only_columns_that_fit_are_offered_for_a_head() -> None:
    d = draft(heads=[{"kind": "regression", "column": "rating"}])
    form = SpecForm(d)
    assert [value for _, value in form.fields["model.heads.0.column"].control.options] == ["rating"]
    d.set("model.heads", [{"kind": "categorical", "column": "bought"}])
    assert [value for _, value in form.fields["model.heads.0.column"].control.options] == ["bought", "mood"]
    form.fields["model.heads.0.column"].control.value = "mood"
    assert d.spec.model.heads[0].column == "mood"


def test_without_labels_the_form_says_what_to_do() -> None:
    form = SpecForm(draft(SCHEMA))
    assert "prepare it with some as targets" in form.adders["model.heads"]._why.value


# ── Towers ──────────────────────────────────────────────────────────────────────────────────────


def test_towers_are_added_with_features_of_their_own_and_removed() -> None:
    d = draft()
    form = SpecForm(d)
    adder = form.adders["model.towers"]
    assert {"GRU", "GPT2", "SASRec"} <= set(dict(adder.offers)) and "ModernBERT" not in dict(adder.offers)
    for body in ("GRU", "SASRec"):
        adder.choice.value = body
        adder.button.click()
    assert [tower.body.kind for tower in d.spec.model.towers] == ["gru", "sasrec"]
    assert "model.merge" in form.fields and "model.towers.1.inputs.aggregation" in form.fields
    form.towers[1].rows["genres"].tick.value = False
    form.towers[1].rows["price"].encoding.value = "soft_one_hot"
    features = d.spec.model.towers[1].inputs.features
    assert features is not None and "genres" not in features and features["price"].encoding == "soft_one_hot"
    assert d.spec.model.towers[0].inputs.features is None and d.spec.model.inputs.features is None
    form.towers[1].rows["price"].table.value = "x"
    assert "no embedding" in form.towers[1].rows["price"]._error.value
    assert "no embedding" not in form.towers[0].rows["price"]._error.value
    form.towers[1].rows["price"].table.value = ""
    form._heads["model.towers", 0].remove.click()
    assert [tower.body.kind for tower in d.spec.model.towers] == ["sasrec"]
    assert not form.towers[0].rows["genres"].ticked  # the editor of the first shows what is the first now
    assert "tower 2 · SASRec" in form._heads["model.towers", 0]._title.value


# ── Vectors ─────────────────────────────────────────────────────────────────────────────────────


def test_vectors_of_a_column_and_of_items_under_a_new_name() -> None:
    d = draft()
    view = panel(d)
    row = view.features.rows["category"]
    row.more.value = True
    assert set(row.fields) == {"vectors.path", "vectors.trainable", "vectors.normalization", "vectors.missing"}
    row.fields["vectors.path"].control.value = "kinds.npy"
    row.fields["vectors.normalization"].control.value = "l2"
    row.dim.value = "8"
    features = d.spec.model.inputs.features
    assert features is not None and features["category"].vectors is not None
    assert (features["category"].vectors.path, features["category"].vectors.normalization) == ("kinds.npy", "l2")
    row.fields["vectors.path"].control.value = ""
    assert d.spec.model.inputs.features["category"].vectors is None
    # a new name opens with its error beside it, and goes when it is unticked
    view.canvas.chosen = "add model.inputs.features"
    view.features.name.value = "text"
    view.features.add.click()
    new = view.features.rows["text"]
    assert new in view.inspector._body.children  # it isn't part of the model yet
    assert "give the path" in new._error.value and not d.valid
    new.fields["vectors.path"].control.value = "text.npy"
    new.fields["vectors.trainable"].control.value = True
    assert d.valid and d.spec.model.inputs.features["text"].vectors.trainable
    assert view.canvas.chosen == "model.inputs.features.text" and view.inspector._body.children == (new,)
    assert "text" in view.canvas.svg
    new.tick.value = False
    assert "text" not in view.features.rows and "text" not in d.spec.model.inputs.features


def test_bins_of_a_soft_one_hot_feature_are_beneath_its_row() -> None:
    d = draft()
    row = panel(d).features.rows["price"]
    row.encoding.value = "soft_one_hot"
    row.more.value = True
    row.fields["bins"].control.value = 24
    assert d.spec.model.inputs.features["price"].bins == 24
    row.fields["bins"].control.value = 10
    assert "bins" not in row.choice or row.choice["bins"] == 10


def test_other_data_keep_vectors_of_items() -> None:
    d = draft()
    d.set("model.inputs.features", {"item_id": {}, "text": {"vectors": {"path": "text.npy"}}})
    d.use_data(OpenData("other", SCHEMA))
    assert d.spec.model.inputs.features is not None and "text" in d.spec.model.inputs.features


# ── The spec as text ────────────────────────────────────────────────────────────────────────────


def test_the_spec_can_be_copied_as_yaml_and_as_python() -> None:
    view = panel(draft())
    view.view.value = "YAML"
    assert RunSpec.loads(view.text.text) == view.draft.spec
    view.view.value = "Python"
    assert view.text.text.startswith("# ") and "TransformerBlock(" in view.text.text
    compile(view.text.text, "program", "exec")
    view.draft.schema = None
    view.draft.set("name", "x")
    assert "Choose a dataset" in view.text.text


def uploaded(name: str, content: bytes) -> tuple[dict[str, Any], ...]:
    """A file as the browser hands it over."""
    now = datetime.datetime.now(datetime.UTC)
    return ({"name": name, "content": memoryview(content), "type": "", "size": len(content), "last_modified": now},)


def test_a_spec_is_loaded_by_pasting_by_path_and_by_upload(tmp_path: Path) -> None:
    loaded: list[tuple[RunSpec, str]] = []
    loader = SpecLoader(lambda spec, name: loaded.append((spec, name)))
    spec = draft().spec.override({"name": "mine", "model.body.d_model": 32})
    loader.text.value = spec.to_yaml()
    loader.load.click()
    (tmp_path / "spec.json").write_text(spec.to_json())
    loader.path.value = str(tmp_path / "spec.json")
    loader.load.click()
    loader._uploaded()
    loader.upload.value = uploaded("up.yaml", spec.to_yaml().encode())
    loader.upload.value = uploaded("picture.png", b"\x89PNG\xff")
    assert loader.error == "picture.png: not a text file; give a YAML or JSON spec"
    assert [s for s, _ in loaded] == [spec] * 3
    assert [name for _, name in loaded] == ["the pasted spec", str(tmp_path / "spec.json"), "up.yaml"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing to load"),
        ("a: [", "not valid YAML in line"),
        ("just words", "expected keys such as data and model"),
        ("data: {path: x}\nmodel: {body: {kind: gtp2}}", "did you mean"),
        (f"data: {{path: x}}\n'{EVIL}': 1", "unknown key"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_words(text: str, words: str) -> None:
    loaded: list[Any] = []
    loader = SpecLoader(lambda *spec: loaded.append(spec))
    loader.text.value = text
    loader.load.click()
    assert words in loader.error and not loaded
    assert "alert" in loader._message.value and "<img" not in loader._message.value


def test_a_cloned_spec_shows_what_is_changed_since() -> None:
    view = panel(draft())
    view.draft.clone(view.draft.spec.override({"model.body.d_model": 32}), EVIL)
    assert "nothing is changed yet" in view._diff.value
    view.form.fields["model.body.d_model"].control.value = 48
    row = '<th scope="row">model.body.d_model</th><td class="t4r-quiet">32</td><td>48</td>'
    assert row in view._diff.value and "<img" not in view._diff.value


# ── Costs ───────────────────────────────────────────────────────────────────────────────────────

FOUND = Estimate(
    (
        Cost("model.inputs.features.item_id", 2_000, 8_000, 8_000, 16_000, 0, seconds=0.02),
        Cost("model.body", 348_000, 1_392_000, 1_392_000, 2_784_000, 90_000_000, seconds=0.08),
        Cost("model.heads.0", 40, 160, 160, 320, 0, 104_399_360, seconds=0.1),
    ),
    6.4,
    31,
)


def estimating(d: Draft, answer: Callable[[RunSpec], Any]) -> CostEstimate:
    return CostEstimate(d, Background(), answer)


def test_the_first_estimate_begins_while_the_data_are_still_opened(tmp_path: Path) -> None:
    asked: list[str] = []
    d = Draft(RunSpec.parse({"data": {"path": str(tmp_path)}}))
    d.wait("opening the data")
    costs = estimating(d, lambda spec: asked.append(spec.data.path) or FOUND)  # type: ignore[func-returns-value]
    until(lambda: not costs.doing)
    assert costs.estimate is None  # not before it is known that the draft fits them
    d.use_data(OpenData(str(tmp_path), SCHEMA))
    assert costs.is_current and costs.estimate == FOUND and asked == [str(tmp_path)]


def test_costs_are_one_line_and_a_bar_of_each_part() -> None:
    assert summary(FOUND) == "0.35M parameters · 0.2 GB · ~6 s per epoch"
    d = draft()
    costs = estimating(d, lambda spec: FOUND)
    view = panel(d, cost_estimate=costs)
    until(lambda: not costs.doing)
    assert "0.35M parameters · 0.2 GB · ~6 s per epoch" in view._costs.value
    assert "Timed in a few steps on your data" in view._costs.value
    svg = ET.fromstring(view.canvas.svg)
    bars = [e for e in svg.iter() if (e.get("class") or "") == "t4r-share-bar"]
    titles = [e.text or "" for e in svg.iter(f"{SVG}title")]
    assert len(bars) == 3
    assert (
        "GPT2 ×2 · 4 heads · B × 20 × 64 · 348k · 95.6 MB · 40%\n348,000 parameters, 95.6 MB in training, 40% of a step's time"
        in titles
    )
    description = svg.get("aria-label") or ""
    assert "GPT2 ×2 4 heads B × 20 × 64 348k 95.6 MB 40%" in description and "next item tied" in description
    frames = [float(e.get("width", 0)) - 8 for e in svg.iter(f"{SVG}rect") if e.get("class") == "t4r-frame"]
    shares = [float(bar.get("width", 0)) for bar in bars]
    item, body, head = frames[1], frames[-5], frames[-4]
    assert shares == pytest.approx([0.1 * item, 0.4 * body, 0.5 * head], abs=0.1)


def test_one_question_at_a_time_and_the_newest_next() -> None:
    d, estimated, gate = draft(), [], threading.Event()

    def answer(spec: RunSpec) -> Estimate:
        estimated.append(spec.model.body.d_model)
        gate.wait(10)
        return FOUND

    costs = estimating(d, answer)
    assert costs.doing and "estimating" in costs.line
    for width in (32, 48, 96):
        d.set("model.body.d_model", width)
    gate.set()
    until(lambda: not costs.doing)
    assert estimated == [64, 96]
    d.set("model.body.d_model", 64)  # known already
    d.set("name", "another")
    d.set("train.epochs", 3)  # an epoch is as long as before
    until(lambda: not costs.doing)
    assert estimated == [64, 96]


def test_what_the_data_refuse_stands_beside_its_field() -> None:
    d = draft()

    def answer(spec: RunSpec) -> Estimate:
        if (spec.model.inputs.features or {}).get("category"):
            raise InputError("model.inputs.features.category.vectors.path", "kinds.npy: no such file", "check the path")
        return FOUND

    costs = estimating(d, answer)
    view = panel(d, cost_estimate=costs)
    d.set("model.inputs.features", {"category": {"vectors": {"path": "kinds.npy"}, "dim": 3}})
    until(lambda: view.train.disabled)
    assert not d.valid and "no such file" in view.features.rows["category"]._error.value
    d.set("model.inputs.features", None)
    until(lambda: costs.estimate is not None and d.valid)
    assert not view.train.disabled


def test_no_answer_is_said_in_words_and_does_not_hold_up_training() -> None:
    def answer(spec: RunSpec) -> Estimate:
        raise Unanswered(EVIL)

    d = draft()
    costs = estimating(d, answer)
    view = panel(d, cost_estimate=costs)
    until(lambda: costs.error)
    assert "no estimate: &lt;img" in view._costs.value and not view.train.disabled


@pytest.mark.slow
def test_the_process_that_estimates_is_asked_again_after_it_died(tmp_path: Path) -> None:
    data, ask = small_data(tmp_path / "d"), EstimateProcess()
    first = ask(small_spec(data))
    assert first.parameters > 0 and ask._child is not None
    with pytest.raises(InputError, match="nowhere"):
        ask(small_spec(Path("nowhere")))
    np.save(tmp_path / "v.npy", np.zeros((3, 2)))
    wrong = small_spec(data, model__inputs__features={"text": {"vectors": {"path": str(tmp_path / "v.npy")}}})
    with pytest.raises(InputError, match="has shape"):
        ask(wrong)
    os.kill(ask._child.pid, signal.SIGKILL)
    ask._child.wait()
    assert ask(small_spec(data)).parameters == first.parameters
    child = ask._child
    assert child.stdin is not None
    child.stdin.close()  # as when the kernel is killed
    assert child.wait(10) == 0


# ── The picture ─────────────────────────────────────────────────────────────────────────────────


def test_the_picture_shows_towers_side_by_side_all_heads_and_the_discriminator() -> None:
    d = draft(
        body={"kind": "xlnet"},
        masking={"kind": "rtd", "discriminator": "separate"},
        merge="concat",
        towers=[{"body": {"kind": "bert", "d_model": 32}, "inputs": {"features": {"item_id": {}}}}] * 2,
        heads=[{"kind": "next_item"}, {"kind": "regression", "column": "rating"}],
    )
    svg = ET.fromstring(picture(d.spec, LABELLED))
    desc = svg.get("aria-label") or ""
    assert "XLNet ×2 4 heads B × 20 × 64 | BERT ×2 4 heads B × 20 × 32 | BERT ×2 4 heads B × 20 × 32" in desc
    assert "concat of 3 towers B × 20 × 128" in desc
    assert "next item tied B × 40, cross-entropy, rating regression · last B × 1, squared error weight 1" in desc
    assert "original or replaced? separate body B × 20, binary cross-entropy" in desc
    edges = [float(e.get("x", 0)) + float(e.get("width", 0)) for e in svg.iter(f"{SVG}rect")]
    assert max(edges) <= float(svg.get("viewBox", "").split()[2])
    order = [
        desc.index(word) for word in ("data shop", "item_id", "concat", "rtd", "XLNet ×2", "of 3 towers", "next item")
    ]
    assert order == sorted(order)


def test_every_feature_and_tower_can_be_reached_however_many() -> None:
    d = draft(towers=[{"body": {"kind": "gru"}}] * 7)
    columns = (*SCHEMA, *(Column(name=f"c{n}", kind="categorical", size=5) for n in range(30)))
    many = Schema(columns=columns)
    folded = [b.key for b in blocks(layers(d.spec, many)) if b.folded]
    assert "model.inputs.features categorical" in folded and "of 8 towers" in picture(d.spec, many)
    for unfolded in (folded, ()):
        keys = {b.key for b in blocks(layers(d.spec, many, unfolded))}
        assert {f"model.towers.{n}.body" for n in range(7)} <= keys
        assert ({f"model.inputs.features.{c.name}" for c in many.features} <= keys) == bool(unfolded)
    file = picture_file(d.spec, many)  # shows all of them, in colors of its own
    assert all(f">c{n}<" in file for n in range(30)) and "prefers-color-scheme" in file
    view = panel(Draft(d.spec, many))
    view.canvas.chosen = "model.inputs.features categorical"
    assert "model.inputs.features.c7" in view.canvas.svg
    view.canvas.chosen = "model.inputs.features.c7"
    assert view.inspector._body.children == (view.features.rows["c7"],)


# ── The picture as editor ───────────────────────────────────────────────────────────────────────


def test_every_knob_stands_at_one_block() -> None:
    d = draft(
        masking={"kind": "rtd"},
        body={"kind": "xlnet"},
        towers=[{"body": {"kind": "bert"}}],
        heads=[{"kind": "next_item"}, {"kind": "regression", "column": "rating"}],
    )
    keys = {b.key for b in blocks(layers(d.spec, LABELLED))}
    for path in d.spec.knobs():
        if ".features" in path or path in ("name",):
            continue
        assert len({key for key in keys if belongs(path, key)}) == 1, path


def test_a_block_that_is_chosen_shows_its_knobs_and_edits_the_spec() -> None:
    view = panel(draft())
    for key, path in {
        "data": "data.max_length",
        "model.inputs": "model.inputs.aggregation",
        "model.masking": "model.masking.kind",
        "model.body": "model.body.d_model",
        "model.heads.0": "model.heads.0.weight_tying",
        "model.heads.0.loss": "model.heads.0.loss.label_smoothing",
        "train": "train.epochs",
        "evaluation": "evaluation.cutoffs",
    }.items():
        view.canvas.chosen = key
        assert view.form.fields[path] in view.inspector._body.children, key
    view.canvas.chosen = "model.heads.0.loss"
    view.form.fields["model.heads.0.temperature"].control.value = 2.0
    assert view.draft.spec.model.heads[0].temperature == 2.0 and "temperature 2" in view.canvas.svg


def test_what_is_refused_is_marked_on_its_block_with_what_to_do() -> None:
    d = draft()
    view = panel(d)
    d.set("model.body.n_head", 5)
    svg = ET.fromstring(view.canvas.svg)
    marked = [e for e in svg.iter(f"{SVG}g") if "t4r-refused" in (e.get("class") or "")]
    assert [e.get("data-key") for e in marked] == ["model.body"]
    assert "n_head 5 does not divide d_model 64" in (marked[0].get("aria-label") or "")
    assert "n_head 5 does not divide" in view.inspector._head.value
    view.inspector.take_back.click()
    assert d.valid and d.spec.model.body.n_head == 4 and "t4r-refused" not in view.canvas.svg
    assert view.inspector.take_back not in view.inspector._foot.children
    d.set("model.heads", [{"kind": "next_item"}, {"kind": "binary", "column": "bought"}])
    d.use_data(OpenData("other", SCHEMA))  # which lacks the label
    assert 'class="t4r-block t4r-refused' in view.canvas.svg
    view.canvas.chosen = "model.heads.1"
    view.inspector.remove.click()
    assert d.valid and len(d.spec.model.heads) == 1 and view.canvas.chosen == "model.heads.0"


def test_elements_are_added_moved_and_removed_where_they_stand() -> None:
    d = draft()
    view = panel(d)
    view.canvas.chosen = "add model.heads"
    assert view.inspector._body.children == (view.form.adders["model.heads"],)
    view.form.adders["model.heads"].button.click()
    assert view.canvas.chosen == "model.heads.1"  # the new one, to go on with
    view.request("move", "model.heads.1", "model.heads.0")
    assert [head.kind for head in d.spec.model.heads] == [
        "binary",
        "next_item",
    ] and view.canvas.chosen == "model.heads.0"
    view.inspector.later.click()
    assert [head.kind for head in d.spec.model.heads] == ["next_item", "binary"]
    view.canvas.chosen = "add model.towers"
    view.form.adders["model.towers"].button.click()
    assert view.canvas.chosen == "model.towers.0.body"
    view.request("remove", "model.towers.0.body")
    assert not d.spec.model.towers and view.canvas.chosen == "model.body"
    names = [column.name for column in LABELLED.features]
    view.request("move", f"model.inputs.features.{names[-1]}", f"model.inputs.features.{names[1]}")
    assert list(d.spec.model.inputs.features or {}) == [names[0], names[-1], *names[1:-1]]
    view.request("remove", f"model.inputs.features.{names[1]}")
    assert names[1] not in (d.spec.model.inputs.features or {}) and view.canvas.chosen == "model.inputs"
    view.canvas.chosen = "add model.inputs.features"
    row = view.features.rows[names[1]]
    assert view.inspector._body.children == (row.tick, view.features.foot)
    row.tick.value = True
    assert names[1] in (d.spec.model.inputs.features or {names[1]: {}})


def test_only_what_can_be_removed_or_moved_is() -> None:
    d = draft()
    for key in (
        "model.inputs.features.item_id",
        "model.heads.0",
        "model.body",
        "model.inputs",
        "nonsense",
        "model.heads.9",
    ):
        assert removed(d.spec, LABELLED, key) == {}, key
    assert moved(d.spec, LABELLED, "model.heads.0", "model.inputs.features.price") == {}
    assert moved(d.spec, LABELLED, "model.heads.0", "model.heads.7") == {}
    assert moved(d.spec, LABELLED, "model.heads.0", "model.heads.0") == {}


def test_edits_are_undone_and_made_again_on_the_present_data() -> None:
    d = draft()
    view = panel(d)
    assert view.undo.disabled and view.redo.disabled
    first = d.spec
    d.set("model.body.d_model", 32)
    d.set("model.body.n_head", 5)  # isn't taken, and waits
    d.start("ligr")
    assert d.spec.model.body.kind == "ligr"
    view.undo.click()
    assert d.preset == "" and d.pending == {"model.body.n_head": 5} and "n_head 5" in str(d.errors)
    view.undo.click()
    assert d.valid and d.spec.model.body.d_model == 32
    view.undo.click()
    assert d.spec == first and view.undo.disabled
    d.use_data(OpenData("other", LABELLED))
    for _ in range(3):
        view.redo.click()
    assert d.preset == "ligr" and d.spec.data.path == "other" and view.redo.disabled
    view.undo.click()
    d.set("name", "mine")  # a new edit ends what could be made again
    assert not d.can_redo


def test_the_picture_that_is_saved_is_the_model() -> None:
    view = panel(draft())
    link = ET.fromstring(view._save.value)
    content = base64.b64decode((link.get("href") or "").partition("base64,")[2])
    assert "GPT2 ×2" in (ET.fromstring(content).get("aria-label") or "") and link.get("download") == "run.svg"
