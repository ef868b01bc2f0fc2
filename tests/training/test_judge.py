"""The final judgement against scores computed session by session, and the fitted temperature against a search."""

from __future__ import annotations

import json
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from t4r_lab import tracking
from t4r_lab.base.errors import InputError
from t4r_lab.nn.heads.model import Model
from t4r_lab.runs import run
from t4r_lab.spec import RunSpec
from t4r_lab.training import assembly, evaluation, trainer
from t4r_lab.training.judgment import judge
from tests.support.small import small_data, small_spec
from tests.support.toy import N_ITEMS, Toy, toy_spec


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, RunSpec, Model, np.ndarray]:
    """A model that has learned something and is far too sure of it: its scores are four times what it learned."""
    toy, spec = Toy(n=600), toy_spec(train__epochs=4, model__heads__0__fit_temperature=True)
    model = assembly.build(spec, toy.schema, toy.item_table())
    list(trainer.fit(model, toy, spec, tmp_path_factory.mktemp("fit")))  # type: ignore[arg-type]
    model.head.task.temperature = 0.25
    spec = spec.override({"model.heads.0.temperature": 0.25})
    return toy, spec, model.eval(), toy.part("train").item_counts(N_ITEMS)


def whole_scores(toy: Toy, spec: RunSpec, model: Model) -> tuple[torch.Tensor, torch.Tensor]:
    """All scores at once, (N, I), and the targets' columns: what the judgement never holds."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    evaluation.evaluate(model, toy.part("valid"), spec, watch=lambda s, t, _: seen.append((s.clone(), t - 1)))
    scores, targets = (torch.cat(parts) for parts in zip(*seen, strict=True))
    return scores.double(), targets


def test_scores_are_gone_before_the_next_are_made(
    scored: tuple[Toy, RunSpec, Model, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "rows_per_chunk", lambda items: 16)
    toy, spec, model, _ = scored
    held: list[weakref.ref[torch.Tensor]] = []

    def watch(scores: torch.Tensor, targets: torch.Tensor, seen: torch.Tensor | None) -> None:
        assert not any(ref() is not None for ref in held)
        held.append(weakref.ref(scores))

    evaluation.evaluate(model, toy.part("valid"), spec, watch=watch)
    assert len(held) > 2


def test_calibration_and_lists_by_brute_force(scored: tuple[Toy, RunSpec, Model, np.ndarray]) -> None:
    toy, spec, model, counts = scored
    metrics = judge(model, toy.part("valid"), spec, counts).metrics()
    scores, target = whole_scores(toy, spec, model)
    p = scores.softmax(1).numpy()
    one_hot = np.eye(N_ITEMS)[target]
    top = np.argsort(-p, axis=1)[:, :5]
    share = counts / counts.sum()
    hit = (top == target.numpy()[:, None]).any(1)
    assert list(metrics)[:3] == ["ndcg@5", "recall@5", "mrr@5"]
    assert metrics["nll"] == pytest.approx(-np.log(p[one_hot > 0]).mean(), rel=1e-4)
    assert metrics["brier"] == pytest.approx(((p - one_hot) ** 2).sum(1).mean(), rel=1e-4)
    assert metrics["coverage@5"] == pytest.approx(len(np.unique(top)) / N_ITEMS)
    assert metrics["novelty@5"] == pytest.approx(-np.log2(share[top]).mean())
    assert metrics["popularity@5"] == pytest.approx(share[top].mean())
    assert metrics["precision@5"] == pytest.approx(hit.mean() / 5)
    assert metrics["map@5"] == pytest.approx(metrics["mrr@5"])  # one target a case


def test_a_fitted_temperature_is_the_best_and_keeps_the_order(
    scored: tuple[Toy, RunSpec, Model, np.ndarray], tmp_path: Path
) -> None:
    toy, spec, model, counts = scored
    scores, target = whole_scores(toy, spec, model)
    before = judge(model, toy.part("valid"), spec, counts)
    fitted = evaluation.fit_temperature(model, toy.part("valid"), spec)
    after = judge(model, toy.part("valid"), spec, counts)
    grid = np.geomspace(fitted / 3, fitted * 3, 201)
    nll = [float(torch.nn.functional.cross_entropy(scores / t, target)) for t in grid]
    assert fitted == pytest.approx(grid[int(np.argmin(nll))], rel=0.02)
    assert after.metrics()["nll"] == pytest.approx(min(nll), rel=1e-3)
    assert after.metrics()["nll"] < before.metrics()["nll"]
    assert np.array_equal(before.ranks.rank, after.ranks.rank)
    assembly.save(model, tmp_path, spec, toy.schema)
    loaded, *_ = assembly.load(tmp_path)
    assert judge(loaded, toy.part("valid"), spec, counts).metrics() == after.metrics()


def test_a_run_reports_both_and_records_slices_and_reliability(tmp_path: Path) -> None:
    spec = small_spec(small_data(tmp_path / "data"), model__heads__0__fit_temperature=True)
    result = run.run(spec, home=tmp_path / "home", on_report=lambda _: None)
    assert result.valid["nll"] <= result.valid["nll_before"]
    assert result.valid["temperature"] != 1.0
    assert {"ece", "brier", "ece_before", "brier_before", "map@5", "coverage@5"} <= set(result.valid)
    assert "ece" not in result.baselines["valid"]["popularity"]
    folder = tracking.artifacts(result.home, result.run_id) / "detail" / "valid"
    detail = json.loads((folder / "model.json").read_text())
    cases = sum(row["cases"] for row in detail["reliability"])
    for by in ("length", "popularity"):
        assert sum(row["cases"] for row in detail["slices"] if row["by"] == by) == cases
    assert {p.stem for p in folder.iterdir()} == {"model", "popularity", "successors"}


def test_a_temperature_needs_a_validation_part() -> None:
    with pytest.raises(InputError, match=r"fit_temperature: there is no validation part"):
        toy_spec(model__heads__0__fit_temperature=True, train__fit_on="train+valid")
