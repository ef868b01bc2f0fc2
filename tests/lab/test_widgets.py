"""The front end without a browser: state is set, views are read."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.lab.app import TABS, Lab, with_free_name
from t4r_lab.lab.panels.architecture.feature_table import FeatureEditor
from t4r_lab.lab.panels.architecture.spec_form import SpecForm
from t4r_lab.lab.panels.runs.runs_panel import RunsPanel
from t4r_lab.lab.panels.train.job_card import JobCard
from t4r_lab.lab.panels.train.train_panel import TrainPanel
from t4r_lab.lab.parts.text import error_text
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.draft import Draft
from t4r_lab.lab.state.kept_draft import kept
from t4r_lab.lab.state.views import JobState, RunSummary
from t4r_lab.lab.still import still
from t4r_lab.spec import BODY_MASKINGS, RunSpec
from tests.support.house import MODULES
from tests.support.panels import EVIL, picture, until
from tests.support.timing import at_most
from tests.support.toy import SCHEMA


def draft(**data: Any) -> Draft:
    return Draft(RunSpec.parse({"data": {"path": "demo", **data}}), SCHEMA)


# ── form ────────────────────────────────────────────────────────────────────────────────────────


def test_every_knob_of_the_spec_has_a_field_with_label_and_help() -> None:
    form = SpecForm(draft())
    shown = set(form.fields)
    assert {
        "model.body.kind",
        "model.masking.kind",
        "model.heads.0.loss.label_smoothing",
        "train.learning_rate",
    } <= shown
    for path, field in form.fields.items():
        assert field.control.description, path
        assert form.draft.spec.knobs()[path].help.split()[0] in (field.help + form.draft.spec.knobs()[path].help)
        assert field.control.tooltip.startswith(path)


STREAMS = "only xlnet has its two streams"
REASONS = {
    ("clm",): ["it only looks back"],
    ("mlm", "rtd"): ["it attends both ways", STREAMS],
    ("mlm", "rtd", "clm"): [STREAMS],
    ("clm", "mlm", "rtd"): [STREAMS],
}
"""The maskings of a body → what rules the others out."""


def test_only_valid_pairs_can_be_chosen_and_the_reason_is_shown() -> None:
    d = draft()
    form = SpecForm(d)
    for body, maskings in BODY_MASKINGS.items():
        form.fields["model.body.kind"].control.value = body
        assert d.valid
        assert d.spec.model.body.kind == body
        assert [value for _, value in form.fields["model.masking.kind"].control.options] == list(maskings)
        help = form.fields["model.masking.kind"].help
        if refused := [m for m in ("clm", "mlm", "rtd", "plm") if m not in maskings]:
            reason = help.partition(f"Not offered with {body}: ")[2]
            assert re.findall(r"\w+", re.sub(r"\(.*?\)", "", reason)) == refused
            assert re.findall(r"\((.*?)\)", reason) == REASONS[maskings] and len(reason) < 80
        else:
            assert "Not offered" not in help


def test_with_towers_each_masking_is_ruled_out_once() -> None:
    d = draft()
    form = SpecForm(d)
    d.replace(d.spec.override({"model.towers": [{"body": {"kind": "bert", "d_model": 32}}]}))
    assert form.fields["model.masking.kind"].help.endswith("Not offered with gpt2: mlm, rtd, plm (it only looks back).")


def test_a_refused_value_stays_beside_its_error_until_it_fits() -> None:
    d = draft()
    form = SpecForm(d)
    form.fields["model.body.n_head"].control.value = 5
    assert "does not divide d_model 64" in form.fields["model.body.n_head"].error
    assert d.spec.model.body.n_head == 4
    form.fields["model.body.d_model"].control.value = 60
    assert d.valid
    assert (d.spec.model.body.n_head, d.spec.model.body.d_model) == (5, 60)


def test_controls_follow_the_knobs() -> None:
    form = SpecForm(draft())
    smoothing = form.fields["model.heads.0.loss.label_smoothing"].control
    assert (smoothing.min, smoothing.max) == (0, 0.99)
    assert form.fields["train.epochs"].control.min == 1
    form.fields["evaluation.cutoffs"].control.value = "5, 50"
    assert form.draft.spec.evaluation.cutoffs == [5, 50]
    form.fields["train.patience"].control.value = ""
    assert form.draft.spec.train.patience is None


def test_features_are_chosen_row_by_row() -> None:
    d = draft()
    editor = FeatureEditor(d, d.set)
    editor.rows["price"].encoding.value = "soft_one_hot"
    assert d.spec.model.inputs.features is not None
    assert d.spec.model.inputs.features["price"].encoding == "soft_one_hot"
    editor.rows["genres"].tick.value = False
    assert "genres" not in d.spec.model.inputs.features
    assert editor.rows["item_id"].tick.disabled


def test_columns_share_a_table_by_its_name_and_vectors_of_items_stay() -> None:
    d = draft()
    d.set(
        "model.inputs.features", {"item_id": {}, "category": {}, "genres": {}, "blog": {"vectors": {"path": "b.npy"}}}
    )
    editor = FeatureEditor(d, d.set)
    assert editor.rows["price"].table.disabled and not editor.rows["price"].ticked
    editor.rows["category"].table.value = editor.rows["genres"].table.value = "kinds"
    features = d.spec.model.inputs.features
    assert features is not None and features["category"].table == features["genres"].table == "kinds"
    assert features["blog"].vectors is not None and features["blog"].vectors.path == "b.npy"
    assert "vectors" in picture(d.spec, SCHEMA) and "blog" in picture(d.spec, SCHEMA)


def test_the_picture_knows_every_aggregation_and_joint_projection() -> None:
    spec = draft().spec.override({"model.inputs.aggregation": "element-wise-sum-item-multi"})
    assert "element-wise-sum-item-multi" in picture(spec, SCHEMA) and "5 features B × 20 × 64" in picture(spec, SCHEMA)
    joint = draft().spec.override({"model.inputs.continuous_projection": 6})
    assert "all continuous" in picture(joint, SCHEMA) and "projected 6" in picture(joint, SCHEMA)


def test_towers_are_drawn_and_edited() -> None:
    d = draft()
    form = SpecForm(d)
    assert "model.merge" not in form.fields
    d.replace(d.spec.override({"model.towers": [{"body": {"kind": "gru", "d_model": 32}}]}))
    assert "GPT2 ×2 4 heads B × 20 × 64 | GRU ×2 B × 20 × 32" in picture(d.spec, SCHEMA)
    assert "B × 20 × 96" in picture(d.spec, SCHEMA)
    form.fields["model.towers.0.body.kind"].control.value = "bert"
    assert {"clm"} == {kind for _, kind in form.fields["model.masking.kind"].control.options}
    form.fields["model.merge"].control.value = "sum"
    assert "needs towers of one width" in next(iter(d.errors.values())).problem
    form.fields["model.towers.0.body.d_model"].control.value = 64
    assert not d.errors
    assert (d.spec.model.merge, d.spec.model.towers[0].body.d_model) == ("sum", 64)


def test_the_picture_shows_shapes_and_escapes_names() -> None:
    text = picture(draft().spec, SCHEMA)
    assert "B × 20 × 64" in text
    assert f"B × {SCHEMA.n_items}" in text
    evil = SCHEMA.model_copy(
        update={"columns": tuple(c.model_copy(update={"name": EVIL}) if c.name == "price" else c for c in SCHEMA)}
    )
    assert "<img" not in picture(draft().spec, evil)


def test_maskings_have_their_knobs_in_the_form_and_errors_beside_them() -> None:
    d = draft()
    form = SpecForm(d)
    form.fields["model.body.kind"].control.value = "xlnet"
    form.fields["model.masking.kind"].control.value = "plm"
    assert "random order" in form.fields["model.masking.kind"].help
    form.fields["model.masking.max_span_length"].control.value = 30
    assert "must be below data.max_length 20" in form.fields["model.masking.max_span_length"].error
    form.fields["data.max_length"].control.value = 40
    assert d.valid and d.spec.model.masking.max_span_length == 30
    form.fields["model.masking.kind"].control.value = "rtd"
    form.fields["model.masking.discriminator"].control.value = "separate"
    form.fields["model.masking.weight"].control.value = 25.0
    assert d.valid and d.spec.model.masking.weight == 25
    assert "model.masking.max_span_length" not in form.fields


def test_the_picture_shows_what_is_hidden_and_the_discriminator() -> None:
    def shown(body: str, **masking: Any) -> str:
        content = {"data": {"path": "demo"}, "model": {"body": {"kind": body}, "masking": masking}}
        return picture(RunSpec.parse(content), SCHEMA)

    hidden = lambda text: text.count('class="t4r-hidden"')  # noqa: E731
    for probability in (0.0, 0.1, 0.35, 0.7, 1.0):
        for span in (1, 3, 8):
            text = shown("xlnet", kind="plm", probability=probability, max_span_length=span)
            assert hidden(text) == max(1, min(19, round(probability * 20)))
            assert text.count('class="t4r-visible"') == 20 - hidden(text)
    assert "40% predicted in random order, spans to 3" in shown("xlnet", kind="plm", probability=0.4, max_span_length=3)
    assert hidden(shown("xlnet", kind="plm", permute_all=True)) == 19
    text = shown("bert", kind="rtd", probability=0.3, weight=25, discriminator="separate")
    assert hidden(text) == 6
    assert "30% hidden, then replaced" in text
    assert "original or replaced?" in text and "separate body" in text
    assert "original or replaced?" not in shown("bert", kind="mlm")


# ── jobs and runs ───────────────────────────────────────────────────────────────────────────────


def test_a_card_extends_its_curves_and_escapes_its_name() -> None:
    card = JobCard(
        JobState("1", EVIL, "running", stage="training", done=5, total=10, eta=3.0, epochs=2, metrics=("ndcg@5",)),
        lambda id, action: None,
    )
    card.consume(
        [
            {"event": "baseline", "name": "popularity", "metrics": {"ndcg@5": 0.1}},
            {"event": "progress", "stage": "training", "done": 5, "total": 10, "figures": {"loss": 3.0}},
            {"event": "epoch", "epoch": 1, "train_loss": 2.5, "valid": {"ndcg@5": 0.2}, "losses": {"next_item": 1.5}},
        ]
    )
    assert card.loss.series == {"training": [[1.0, 3.0], [1.0, 2.5]], "next item": [[1.0, 1.5]]}
    assert card.metrics["ndcg@5"].series == {"validation": [[1.0, 0.2]]}
    assert card.metrics["ndcg@5"].lines == {"popularity": 0.1}
    assert "validation 0.200 at epoch 1" in card.metrics["ndcg@5"].alternative
    html = "".join(getattr(child, "value", "") for child in (card._head, card._progress))
    assert "<img" not in html
    assert "3 s left" in html


def test_every_head_has_a_curve_on_the_card() -> None:
    card = JobCard(JobState("1", "two heads", "running", epochs=2, metrics=("ndcg@5", "bought/auc")), lambda *_: None)
    card.consume(
        [
            {"event": "baseline", "name": "prevalence", "metrics": {"bought/auc": 0.5, "bought/nll": 0.7}},
            {
                "event": "epoch",
                "epoch": 1,
                "train_loss": 2.5,
                "valid": {"ndcg@5": 0.2, "bought/auc": 0.7},
                "losses": {},
            },
        ]
    )
    assert {name: curve.series for name, curve in card.metrics.items()} == {
        "ndcg@5": {"validation": [[1.0, 0.2]]},
        "bought/auc": {"validation": [[1.0, 0.7]]},
    }
    assert list(card.metrics["bought/auc"].lines.values()) == [0.5] and not card.metrics["ndcg@5"].lines


def test_a_card_offers_what_can_be_done_and_asks_for_it() -> None:
    calls: list[tuple[str, str]] = []
    card = JobCard(JobState("1", "mine", "running"), lambda id, action: calls.append((id, action)))
    offered = {
        "running": ["pause", "stop"],
        "pausing": [],
        "canceling": [],
        "paused": ["resume"],
        "lost": ["resume"],
        "stopped": ["resume"],
        "failed": ["resume"],
        "finished": [],
        "canceled": [],
    }
    for state, actions in offered.items():
        card.state = JobState("1", "mine", state)
        buttons = {action: card.buttons[action] for action in ("pause", "stop", "resume")}
        assert [a for a, b in buttons.items() if b.layout.display != "none" and not b.disabled] == actions, state
        for action in actions:
            calls.clear()
            buttons[action].click()
            assert calls == [("1", action)]


def test_panels_say_what_to_do_when_there_is_nothing() -> None:
    panel = TrainPanel(lambda id, action: None)
    panel.show([], {})
    assert "press Train" in panel._message.value
    runs = RunsPanel(lambda: None)
    assert "Reading" in runs._message.value
    runs.loading = False
    assert "No runs yet" in runs._message.value
    runs.error = "the record is locked"
    assert "the record is locked" in runs._message.value


def test_runs_stand_beside_their_baselines() -> None:
    panel = RunsPanel(lambda: None)
    row = RunSummary(
        "abc123456",
        EVIL,
        "FINISHED",
        1e9,
        5.0,
        "gru",
        "clm",
        {"ndcg@5": 0.2},
        {"popularity": {"ndcg@5": 0.1}, "successors": {"ndcg@5": 0.16}},
    )
    panel.loading, panel.runs = False, [row]
    texts = [cell["text"] for cell in panel.table.rows[0]]
    assert texts[0] == EVIL  # the table sets it as text, never as markup
    assert {"0.200", "0.100", "0.160", "+25.0 %"} <= set(texts)


# ── the whole ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    try:
        until(lambda: lab.data.summary is not None and not lab.runs.loading and not lab.jobs.loading)
        yield lab
    finally:
        lab.close()


def test_the_lab_opens_on_the_built_in_data(lab: Lab) -> None:
    assert "demo · 4.00k sessions · 500 items" in lab._header.value
    assert lab.draft.valid
    assert not lab.architecture.train.disabled
    assert "category" in lab.architecture.canvas.svg
    first = lab.first_steps  # of an empty home
    until(lambda: first.layout.display == "")
    assert (first.data.description, first.model.description) == ("1 data: demo", "2 model: gpt2-clm")
    lab.edit("model.body.n_head", 5)
    assert first.train.disabled and "n_head 5 does not divide" in first.train.tooltip
    lab.edit("model.body.n_head", 4)
    assert not first.train.disabled
    first.data.click()
    assert lab.tabs.selected_index == TABS.index("Data")


def test_the_cell_run_again_shows_the_same_lab(lab: Lab) -> None:
    lab.edit("name", "mine")
    assert Lab(lab.home) is lab
    assert Lab(lab.home).draft.spec.name == "mine"


def test_a_home_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lab = Lab(tmp_path / "file" / "home")
    assert "the home can" in lab.children[1].value
    lab.close()


def test_damaged_jobs_and_a_launch_that_fails_are_shown(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lab.home / "jobs" / "20990101-000000-dead"
    folder.mkdir(parents=True)
    (folder / "status.json").write_text("{half")
    lab.background.wake()
    until(lambda: lab.jobs.jobs)
    assert lab.jobs.jobs[0].state == "lost"
    assert "remove the folder" in lab.jobs.cards[folder.name]._progress.value

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("t4r_lab.jobs.launch", full)
    lab.architecture.train.click()
    until(lambda: lab.tabs.selected_index == 2)
    assert "No space left" in lab.jobs._message.value


def test_callbacks_are_quick(lab: Lab) -> None:
    control = lab.architecture.form.fields["model.body.kind"].control
    bodies = ("xlnet", "gru", "bert", "gpt2")
    for body in bodies:  # the first change to a body imports what it needs
        control.value = body
    for body in bodies:
        with at_most(0.15):
            control.value = body


def test_the_draft_survives_a_restart_and_a_notebook_without_a_kernel_shows_it(lab: Lab) -> None:
    lab.edit("model.body.kind", "xlnet")
    lab.edit("model.body.n_layer", 3)
    assert lab.draft.spec.name == "xlnet-clm"  # nobody has named it
    lab.edit("name", EVIL)
    page = still(lab.draft)
    assert "Run this cell to go on" in page and "<img src=x" not in page
    image = re.search(r"base64,([^\"]+)", page)
    assert image is not None and "XLNet ×3" in base64.b64decode(image[1]).decode()
    lab.close()
    second = Lab(lab.home)
    try:
        until(lambda: second.data.summary is not None)
        assert second.draft.spec == lab.draft.spec and second.draft.named
        (second.home / "draft.json").write_text("{half")
        assert kept(second.home) is None  # and the next one begins anew
    finally:
        second.close()


def test_names_follow_the_model_until_a_person_gives_one() -> None:
    d = Draft(RunSpec.parse({"name": "gpt2-clm", "data": {"path": "shop"}}), SCHEMA, named=False)
    d.set("model.body.kind", "xlnet")
    d.set("model.masking.kind", "mlm")
    assert d.spec.name == "xlnet-mlm"
    d.set("model.towers", [{"body": {"kind": "bert"}}])
    assert d.spec.name == "xlnet+bert-mlm"
    d.start("gru4rec")
    assert d.spec.name == "gru4rec"
    d.set("model.body.n_layer", 2)
    assert d.spec.name == "gru-clm"  # the preset's no more
    d.set("name", "mine")
    d.set("model.body.kind", "lstm")
    assert d.spec.name == "mine"
    d.undo()
    d.undo()
    d.set("model.body.kind", "lstm")
    assert d.spec.name == "lstm-clm"
    assert [with_free_name(d.spec, {*["lstm-clm", "lstm-clm-2"][:n]}).name for n in (0, 1, 2)] == [
        "lstm-clm",
        "lstm-clm-2",
        "lstm-clm-3",
    ]


@pytest.mark.slow
def test_train_runs_in_a_job_and_the_run_appears(lab: Lab) -> None:
    lab.edit("train.epochs", 1)
    lab.architecture.train.click()
    until(lambda: lab.jobs.jobs)
    assert lab.first_steps.layout.display == "none"
    assert lab.jobs._reveal.target in lab.jobs.cards[lab.jobs.jobs[0].id]._dom_classes  # scrolled to, with the focus
    until(lambda: lab.runs.runs and lab.runs.runs[0].status == "FINISHED", 90)
    until(lambda: lab.jobs.jobs[0].state == "finished")
    card = lab.jobs.cards[lab.jobs.jobs[0].id]
    assert card.buttons["run page"].layout.display == ""
    card.buttons["run page"].click()
    assert lab.tabs.selected_index == TABS.index("Runs") and lab.runs.selected == lab.runs.runs
    assert lab.runs.runs[0].baselines.keys() == {"popularity", "successors"}
    lab.close()
    second = Lab(lab.home)  # as after a restart of the kernel
    try:
        assert second is not lab
        until(lambda: second.jobs.cards)
        assert next(iter(next(iter(second.jobs.cards.values())).metrics.values())).series["validation"]
    finally:
        second.close()


def test_what_comes_after_closing_changes_nothing() -> None:
    background, go = Background(), threading.Event()
    results: list[Any] = []
    before = set(threading.enumerate())
    background.run(lambda: go.wait(30), results.append, results.append)
    (thread,) = set(threading.enumerate()) - before
    background.close()
    go.set()
    thread.join(30)
    assert results == []


class PanicException(BaseException):
    """What a library written in Rust raises when it panics; to Python no `Exception`."""


def raises(error: BaseException) -> Callable[..., Any]:
    def call(*anything: Any) -> Any:
        raise error

    return call


def test_every_failure_reaches_a_panel_or_whoever_shows_the_whole() -> None:
    errors: list[InputError] = []
    for error in (PanicException("called `Option::unwrap()`"), SystemExit(3), MemoryError()):
        background, panel = Background(errors.append), list[InputError]()
        background.run(raises(error), panel.append, panel.append)  # the work fails
        background.run(lambda: "found", raises(error), panel.append)  # the panel can't show what was found
        background.run(lambda: "found", raises(error), raises(error))  # nor that
        until(lambda panel=panel: len(panel) == 2 and errors)  # type: ignore[misc]
        name = type(error).__name__
        assert all(name in str(error) for error in [*panel, *errors])
        assert sorted("could not be updated" in error.path for error in panel) == [False, True]
        background.close()
        errors.clear()


def test_a_watch_goes_on_after_every_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("t4r_lab.lab.state.background.REST", 0.01)
    background, errors = Background(), list[InputError]()
    background.repeat(raises(PanicException("no")), errors.append, errors.append, raises(ValueError("pause")))
    until(lambda: sum("PanicException" in str(e) for e in errors) > 2 and any("pause" in str(e) for e in errors))
    background.close()


def test_what_no_panel_can_show_stands_under_the_header(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "_show_header", raises(RuntimeError("no header")))
    lab.choose(lab.home / "data" / "demo")
    until(lambda: lab._trouble.value)
    assert "no header" in lab._trouble.value
    lab.tabs.selected_index = 0
    assert not lab._trouble.value


def test_the_first_view_imports_nothing_heavy() -> None:
    code = "import sys, t4r_lab; t4r_lab.Lab; print([m for m in ('torch', 'transformers', 'mlflow', 'plotly') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_lab_names_no_command_where_it_has_a_button() -> None:
    """Every command that an error of the package may name; one without a button stays, for a terminal."""
    quoted = {
        command for path in MODULES.values() for command in re.findall(r"`t4r-lab [a-z][^`\n]*`", path.read_text())
    }
    assert {"`t4r-lab prepare`", "`t4r-lab jobs resume {self.id}`"} <= quoted
    texts = [
        error_text(InputError("run A", "it has stopped", f"go on with {command}, or --force it")) for command in quoted
    ]
    assert not [text for text in texts if "`" in text or "--force" in text]
    assert {text for text in texts if "t4r-lab" in text} == {text for text in texts if "in a terminal" in text}
    assert "go on with the buttons in Train, or “force” it" in " ".join(texts)
