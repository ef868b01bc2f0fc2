"""Spec: every wrong input is answered with its path, its value and a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.spec import RunSpec, parse_assignment
from t4r_lab.training import assembly
from tests.support.toy import SCHEMA, toy_spec

DATA = {"data": {"path": "x"}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "data: is required; add it"),
        ({"data": "x"}, "data: 'x' is wrong"),
        ([], "expected keys such as data and model"),
        ({**DATA, "trian": {}}, "trian: unknown key; did you mean 'train'?"),
        ({**DATA, "train": {"epoch": 3}}, "train.epoch: unknown key; did you mean 'epochs'?"),
        ({**DATA, "train": {"epochs": "many"}}, "train.epochs: 'many' is wrong"),
        ({**DATA, "train": {"epochs": 0}}, "train.epochs: 0 is wrong: input should be greater than or equal to 1"),
        ({**DATA, "train": {"schedule": "linaer"}}, "train.schedule: 'linaer' is not a choice; did you mean 'linear'?"),
        ({**DATA, "train": {"monitor": "ndcg@5"}}, "train.monitor: 'ndcg@5' is not computed"),
        ({**DATA, "evaluation": {"cutoffs": [0]}}, "evaluation.cutoffs: [0] are not different whole numbers from 1 up"),
        ({**DATA, "model": {"body": {"kind": "gpt3"}}}, "model.body.kind: unknown kind 'gpt3'; did you mean 'gpt2'?"),
        ({**DATA, "model": {"body": {"d_model": 3}}}, "model.body.kind: needs a kind; choose from: xlnet, gpt2"),
        (
            {**DATA, "model": {"body": {"kind": "gpt2", "n_heads": 3}}},
            "model.body.n_heads: unknown key; did you mean 'n_head'?",
        ),
        (
            {**DATA, "model": {"body": {"kind": "gpt2", "n_head": 3}}},
            "model.body: n_head 3 does not divide d_model 64; choose n_head from [1, 2, 4",
        ),
        (
            {**DATA, "model": {"body": {"kind": "modernbert"}}},
            "model: masking 'clm' is not for body 'modernbert'; use mlm",
        ),
        (
            {**DATA, "model": {"masking": {"kind": "plm"}}},
            "model: masking 'plm' is not for body 'gpt2'; use clm with gpt2, or plm with xlnet",
        ),
        (
            {**DATA, "model": {"body": {"kind": "xlnet"}, "masking": {"kind": "plm", "probability": 1.5}}},
            "model.masking.probability: 1.5 is wrong: input should be less than or equal to 1",
        ),
        (
            {**DATA, "model": {"body": {"kind": "bert"}, "masking": {"kind": "rtd", "probability": -0.1}}},
            "model.masking.probability: -0.1 is wrong",
        ),
        (
            {**DATA, "model": {"body": {"kind": "xlnet"}, "masking": {"kind": "plm", "max_span_length": 20}}},
            "model.masking.max_span_length: 20 must be below data.max_length 20, so that something of a session stays "
            "visible; lower it to 19 or raise data.max_length",
        ),
        (
            {
                **DATA,
                "model": {"heads": [{"kind": "next_item", "loss": {"kind": "cross_entropy", "label_smoothing": 2}}]},
            },
            "model.heads.0.loss.label_smoothing: 2 is wrong",
        ),
        (
            {**DATA, "model": {"heads": [{"kind": "next_item", "los": 1}]}},
            "model.heads.0.los: unknown key; did you mean 'loss'?",
        ),
        ({**DATA, "model": {"inputs": {"features": {"p": {"dimm": 3}}}}}, "model.inputs.features.p.dimm: unknown key"),
    ],
)
def test_wrong_content(content: Any, words: str) -> None:
    with pytest.raises(InputError) as error:
        RunSpec.parse(content, "spec.yaml")
    assert words in str(error.value)
    assert str(error.value).startswith("spec.yaml: ") and "\n" not in str(error.value)


def test_wrong_files(tmp_path: Path) -> None:
    broken = tmp_path / "spec.yaml"
    broken.write_text("data: {path: x}\ntrain: {epochs: [1,\n")
    with pytest.raises(InputError, match="not valid YAML in line 3"):
        RunSpec.load(broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        RunSpec.load(broken)
    with pytest.raises(InputError, match="cannot be read"):
        RunSpec.load(tmp_path / "none.yaml")


def test_every_form_of_a_spec_comes_back_the_same(tmp_path: Path) -> None:
    spec = toy_spec("xlnet", "mlm", model__inputs__features__price__encoding="soft_one_hot")
    assert RunSpec.loads(spec.to_yaml()) == spec == RunSpec.loads(spec.to_json())
    (tmp_path / "s.yaml").write_text(spec.to_yaml())
    assert RunSpec.load(tmp_path / "s.yaml") == spec


def test_every_knob_has_help_and_can_be_set_by_its_path() -> None:
    spec = toy_spec("gru", "clm", model__inputs__features__price__dim=3)
    for path, knob in spec.knobs().items():
        assert knob.help, path
        assert spec.override({path: knob.value}) == spec, path
    assert spec.flat()["model.inputs.features.price.dim"] == 3


def test_a_changed_kind_keeps_what_the_new_kind_knows() -> None:
    spec = toy_spec("gpt2").override({"model.body.kind": "gru"})
    assert spec.model.body.kind == "gru" and spec.model.body.d_model == 16
    both = toy_spec("gpt2").override({"model.masking.kind": "mlm", "model.body.kind": "bert"})
    assert both.model.masking.kind == "mlm"
    with pytest.raises(InputError, match="n_head: unknown key"):
        toy_spec("gpt2").override({"model.body.kind": "gru", "model.body.n_head": 2})


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("model.body.widht", "model.body.widht: unknown key"),
        ("model.bdy.d_model", "did you mean 'body'"),
        ("model.heads.3.temperature", "not an index"),
        ("train.epochs.x", "holds a single value"),
        ("nam", "did you mean 'name'"),
    ],
)
def test_wrong_paths(path: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        toy_spec().override({path: 3})


def test_assignments_of_the_command_line() -> None:
    spec = toy_spec().override(
        dict([parse_assignment("train.learning_rate=1e-4"), parse_assignment("train.patience=null")])
    )
    assert spec.train.learning_rate == 1e-4 and spec.train.patience is None
    for wrong in ("train.epochs", "=3", "name='a"):
        with pytest.raises(InputError, match="--set"):
            parse_assignment(wrong)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.inputs.features.prise.dim": 3}, "prise: the data has no such feature; did you mean 'price'"),
        ({"model.inputs.features.price.encoding": "embedding"}, "'embedding' is not for a continuous column"),
        (
            {"model.inputs.aggregation": "element-wise-sum", "model.inputs.features.category.dim": 3},
            "needs one width, but the item has 16 and category has 3",
        ),
    ],
)
def test_what_the_data_cannot_give_is_refused_before_anything_is_built(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        assembly.check(toy_spec().override(changes), SCHEMA)
