"""Which figures are doubted, by values worked by hand; every face shows it, and what a promoted version is good for."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from t4r_lab import tracking
from t4r_lab.base.reports import Caution, Epoch, Report, from_event, silent, to_event
from t4r_lab.cli.program import main
from t4r_lab.lab.panels.runs.actions import RunActions
from t4r_lab.lab.panels.runs.run_columns import cells
from t4r_lab.lab.panels.train.job_card import JobCard
from t4r_lab.lab.state import source
from t4r_lab.lab.state.views import JobState
from t4r_lab.nn import NextItemPredictionTask
from t4r_lab.nn.losses.sampled import SampledLoss
from t4r_lab.nn.metrics.ranking import Ranks
from t4r_lab.runs import quality_warnings, run
from t4r_lab.runs.results import RunResult
from t4r_lab.schema.columns import Schema
from t4r_lab.spec import RunSpec
from t4r_lab.training.judgment import Judged
from t4r_lab.training.label_evaluation import Labels
from tests.support.small import small_data, small_spec
from tests.support.toy import LABEL_HEADS, LABELS, N_ITEMS, SCHEMA, toy_spec

HEAD: dict[str, Any] = {"kind": "next_item"}
LABELLED = Schema(columns=(*SCHEMA, *LABELS))


def epoch(loss: float, losses: dict[str, float] | None = None, number: int = 1, best: bool = True) -> Epoch:
    return Epoch(number, 3, 1, loss, {}, 1e-3, 1.0, best, losses or {})


def spec(*heads: dict[str, Any], **changes: Any) -> RunSpec:
    return toy_spec(model__heads=list(heads or [HEAD]), **changes)


# ── the loss ────────────────────────────────────────────────────────────────────────────────────

GUESSING = {
    "cross_entropy": math.log(N_ITEMS),
    "sampled_softmax": math.log(N_ITEMS),
    "bpr": math.log(2),
    "top1": 1.0,
    "top1_max": 1.0,
}
"""The loss where all scores are 0: the logarithm of the items; -log σ(0); σ(0) + σ(0)."""


@pytest.mark.parametrize(("kind", "guessing"), GUESSING.items())
def test_a_loss_is_doubted_from_twice_that_of_guessing_on(kind: str, guessing: float) -> None:
    run_spec = spec({**HEAD, "loss": {"kind": kind}})
    assert quality_warnings.loss_warnings(epoch(1.99 * guessing), run_spec, SCHEMA) == []
    (words,) = quality_warnings.loss_warnings(epoch(2.01 * guessing), run_spec, SCHEMA)
    assert words.startswith("the training loss of next_item in epoch 1 is ") and "lower train.learning_rate" in words


@pytest.mark.parametrize("kind", ["bce", "gbce", "bpr_max"])
def test_other_losses_are_guessed_too(kind: str) -> None:
    """A fresh model, whose scores are nearly alike, is near that: else the figure would be of another loss."""
    head = spec({**HEAD, "loss": {"kind": kind}}).model.heads[0]
    task = NextItemPredictionTask(loss=head.loss)  # type: ignore[union-attr]
    task.items, task.project = torch.nn.Embedding(N_ITEMS + 1, 4), torch.nn.Identity()
    torch.nn.init.zeros_(task.items.weight)
    task.bias = torch.nn.Parameter(torch.zeros(N_ITEMS))
    loss = head.loss.build(N_ITEMS)  # type: ignore[union-attr]
    task.full, task.sampled = (None, loss) if isinstance(loss, SampledLoss) else (loss, None)
    task.count(torch.ones(N_ITEMS, dtype=torch.long))
    labels = torch.arange(1, N_ITEMS + 1)
    loss = task.loss(torch.zeros(N_ITEMS, 4), labels).mean.item()
    assert quality_warnings._guessing_loss(head, N_ITEMS) == pytest.approx(loss, rel=0.05)  # type: ignore[arg-type]


def test_a_loss_of_many_thousands_is_said_as_it_is() -> None:
    (words,) = quality_warnings.loss_warnings(epoch(238_240.4), spec(), SCHEMA)
    assert words == (
        "the training loss of next_item in epoch 1 is 238,240, while guessing has 3.69: lower train.learning_rate"
    )
    (words,) = quality_warnings.loss_warnings(epoch(238_240.4), spec(train__clip_norm=None), SCHEMA)
    assert words.endswith(": lower train.learning_rate, or set train.clip_norm")


def test_the_weight_of_a_head_is_no_part_of_its_loss() -> None:
    heavy = spec({**HEAD, "weight": 10.0})
    assert quality_warnings.loss_warnings(epoch(10 * 3.6), heavy, SCHEMA) == []
    assert quality_warnings.loss_warnings(epoch(10 * 7.5), heavy, SCHEMA)


def test_each_task_is_held_against_its_own_guess() -> None:
    run_spec = spec(HEAD, *LABEL_HEADS)
    fine = {"next_item": 7.3, "bought": 1.38, "mood": 2.19, "spend": 1.99}  # 2 log 40, 2 log 2, 2 log 3, 2
    assert quality_warnings.loss_warnings(epoch(1e9, fine), run_spec, LABELLED) == []
    for name in fine:
        (words,) = quality_warnings.loss_warnings(epoch(0.0, {**fine, name: fine[name] + 0.1}), run_spec, LABELLED)
        assert f"the training loss of {name} in epoch 1" in words


def test_a_loss_is_told_once_and_kept_unless_the_best_epoch_is_a_later_and_sound_one() -> None:
    watch = quality_warnings.LossWatch(spec(), SCHEMA)
    assert watch.warnings is None
    assert watch(epoch(50.0, number=1)) and not watch(epoch(60.0, number=2, best=False))
    assert watch.warnings and "in epoch 2 is 60" in watch.warnings[0]
    assert watch(epoch(2.0, number=3)) == [] and watch.warnings == []
    watch(epoch(70.0, number=4, best=False))  # what is kept is sound, but the training isn't
    watch(epoch(3.0, number=5, best=False))
    assert watch.warnings and "in epoch 4 is 70" in watch.warnings[0]


# ── metrics beside counting ─────────────────────────────────────────────────────────────────────


def ranked(rank: Any) -> Judged:
    rank = np.asarray(rank, float)
    rows = np.arange(len(rank))
    return Judged(Ranks(rows, np.ones_like(rows), np.ones_like(rows), rank, (5,)))


def numbers(error: float, n: int = 400) -> Judged:
    """Predictions of the number 0 that are `error` away, half of them on either side."""
    label = np.zeros(n)
    labels = Labels(
        "spend", "regression", ("rmse", "mae"), np.arange(n), np.zeros(n, int), label, np.resize([error, -error], n)
    )
    return Judged(labels={"spend": labels})


def test_a_model_below_counting_is_doubted_and_one_within_noise_is_not() -> None:
    counted = {"popularity": ranked([9] * 400), "successors": ranked([1, 9] * 200)}  # ndcg@5 of 0 and .5
    run_spec = spec(evaluation__cutoffs=[5])
    (words,) = quality_warnings.metric_warnings("valid", ranked([1, 9, 9, 9] * 100), counted, run_spec)
    assert words.startswith(
        "on the validation part ndcg@5 is 0.2500, worse than 0.5000 of the baseline successors (by "
    )
    assert quality_warnings.metric_warnings("test", ranked([9] * 400), counted, run_spec)[0].startswith(
        "on the test part ndcg@5 is 0.0000"
    )
    for rank in ([1, 9] * 200, [1] * 400):
        assert quality_warnings.metric_warnings("valid", ranked(rank), counted, run_spec) == []
    # one case in 400 that is worse says nothing
    assert quality_warnings.metric_warnings("valid", ranked([9, 9] + [1, 9] * 199), counted, run_spec) == []


def test_the_lower_error_is_the_better_one() -> None:
    run_spec = spec({"kind": "regression", "column": "spend"})
    (words,) = quality_warnings.metric_warnings("valid", numbers(3.0), {"constant": numbers(2.0)}, run_spec)
    assert "spend/rmse is 3.0000, worse than 2.0000 of the baseline constant" in words
    assert quality_warnings.metric_warnings("valid", numbers(1.0), {"constant": numbers(2.0)}, run_spec) == []


def test_many_sessions_are_judged_by_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    paired = quality_warnings.paired_bootstrap
    monkeypatch.setattr(quality_warnings, "MOST_SESSIONS", 100)
    monkeypatch.setattr(
        quality_warnings,
        "paired_bootstrap",
        lambda one, two, *rest, **named: seen.append(len(one["rank"])) or paired(one, two, *rest, **named),
    )
    run_spec = spec(evaluation__cutoffs=[5])
    assert quality_warnings.metric_warnings("valid", ranked([9] * 5000), {"successors": ranked([1] * 5000)}, run_spec)
    assert seen == [100]


# ── every face ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult, list[Report]]:
    """A home with a run whose loss is far above guessing and whose model is below counting."""
    root = tmp_path_factory.mktemp("doubtful")
    run_spec = small_spec(small_data(root / "shop"), name="wild", train__learning_rate=5.0, train__clip_norm=None)
    reports: list[Report] = []
    return root / "home", run.run(run_spec, home=root / "home", on_report=reports.append), reports


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_a_doubtful_run_says_so_on_every_face(
    doubtful: tuple[Path, RunResult, list[Report]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home, result, reports = doubtful
    monkeypatch.setenv("T4R_LAB_HOME", str(home))
    loss, metric = result.warnings
    assert "the training loss of next_item in epoch" in loss and "worse than" in metric
    assert [r.words for r in reports if isinstance(r, Caution)][-1] == metric
    assert tracking.find(home, "wild").warnings == {"train": [loss], "valid": [metric]}
    # as events of a job, and on its card in the Lab
    events = [to_event(r) for r in reports]
    assert [from_event(e) for e in events] == reports
    card = JobCard(JobState("j", "wild", "running"), lambda id, action: None)
    card.consume(events)
    card.consume(events)  # as a job that has gone on tells them again
    assert card._warnings.value.count("t4r-warning") == 2
    # beside others
    assert json.loads(shown(capsys, "compare", "wild", "--json"))["warnings"] == {"wild": [loss, metric]}
    assert f"warning: wild: {metric}" in shown(capsys, "compare", "wild")
    answer = json.loads(shown(capsys, "evaluate", "wild", "--json"))
    assert answer["warnings"] == [loss, metric]
    assert f"warning: {loss}\nwarning: {metric}" in shown(capsys, "evaluate", "wild")
    (row,) = source.runs(home)
    assert row.warnings == (loss, metric)
    assert [c.under for c in cells(row, "ndcg@5") if c.text == "finished"] == ["warning"]
    view = RunActions(lambda action: None)
    view.run = row
    assert view._test.value.count("t4r-warning") == 2


def test_promote_repeats_the_warnings_and_says_what_the_version_is_good_for(
    doubtful: tuple[Path, RunResult, list[Report]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import mlflow.pyfunc

    home, result, _ = doubtful
    monkeypatch.setenv("T4R_LAB_HOME", str(home))
    loss, metric = result.warnings
    text = shown(capsys, "promote", "wild")
    answer = json.loads(shown(capsys, "promote", "wild", "--json"))
    where, note = f"{answer['model']}@champion is version 1 now", tracking.VERSION_NOTE
    assert text.splitlines()[0] == f"{where}, {note}"
    assert "`mlflow.pyfunc.load_model` can't load it yet" in note
    assert answer["note"] == note
    assert answer["warnings"][:2] == [loss, metric] and "on the test part" in answer["warnings"][2]
    assert [line for line in text.splitlines() if line.startswith("warning: ")] == [
        f"warning: {w}" for w in answer["warnings"]
    ]
    client, _ = tracking.client_of(home)
    version = client.get_model_version(answer["model"], "1")
    assert "`mlflow.pyfunc.load_model` can't load it yet." in version.description and metric in version.description
    with pytest.raises(Exception, match="MLmodel"):  # what the note says is so
        mlflow.pyfunc.load_model(f"{client.get_run(result.run_id).info.artifact_uri}/model")
    (row,) = source.runs(home)
    assert row.warnings == tuple(answer["warnings"])  # of the test part only now
    view = RunActions(lambda action: None)
    view.run = row
    assert "can&#x27;t load it yet" in view._test.value


def test_a_sound_run_has_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_spec = small_spec(
        small_data(tmp_path / "shop"), train__epochs=12, train__learning_rate=3e-2, model__body__d_model=16
    )
    result = run.run(run_spec, home=tmp_path / "home", on_report=silent)
    assert result.warnings == [] and tracking.find(tmp_path / "home", "small").warnings == {}
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path / "home"))
    assert json.loads(shown(capsys, "evaluate", "small", "--json"))["warnings"] == []
    assert "warning" not in shown(capsys, "compare", "small")
    assert asdict(tracking.find(tmp_path / "home", "small"))["warnings"] == {}
