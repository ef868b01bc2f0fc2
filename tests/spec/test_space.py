"""Where a study looks: knobs' own ranges, the user's, presets, kinds, grids; and what is refused."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.families import custom
from t4r_lab.spec import BODY_MASKINGS, RunSpec
from t4r_lab.spec.domains import Domain, Range, parse_search
from t4r_lab.spec.space import SEARCH_PRESETS, changed, grid, grid_size, search_space
from t4r_lab.spec.study_options import Plan, StudyOptions, judged_metrics, load_study

SMOOTHING = "model.heads.0.loss.label_smoothing"


def spec_of(**model: Any) -> RunSpec:
    return RunSpec.parse({"data": {"path": "x"}, "model": model})


def plan(options: dict[str, Any], **model: Any) -> Plan:
    return Plan.of(spec_of(**model), StudyOptions.parse(options))


def test_a_path_alone_is_searched_over_its_knobs_own_range() -> None:
    paths = ["train.learning_rate", "model.body.d_model", "model.inputs.layer_norm", "train.schedule"]
    space = plan({"space": dict.fromkeys(paths)}).space
    assert space == {
        "train.learning_rate": Domain((), 1e-4, 1e-2, True),
        "model.body.d_model": Domain((), 64, 448, step=64, whole=True),
        "model.inputs.layer_norm": Domain((False, True)),
        "train.schedule": Domain(("constant", "linear", "cosine")),
    }


@pytest.mark.parametrize("preset", SEARCH_PRESETS)
@pytest.mark.parametrize("masking", ["mlm", "plm", "rtd", "clm"])
def test_presets_hold_what_a_spec_has(preset: str, masking: str) -> None:
    space = plan({"presets": [preset]}, masking={"kind": masking}, body={"kind": "xlnet"}).space
    assert ("model.masking.probability" in space) == (preset == "paper" and masking != "clm")
    assert ("model.masking.weight" in space) == (preset == "paper" and masking == "rtd")
    if preset == "paper":  # the paper's numbers, typed again
        assert (space["model.body.d_model"].low, space["model.body.d_model"].high) == (64, 448)
        assert space[SMOOTHING] == Domain((), 0, 0.9)
        assert space["model.inputs.init_std"] == Domain((), 0.01, 0.15)
    if preset == "architecture":
        assert set(space["model.body.kind"].choices) == {b for b, m in BODY_MASKINGS.items() if masking in m}


def test_every_point_of_the_architecture_preset_is_a_valid_spec() -> None:
    spec = spec_of()
    space = search_space(spec, ["architecture"], {})
    names = ["model.body.kind", "model.body.d_model", "model.body.n_head"]
    widths = range(64, 449, 64)
    for kind, width, heads in itertools.product(space[names[0]].choices, widths, space[names[2]].choices):
        changed(spec, dict(zip(names, (kind, width, heads), strict=True)))


def test_knobs_of_a_kind_that_is_searched_can_be_searched_too() -> None:
    space = plan({"space": dict.fromkeys(["model.masking.kind", "model.body.kind", "model.masking.probability"])}).space
    assert space["model.masking.kind"].choices == ("clm", "mlm", "plm", "rtd")
    assert space["model.masking.probability"] == Domain((), 0.05, 0.7)
    with pytest.raises(InputError, match="unknown path"):
        plan({"space": {"model.masking.probability": None}})  # clm has none
    spec = changed(
        spec_of(), {"model.masking.kind": "mlm", "model.body.kind": "bert", "model.masking.probability": 0.4}
    )
    assert spec.flat()["model.masking.probability"] == 0.4
    assert "model.masking.probability" not in changed(spec_of(), {"model.masking.probability": 0.4}).flat()


def test_text_and_yaml_say_the_same(tmp_path: Path) -> None:
    texts = [
        f"{SMOOTHING}=0:0.5",
        "train.learning_rate=1e-4:1e-2:log",
        "model.body.kind=gpt2,gru",
        "train.weight_decay",
    ]
    (tmp_path / "s.yaml").write_text(
        f"data: {{path: x}}\nsearch:\n  trials: 7\n  space:\n    {SMOOTHING}: {{low: 0, high: 0.5}}\n"
        "    train.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}\n"
        "    model.body.kind: {choices: [gpt2, gru]}\n    train.weight_decay:\n"
    )
    spec, section = load_study(tmp_path / "s.yaml")
    assert spec == spec_of()
    from_text = Plan.of(spec, StudyOptions.parse({"space": dict(parse_search(text) for text in texts)}))
    assert Plan.of(spec, StudyOptions.parse(section)).space == from_text.space
    assert StudyOptions.parse(section).total_trials == 7


def test_points_of_a_grid() -> None:
    assert Domain((), 1, 4, whole=True).points() == [1, 2, 3, 4]
    assert Domain((), 0, 1).points() == [0, 0.25, 0.5, 0.75, 1]
    assert Domain((), 1e-4, 1, True).points() == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert Domain((), 64, 448, step=64, whole=True).points() == [64, 192, 256, 320, 448]
    spec = spec_of()
    space = search_space(
        spec,
        [],
        {
            "model.body.kind": Range(choices=["gpt2", "gru"]),
            "model.body.n_head": Range(choices=[3, 4]),
            "model.body.dropout": Range(choices=[0.0, 0.2]),
        },
    )
    assert grid_size(space) == 8
    points = [{k.rpartition(".")[2]: v for k, v in point.items()} for point in grid(spec, space)]
    # 3 heads don't divide 64, and a GRU has none
    assert sorted(points, key=str) == sorted(
        [
            {"kind": "gpt2", "n_head": 4, "dropout": 0.0},
            {"kind": "gpt2", "n_head": 4, "dropout": 0.2},
            {"kind": "gru", "dropout": 0.0},
            {"kind": "gru", "dropout": 0.2},
        ],
        key=str,
    )


def test_the_first_objective_chooses_the_best_epoch() -> None:
    assert plan({"presets": ["paper"], "objectives": ["recall@10"]}).spec.monitor == "recall@10"
    assert plan({"presets": ["paper"], "objectives": ["ece"]}).spec.monitor == "ndcg@20"
    assert plan({"presets": ["paper"]}).objectives == ("ndcg@20",)


def test_pruning_needs_one_objective_that_each_epoch_has() -> None:
    assert plan({"presets": ["paper"]}).prunes
    for objectives, words in ((["ndcg@20", "ece"], "several objectives"), (["ece"], "no epoch has ece")):
        search = plan({"presets": ["paper"], "objectives": objectives})
        assert not search.prunes
        assert words in search.remarks[0]


def test_a_start_outside_the_search_is_told() -> None:
    search = plan({"space": {SMOOTHING: {"low": 0.5, "high": 0.9}}})
    assert search.remarks == [f"trial 0 starts outside the search at {SMOOTHING}"]


def test_constraints_are_signed() -> None:
    upper, lower = plan({"presets": ["paper"], "constraints": ["parameters<=1e6", "coverage@20>=0.5"]}).constraints
    assert (upper.excess({"parameters": 2e6}), lower.excess({"coverage@20": 0.75})) == (1e6, -0.25)


def test_whatever_is_judged_has_a_direction() -> None:
    search = plan({"presets": ["paper"]})
    lower = {name for name in judged_metrics(search.spec) if search.lower(name)}
    assert lower == {"ece", "brier", "nll", "gini@10", "gini@20", "parameters", "epoch_seconds", "latency_ms"}


REFUSED = {
    "an unknown path": ({"space": {"model.body.dropot": None}}, "did you mean 'model.body.dropout'?"),
    "a range the wrong way round": ({"space": {SMOOTHING: {"low": 0.5, "high": 0.1}}}, "give the smaller end first"),
    "an empty range": ({"space": {SMOOTHING: {"low": 0.5, "high": 0.5}}}, "is empty"),
    "half a range": ({"space": {SMOOTHING: {"low": 0.5}}}, "label_smoothing.high: a range needs low and high"),
    "a log scale through 0": (
        {"space": {SMOOTHING: {"low": 0, "high": 0.5, "log": True}}},
        "label_smoothing.low: a log scale can't reach 0; start above 0",
    ),
    "steps of a log scale": (
        {"space": {SMOOTHING: {"low": 0.1, "high": 0.5, "log": True, "step": 0.1}}},
        "label_smoothing.step: a log scale has no step",
    ),
    "a value out of bounds": ({"space": {SMOOTHING: {"low": 0, "high": 2}}}, "above its largest value 0.99"),
    "choices and a range": (
        {"space": {SMOOTHING: {"low": 0, "choices": [0, 1]}}},
        "label_smoothing.choices: choices have no low, high, log or step; leave those out",
    ),
    "a choice that is none": ({"space": {"train.schedule": {"choices": ["linar"]}}}, "did you mean 'linear'?"),
    "a word among numbers": ({"space": {SMOOTHING: {"choices": ["much"]}}}, "is not a number"),
    "half a layer": ({"space": {"model.body.n_layer": {"low": 1.5, "high": 3}}}, "whole numbers only"),
    "a range of kinds": ({"space": {"model.body.kind": {"low": 0, "high": 1}}}, "kinds are not a range"),
    "an unknown kind": ({"space": {"model.body.kind": {"choices": ["gpt3"]}}}, "did you mean 'gpt2'?"),
    "a pair that does not work": ({"space": {"model.body.kind": {"choices": ["modernbert"]}}}, "is not for body"),
    "no range of its own": ({"space": {"train.epochs": None}}, "--search train.epochs=1:5"),
    "other data": ({"space": {"data.path": {"choices": ["a"]}}}, "can't be compared"),
    "another judgement": ({"space": {"evaluation.filter_seen": None}}, "can't be compared"),
    "a seed": ({"space": {"train.seed": {"low": 0, "high": 9}}}, "lucky seed"),
    "nothing": ({}, "nothing is searched"),
    "an unknown preset": ({"presets": ["papers"]}, "did you mean 'paper'?"),
    "a metric that isn't computed": ({"presets": ["paper"], "objectives": ["ndcg@7"]}, "did you mean 'ndcg@20'?"),
    "an objective twice": ({"presets": ["paper"], "objectives": ["ece", "ece"]}, "each once"),
    "a constraint of another form": ({"presets": ["paper"], "constraints": ["ece<0.1"]}, "such as ece<=0.05"),
    "a constraint of nothing": ({"presets": ["paper"], "constraints": ["ecee<=0.1"]}, "did you mean 'ece'?"),
    "no trials": ({"presets": ["paper"], "trials": 0}, "trials: 0 is wrong"),
    "an unknown option": ({"preset": ["paper"]}, "did you mean 'presets'?"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    options, words = REFUSED[name]
    with pytest.raises(InputError) as error:
        plan(options)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["=1:2", "a=", "a=1:2:lin", "a=x:y"])
def test_refused_text(text: str) -> None:
    with pytest.raises(InputError, match="--search"):
        parse_search(text)


def test_a_final_fit_is_no_start_of_a_study() -> None:
    spec = spec_of().override({"train.fit_on": "train+valid"})
    with pytest.raises(InputError, match="evaluated on the validation part"):
        Plan.of(spec, StudyOptions.parse({"presets": ["paper"]}))


# ── custom parts ─────────────────────────────────────────────────────────────────────

CUSTOM = """
from t4r_lab.nn import ColumnEncoder, CustomBody, knob

