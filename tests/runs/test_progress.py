"""What the terminal says of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from t4r_lab.base.reports import Baseline, Epoch, Progress, Stopped
from t4r_lab.runs.progress import Console


def epoch(**valid: float) -> Epoch:
    return Epoch(1, 2, 10, 3.5, {name.replace("_", "@"): value for name, value in valid.items()}, 1e-3, 4.0, True)


def test_each_epoch_stands_beside_the_best_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as console:
        console(Baseline("popularity", {"ndcg@5": 0.5, "ndcg@10": 0.1}))
        console(Baseline("successors", {"ndcg@5": 0.3, "ndcg@10": 0.25}))
        console(Progress("training", 1, 10, "steps", {"loss": 3.5}))
        console(epoch(ndcg_5=0.4, ndcg_10=0.31))
    assert "epoch 1/2  loss 3.5000  ndcg@10 0.3100  (successors 0.2500)  4.0 s *" in capsys.readouterr().err


def test_the_baseline_stands_behind_the_metric_that_it_is_of(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as console:
        console(Baseline("popularity", {"ndcg@10": 0.2, "shop:effort@10": 1.0}))
        console(epoch(**{"ndcg_10": 0.31, "shop:effort_10": 0.5}))
    assert "ndcg@10 0.3100  (popularity 0.2000)  shop:effort@10 0.5000  4.0 s" in capsys.readouterr().err


def test_without_validation_there_is_no_baseline_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as console:
        console(Baseline("popularity", {"ndcg@10": 0.1}))
        console(epoch())
    assert "no validation part  4.0 s\n" in capsys.readouterr().err


def test_terms_of_the_loss_and_skipped_sessions_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as console:
        console(replace(epoch(), losses={"next_item": 2.5, "discriminator": 0.1}, skipped=1200))
        console(Stopped("finished", 1, 4.0))
    output = capsys.readouterr().err
    assert "loss 3.5000 (next_item 2.5000, discriminator 0.1000)" in output
    assert "4 s, 1,200 sessions without a target skipped\n" in output
