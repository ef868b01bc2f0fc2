"""The one door: what it records is what it found, and however it ends the record says so."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from t4r_lab import tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Baseline, Epoch, Report, Started, silent
from t4r_lab.runs import evaluate, processes, run
from t4r_lab.runs.results import RunResult
from tests.support.small import small_data, small_spec


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("data") / "d")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def whole(data: Path, home: Path) -> RunResult:
    """A run that nothing disturbs."""
    return run.run(small_spec(data, train__epochs=4), home=home, on_report=silent, test=True)


def leftovers(home: Path) -> list[str]:
    """Checkpoints of runs that have ended for good."""
    return [p.name for p in home.glob("jobs/*")]


def newest(home: Path) -> tracking.RunRow:
    return tracking.runs(home)[0]


def weights(home: Path, run_id: str) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(tracking.artifacts(home, run_id) / "model" / "model.safetensors")


def after(epochs: int) -> tuple[Callable[[Report], None], Callable[[], bool]]:
    """An `on_report` and the `should_stop` that asks for the end in the epoch after so many."""
    seen: list[int] = []
    return lambda report: seen.append(1) if isinstance(report, Epoch) else None, lambda: len(seen) >= epochs


# ── what is recorded ────────────────────────────────────────────────────────────────────────────


def test_metrics_follow_from_the_recorded_ranks(whole: RunResult) -> None:
    folder = tracking.artifacts(whole.home, whole.run_id) / "ranks"
    assert whole.test is not None
    returned = {"valid": {"model": whole.valid, **whole.baselines["valid"]}}
    returned["test"] = {"model": whole.test, **whole.baselines["test"]}
    for part, scorers in returned.items():
        assert {p.stem for p in (folder / part).iterdir()} == set(scorers)
        for name, metrics in scorers.items():
            rank = pl.read_parquet(folder / part / f"{name}.parquet")["rank"].to_numpy()
            hit = rank <= 5
            assert metrics["recall@5"] == pytest.approx(hit.mean())
            assert metrics["mrr@5"] == pytest.approx(np.where(hit, 1 / rank, 0).mean())
            assert metrics["ndcg@5"] == pytest.approx(np.where(hit, 1 / np.log2(rank + 1), 0).mean())


def test_the_record_holds_what_the_run_returned(whole: RunResult, data: Path) -> None:
    row = tracking.find(whole.home, whole.run_id)
    assert row.status == "FINISHED"
    assert row.valid == pytest.approx(whole.valid)
    assert row.test == pytest.approx(whole.test)
    for part, baselines in whole.baselines.items():
        assert row.baselines[part] == {name: pytest.approx(metrics) for name, metrics in baselines.items()}
    assert row.looks == 1
    folder = tracking.artifacts(whole.home, whole.run_id)
    assert {p.name for p in (folder / "model").iterdir()} == {
        "model.safetensors",
        "spec.json",
        "schema.json",
        "checksums.json",
    }
    assert (
        f"torch=={__import__('importlib.metadata').metadata.version('torch')}"
        in (folder / "environment.txt").read_text()
    )
    assert leftovers(whole.home) == []


def test_the_epochs_recorded_are_those_reported_and_the_best_is_kept(whole: RunResult) -> None:
    history = tracking.history(whole.home, whole.run_id, ["train/loss", "valid/ndcg_at_5"])
    assert [step for step, _ in history["train/loss"]] == [1, 2, 3, 4]
    curve = dict(history["valid/ndcg_at_5"])
    assert max(curve, key=lambda step: curve[step]) == whole.best_epoch
    assert whole.valid["ndcg@5"] == pytest.approx(max(curve.values()))


def test_baselines_are_told_before_training_begins(data: Path, home: Path) -> None:
    reports: list[Report] = []
    run.run(small_spec(data, train__epochs=1), home=home, on_report=reports.append)
    kinds = [type(report) for report in reports]
    assert kinds.index(Started) < kinds.index(Baseline) < kinds.index(Epoch)
    assert [r.name for r in reports if isinstance(r, Baseline)] == ["popularity", "successors"]


def test_a_last_fit_on_train_and_valid_has_only_test_metrics(data: Path, home: Path) -> None:
    result = run.run(small_spec(data, train__fit_on="train+valid"), home=home, test=True, on_report=silent)
    assert result.valid == {}
    assert list(result.test or {})[:3] == ["ndcg@5", "recall@5", "mrr@5"]
    assert set(result.baselines) == {"test"}
    with pytest.raises(InputError, match="fitted on the validation part too"):
        evaluate.evaluate_run(result.run_id, home=home, on_report=silent)


def test_another_evaluation_gives_the_same_and_each_look_counts(whole: RunResult) -> None:
    again = evaluate.evaluate_run(whole.run_id, home=whole.home, on_report=silent)
    assert again.valid == pytest.approx(whole.valid)
    assert tracking.find(whole.home, whole.run_id).looks == 1
    looked = evaluate.evaluate_run(whole.run_id, "test", home=whole.home, on_report=silent)
    assert looked.test == pytest.approx(whole.test)
    assert tracking.find(whole.home, whole.run_id).looks == 2


# ── what is refused before anything is written ──────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data__path": "/nowhere"}, "no such folder of prepared data"),
        ({"model__inputs__features": {"prize": {}}}, "no such feature"),
        ({"train__precision": "float16", "train__device": "cpu"}, "float16 needs an accelerator"),
    ],
)
def test_refusals_write_nothing(data: Path, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run.run(small_spec(data, **changes), home=tmp_path, on_report=silent)
    assert list(tmp_path.iterdir()) == []


# ── how it ends ─────────────────────────────────────────────────────────────────────────────────


def test_a_stopped_run_goes_on_to_the_same_result(data: Path, whole: RunResult) -> None:
    on_report, should_stop = after(2)
    spec = small_spec(data, train__epochs=4)
    stopped = run.run(spec, home=whole.home, on_report=on_report, should_stop=should_stop)
    assert (stopped.status, tracking.find(whole.home, stopped.run_id).status) == ("KILLED", "KILLED")
    assert stopped.valid == {}
    with pytest.raises(InputError, match="has no model; resume it with"):
        evaluate.evaluate_run(stopped.run_id, home=whole.home, on_report=silent)
    reports: list[Report] = []
    resumed = run.resume(stopped.run_id[:10], home=whole.home, on_report=reports.append)
    # from the start again it would reach the same, with the same seed
    assert [report.epoch for report in reports if isinstance(report, Epoch)] == [3, 4]
    assert resumed.run_id == stopped.run_id
    assert whole.best_epoch > 2, "the best epoch lies before the stop: equality would say nothing of what followed"
    assert (resumed.best_epoch, resumed.valid) == (whole.best_epoch, whole.valid)
    one, two = (weights(whole.home, run_id) for run_id in (whole.run_id, stopped.run_id))
    assert one.keys() == two.keys()
    assert all((one[name] == two[name]).all() for name in one)
    assert leftovers(whole.home) == []
    with pytest.raises(InputError, match=r"has finished; .*train --again"):
        run.resume(stopped.run_id, home=whole.home, on_report=silent)
    with pytest.raises(InputError, match="has finished"):  # the door itself refuses too: a job may still hold the id
        run.run(spec, home=whole.home, on_report=silent, resume=stopped.run_id)


def test_only_one_process_trains_a_run_and_the_other_leaves_its_record_alone(data: Path, home: Path) -> None:
    on_report, should_stop = after(1)
    stopped = run.run(small_spec(data), home=home, on_report=on_report, should_stop=should_stop)
    folder = Path(tracking.find(home, stopped.run_id).folder)
    with processes.hold_lock(folder):
        with pytest.raises(InputError, match="another process is training this run"):
            run.resume(stopped.run_id, home=home, on_report=silent)
        row = tracking.find(home, stopped.run_id)
        assert (row.status, row.reason) == ("KILLED", "interrupted")
        assert processes.can_resume(folder)
    assert run.resume(stopped.run_id, home=home, on_report=silent).status == "FINISHED"


def test_ctrl_c_before_training_marks_the_run(data: Path, home: Path) -> None:
    def interrupt(report: Report) -> None:
        if isinstance(report, Baseline):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.run(small_spec(data), home=home, on_report=interrupt)
    assert newest(home).status == "KILLED"
    assert leftovers(home) == []
    with pytest.raises(InputError, match="left no checkpoint"):
        run.resume(newest(home).run_id, home=home, on_report=silent)


def test_a_loss_that_is_no_number_fails_the_run_and_says_so(
    data: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(
        "t4r_lab.training.trainer.train_step", lambda *args: {"next_item": (torch.tensor(float("nan")), 1)}
    )
    with pytest.raises(RuntimeError, match=r"not finite; lower train\.learning_rate"):
        run.run(small_spec(data), home=home, on_report=silent)
    assert newest(home).status == "FAILED"
    assert "not finite" in newest(home).reason
    assert leftovers(home) == []


@pytest.mark.parametrize("where", ["t4r_lab.training.assembly.save", "t4r_lab.tracking.Record.artifacts"])
def test_a_disk_that_fills_at_the_end_loses_no_training(
    where: str, data: Path, whole: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **named: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(where, full)
        with pytest.raises(InputError, match="the disk is full; free some space, then resume run"):
            run.run(small_spec(data, train__epochs=4), home=whole.home, on_report=silent)
    failed = newest(whole.home)
    assert failed.status == "FAILED"
    resumed = run.resume(failed.run_id, home=whole.home, on_report=silent)
    assert resumed.valid == whole.valid
    assert leftovers(whole.home) == []


def test_the_first_error_is_told_where_the_record_fails_too(
    data: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text: str) -> Callable[..., None]:
        def call(*args: Any, **named: Any) -> None:
            raise RuntimeError(text)

        return call

    monkeypatch.setattr("t4r_lab.training.assembly.build", fail("the first"))
    monkeypatch.setattr("t4r_lab.tracking.Record.finish", fail("the second"))
    with pytest.raises(RuntimeError, match="the first"):
        run.run(small_spec(data), home=home, on_report=silent)


def test_a_folder_of_the_user_keeps_what_is_the_users(data: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    run.run(small_spec(data, train__epochs=1), home=home, on_report=silent, folder=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_explicit_home_is_used_alone(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path / "other"))
    run.run(small_spec(data, train__epochs=1), home=tmp_path / "mine", on_report=silent)
    assert not (tmp_path / "other").exists()
    assert len(tracking.runs(tmp_path / "mine")) == 1
