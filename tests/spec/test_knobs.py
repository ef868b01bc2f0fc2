"""Certificate 6: each knob of the spec changes the built model or its training.

Every knob below the model and the training is turned once, in a spec of each kind that has it: a new body, masking,
loss or knob is tested by being listed.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from t4r_lab.base.reports import Epoch
from t4r_lab.families.knobs import Knob, variants
from t4r_lab.nn.batches import make_batch, training_windows
from t4r_lab.spec import BODY_MASKINGS, RunSpec
from t4r_lab.spec.run_spec import element
from t4r_lab.spec.sections import ModelSpec
from t4r_lab.training.assembly import build
from t4r_lab.training.trainer import fit
from tests.support.toy import N_ITEMS, Toy, toy_spec

SHORT = {
    "train__epochs": 2,
    "train__warmup": 0.2,
    "model__inputs__features": {
        "item_id": {},
        "category": {},
        "price": {"encoding": "soft_one_hot"},
    },
}

ELSEWHERE = {
    "train.patience": "stops early: test_train.py",
    "train.monitor": "chooses the best epoch: test_train.py",
    "train.precision": "arithmetic of the body: test_train.py",
    "train.device": "where it runs",
    "model.heads.0.loss.precision": "arithmetic of the products: test_losses.py",
    "model.heads.0.fit_temperature": "after training: test_runner.py",
    "model.towers": "a list: test_bodies.py",
    "model.merge": "of towers: test_bodies.py",
    "train.checkpoint_seconds": "when a state is kept: test_jobs.py",
    "train.fit_on": "the part that is read: test_train.py",
}
"""Knobs that two epochs on a CPU can't show, and what tests them."""


FEATURES = ("item_id.dim", "category.dim", "category.table", "price.dim", "price.bins", "price.encoding")
"""Knobs of single features: each means something for some encodings only. Their `vectors`: test_vectors.py."""

NEEDS: dict[str, dict[str, Any]] = {
    "model.heads.0.init_std": {"model.heads.0.weight_tying": False},
    "model.inputs.swap": {"model.inputs.swap_noise": 0.3},
    "model.heads.0.loss.calibration": {"model.heads.0.loss.negatives": 8},  # at all items there is nothing to correct
    "model.inputs.continuous_projection": {"model.inputs.features": {"item_id": {}, "price": {}}},
    "model.inputs.features.category.table": {"model.inputs.features": {"category": {}, "genres": {"table": "shared"}}},
}
"""Knobs that mean something only beside another value: that value, on both sides."""


def specs() -> dict[str, RunSpec]:
    """One spec for each kind of each choice, by ``path=kind``; "" is the plain one."""
    by_choice = {"": toy_spec(**SHORT)}
    for body, maskings in BODY_MASKINGS.items():
        by_choice[f"model.body.kind={body}"] = toy_spec(body, maskings[0], **SHORT)
    for masking in dict.fromkeys(m for ms in BODY_MASKINGS.values() for m in ms):
        body = next(b for b, maskings in BODY_MASKINGS.items() if masking in maskings)
        by_choice[f"model.masking.kind={masking}"] = toy_spec(body, masking, **SHORT)
    head = variants(element(ModelSpec.model_fields["heads"].annotation))["next_item"]
    for loss in variants(head.model_fields["loss"].annotation):
        by_choice[f"model.heads.0.loss.kind={loss}"] = toy_spec(**SHORT, model__heads__0__loss={"kind": loss})
    return by_choice


SPECS = specs()


def cases() -> list[tuple[str, str]]:
    """(spec, path) for each knob: those of a kind in the spec of that kind, the rest in the plain one."""
    below = {name: name.partition("=")[0].removesuffix("kind") for name in SPECS if name}
    chosen = [(name, path) for name, prefix in below.items() for path in SPECS[name].knobs() if path.startswith(prefix)]
    features, prefixes = "model.inputs.features.", tuple(below.values())
    plain = [p for p in SPECS[""].knobs() if p.startswith(("model.", "train.")) and not p.startswith(prefixes)]
    plain = [p for p in plain if not p.startswith(features)] + [features + name for name in FEATURES]
    return [(n, p) for n, p in [*chosen, *(("", p) for p in plain)] if not p.endswith(".kind") and p not in ELSEWHERE]


def other_value(knob: Knob) -> Any:
    """Another value that the knob may take, far enough from the first to matter."""
    if knob.path.endswith("price.encoding"):
        return "projected"
    if knob.choices:
        return next(c for c in knob.choices if c != knob.value)
    if knob.type is str:
        return "shared"
    if knob.type is bool:
        return not knob.value
    if knob.type is int:
        step = 4 if knob.path.endswith("d_model") else 2  # rotary heads are of even width
        return knob.value + step if knob.value is not None else max(int(knob.low or 0), 3)
    if knob.low is not None and knob.high is not None:
        middle = (knob.low + knob.high) / 2
        return middle if middle != knob.value else (knob.low + middle) / 2
    return (knob.value or 1.0) * 0.01


@cache
def fingerprint(name: str, beside: str = "", path: str = "") -> tuple[Any, ...]:
    """Size, scores before training, losses and metrics of a short training, with one knob turned.

    `beside` is the knob whose `NEEDS` are met.
    """
    spec, toy = SPECS[name].override(NEEDS.get(beside, {})), Toy(n=48)
    if path:
        spec = spec.override({path: other_value(spec.knobs()[path])})
    counts = toy.part("train").item_counts(N_ITEMS)
    model = build(spec, toy.schema, toy.item_table(), None, counts).eval()
    sessions = toy.part("valid")
    with torch.no_grad():
        scores = model.score(make_batch(sessions, training_windows(sessions, 6).take(range(4))))
    with tempfile.TemporaryDirectory() as folder:
        epochs = [r for r in fit(model, toy, spec, Path(folder)) if isinstance(r, Epoch)]  # type: ignore[arg-type]
    size = sum(p.numel() for p in model.parameters())
    return size, float(scores.double().std()), *((e.train_loss, *e.valid.values()) for e in epochs)


@pytest.mark.parametrize(("name", "path"), cases(), ids=lambda part: part or "plain")
def test_6_each_knob_changes_the_model_or_its_training(name: str, path: str) -> None:
    beside = path if path in NEEDS else ""
    assert fingerprint(name, beside, path) != fingerprint(name, beside)


def test_what_is_left_out_exists() -> None:
    assert set(ELSEWHERE) <= set(SPECS[""].knobs())


def test_the_same_spec_has_the_same_fingerprint() -> None:
    again = fingerprint.__wrapped__("")
    assert again == fingerprint("")