class Waves(ColumnEncoder):
    takes = ("continuous",)
    first: float = knob(1.0, "frequency", low=0.01, high=100, search=(0.1, 10))

    def build(self, of):
        return None  # nothing is built here

class Mean(CustomBody):
    decay: float = knob(0.8, "weight", low=0, high=1, search=(0.3, 1))

    def build(self, length):
        return None  # nothing is built here
"""
ENCODING, BODY = "model.inputs.features.price.encoding", "model.body.kind"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "searched_parts.py").write_text(CUSTOM)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(custom.VARIABLE, "searched_parts")
    yield
    sys.modules.pop("searched_parts", None)


def test_custom_classes_stand_among_the_choices_with_their_knobs(mine: None) -> None:
    spec = spec_of(inputs={"features": {"item_id": {}, "price": {}}})
    texts = (f"{ENCODING}=scalar,searched_parts:Waves", f"{BODY}=gru,searched_parts:Mean")
    its_knobs = ("model.inputs.features.price.first", "model.body.decay")
    ranges = {path: Range(**content) for path, content in map(parse_search, texts) if content}
    space = search_space(spec, [], ranges | dict.fromkeys(its_knobs))
    assert space[ENCODING].choices == ("scalar", "searched_parts:Waves")
    assert space[BODY].choices == ("gru", "searched_parts:Mean")
    assert [(space[path].low, space[path].high) for path in its_knobs] == [(0.1, 10), (0.3, 1)]
    values = {ENCODING: "searched_parts:Waves", its_knobs[0]: 3.0, BODY: "gru", its_knobs[1]: 0.5}
    trial = changed(spec, values)
    assert (trial.flat()[ENCODING], trial.flat()[its_knobs[0]]) == ("searched_parts:Waves", 3.0)
    assert its_knobs[1] not in trial.flat()  # a GRU has no such knob
    assert "gru" in search_space(trial, [], {BODY: None})[BODY].choices
    assert "scalar" in search_space(trial, [], {ENCODING: None})[ENCODING].choices


def test_a_custom_class_that_is_not_trusted_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(custom.VARIABLE, "")
    with pytest.raises(InputError, match=f"search {BODY}: 'nowhere:Body' is code of the module 'nowhere', which isn't"):
        search_space(spec_of(), [], {BODY: Range(choices=("gru", "nowhere:Body"))})
