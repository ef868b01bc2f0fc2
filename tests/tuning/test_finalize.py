"""The commands of studies, and the honest end: several seeds beside the starting spec, one look at the test part."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from t4r_lab import tracking
from t4r_lab.cli.program import main
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.spec.study_options import Plan, StudyOptions
from t4r_lab.tuning.studies.study import START_IS_BEST
from tests.support.small import small_data, small_spec

SMOOTHING = "model.heads.0.loss.label_smoothing"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data, a spec with a section ``search:``."""
    folder = tmp_path_factory.mktemp("root")
    content = small_spec(small_data(folder / "data"), train__epochs=1).to_dict()
    search = {"space": {SMOOTHING: {"low": 0, "high": 0.5}}, "trials": 3, "objectives": ["ndcg@5", "ece"]}
    (folder / "plain.yaml").write_text(yaml.safe_dump(content))
    (folder / "spec.yaml").write_text(yaml.safe_dump({**content, "search": search}))
    return folder


def call(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    out = capsys.readouterr()
    return status, out.out, out.err


@pytest.mark.slow
def test_a_study_from_the_shell_to_the_test_part(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path))
    status, out, err = call(capsys, "tune", root / "spec.yaml", "--study", "mine", "--json")
    assert status == 0, err
    answer = json.loads(out)
    assert (answer["study"], answer["status"], answer["trials"]) == ("mine", "finished", {"finished": 3})
    assert answer["start"]["params"] == {SMOOTHING: 0.0}
    assert answer["best"] == answer["front"][0]
    assert answer["valid"]["ndcg@5"] == max(t["values"]["ndcg@5"] for t in answer["front"])
    assert "no trial is pruned, of several objectives" in err
    assert "3 trials of about" in err
    status, out, _ = call(capsys, "studies")
    assert status == 0 and out.splitlines()[1].split()[:3] == ["mine", "finished", "3"]
    status, out, _ = call(capsys, "studies", "show", "mine", "--json")
    table = json.loads(out)["table"]
    assert [t["number"] for t in table] == [0, 1, 2]
    status, out, _ = call(capsys, "studies", "show", "mine")
    assert f"trial {answer['best']['trial']}, on the front, first at " in out
    # a study alone never looks at the test part
    assert tracking.tags(tmp_path, answer["run_id"])[tracking.LOOKS] == "0"

    other = next(trial["number"] for trial in table if trial["number"] != 0 and trial["state"] == "finished")
    arguments = ("mine", "--seeds", 2, "--trial", other)  # the best one may be the start, which isn't trained twice
    final = _finalized(capsys, *arguments)
    runs = {run: tracking.find(tmp_path, run) for ids in final["runs"].values() for run in ids}
    assert len(runs) == 4
    assert all(row.looks == 1 and row.test for row in runs.values())
    tuned, untuned = ([runs[run] for run in final["runs"][name]] for name in ("tuned", "untuned"))
    for rows, name in ((tuned, "tuned"), (untuned, "untuned")):
        for metric in ("ndcg@5", "ece", "brier", "nll"):  # calibration before and after
            values = [row.test[metric] for row in rows]
            assert final["test"][name][metric] == pytest.approx(np.mean(values))
            assert final["interval"][name][metric] == pytest.approx(12.706 * np.std(values, ddof=1) / np.sqrt(2))
        assert [tracking.spec(tmp_path, row).train.seed for row in rows] == [0, 1]
    flat = tracking.spec(tmp_path, tuned[0]).flat()
    assert flat[SMOOTHING] == table[other]["params"][SMOOTHING]
    assert final["test"]["popularity"] == tuned[0].baselines["test"]["popularity"]
    assert "successors" in final["test"]
    # the difference, by hand from the ranks
    first = final["differences"][0]
    means = [np.mean([_ndcg(tmp_path, row.run_id) for row in rows]) for rows in (tuned, untuned)]
    assert first["mean"] == pytest.approx(abs(means[0] - means[1]))
    assert first["low"] <= first["mean"] <= first["high"]
    assert [first["better"], first["other"]] == (["tuned", "untuned"] if means[0] >= means[1] else ["untuned", "tuned"])
    # again: nothing is trained, nothing is looked at
    assert _finalized(capsys, *arguments) == final
    assert final["looks"] == 1
    status, out, _ = call(capsys, "finalize", *arguments)
    assert "the test part was looked at 1 time" in out
    assert "ece" in out
    assert tracking.tags(tmp_path, tuned[0].run_id)["mlflow.parentRunId"] == answer["run_id"]
    assert (
        json.loads((tracking.artifacts(tmp_path, answer["run_id"]) / "final.json").read_text())["trial"]
        == final["trial"]
    )


def _finalized(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    status, out, err = call(capsys, "finalize", *arguments, "--json")
    assert status == 0, err
    answer: dict[str, Any] = json.loads(out)
    return answer


def _ndcg(home: Path, run: str) -> float:
    rank = pl.read_parquet(tracking.artifacts(home, run) / "ranks" / "test" / "model.parquet")["rank"].to_numpy()
    return float(np.where(rank <= 5, 1 / np.log2(rank + 1), 0).mean())


def test_a_starting_spec_that_is_best_is_trained_once_and_said(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every trial is as good as the start: the search has gained nothing."""
    from t4r_lab.tuning import trial, worker
    from t4r_lab.tuning.studies import open_study
    from t4r_lab.tuning.studies.storage import connect
    from t4r_lab.tuning.studies.storage_address import address

    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path))
    data = small_data(tmp_path / "data", 120)
    spec, store = small_spec(data, train__epochs=1), connect(address(tmp_path, None))
    plan = Plan.of(spec, StudyOptions.parse({"space": {SMOOTHING: None}, "trials": 3}))
    open_study.begin("flat", plan, Dataset.open(data).digest, store)
    monkeypatch.setattr(trial, "train", lambda *_: {"ndcg@5": 0.5})
    worker.work(worker.Orders("flat", address(tmp_path, None), str(tmp_path), "w", [1], None))
    status, out, err = call(capsys, "studies", "show", "flat")
    assert status == 0, err
    assert START_IS_BEST in out.splitlines()
    assert "with the same values: trial 1, 2" in out
    assert "what mattered for ndcg@5: 10 finished trials tell it; there are 3" in out
    other = _finalized(capsys, "flat", "--seeds", 1, "--trial", 1)
    assert (other["remark"], other["runs"]["tuned"] == other["runs"]["untuned"]) == ("", False)
    assert {other["differences"][0]["better"], other["differences"][0]["other"]} == {"tuned", "untuned"}
    final = _finalized(capsys, "flat", "--seeds", 1)
    assert (final["trial"], final["remark"]) == (0, START_IS_BEST)
    assert final["runs"]["tuned"] == final["runs"]["untuned"] == other["runs"]["untuned"]  # nothing is trained again
    assert len(tracking.runs(tmp_path)) == 2
    assert final["test"]["tuned"] == final["test"]["untuned"]
    (difference,) = final["differences"]
    assert "untuned" in (difference["better"], difference["other"])
    status, out, _ = call(capsys, "finalize", "flat", "--seeds", 1)
    assert START_IS_BEST in out.splitlines()
    assert " tuned" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tune"], "the following arguments are required: spec"),
        (["tune", "none.yaml", "--presets", "regularizers"], "cannot be read"),
        (["tune", "PLAIN"], "nothing is searched; name a preset or a path, for example --presets regularizers"),
        (["tune", "PLAIN", "--presets", "regularisers"], "did you mean 'regularizers'?"),
        (["tune", "PLAIN", "--search", "model.body.dropot"], "did you mean 'model.body.dropout'?"),
        (["tune", "PLAIN", "--search", "model.body.dropout=0.5:0.1"], "give the smaller end first"),
        (["tune", "PLAIN", "--search", "model.body.dropout=0:0.1:log"], "start above 0"),
        (["tune", "PLAIN", "--search", "train.epochs"], "it has no range of its own"),
        (["tune", "SPEC", "--objectives", "ndcg@7"], "did you mean 'ndcg@5'?"),
        (["tune", "SPEC", "--trials", "0"], "trials: '0' is wrong"),
        (["tune", "SPEC", "--sampler", "tpee"], "invalid choice"),
        (["tune", "SPEC", "--sampler", "grid", "--trials", "2"], "the grid has 5 points, more than 2 trials"),
        (["tune", "SPEC", "--storage", "mysql://host/db"], "write postgresql://"),
        (["tune", "SPEC", "--set", "data.path=nowhere"], "no such folder"),
        (["tune", "SPEC", "--trial", "3"], "did you mean '--trials'?"),
        (["worker", "--study", "none"], "no such study"),
        (["worker"], "--study"),
        (["worker", "--study", "x", "--minutes", "0"], "worker --minutes: 0 is too small"),
        (["studies", "show"], "which study?"),
        (["studies", "stop", "none"], "no such study"),
        (["studies", "pause", "none"], "no such study"),
        (["studies", "resume", "none"], "no such study"),
        (["finalize", "none"], "no such study"),
        (["finalize", "none", "--seeds", "11"], "choose 1 to 10"),
        (["finalize", "none", "--seeds", "0"], "choose 1 to 10"),
    ],
)
def test_wrong_arguments(
    root: Path,
    tmp_path: Path,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path))
    named = {"SPEC": str(root / "spec.yaml"), "PLAIN": str(root / "plain.yaml")}
    status, out, err = call(capsys, *(named.get(a, a) for a in arguments))
    last = err.strip().splitlines()[-1]
    assert (status, out) == (2, ""), err
    assert last.startswith("error: ")
    assert words in last
    assert not os.path.exists(tmp_path / "mlflow.db")  # nothing was begun


def test_a_file_with_a_search_is_a_run_too(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path))
    status, out, err = call(capsys, "train", root / "spec.yaml", "--json")
    assert status == 0, err
    assert err.splitlines()[0].endswith(f"its section search: is for `t4r-lab tune {root / 'spec.yaml'}`")
    again = call(capsys, "train", root / "plain.yaml", "--json")
    assert json.loads(out)["valid"] == json.loads(again[1])["valid"]
    assert "search:" not in again[2]
    assert call(capsys, "describe", root / "spec.yaml")[0] == 0
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((root / "spec.yaml").read_text().replace("trials: 3", "trails: 3"))
    status, _, err = call(capsys, "train", wrong)
    assert (status, "did you mean" in err) == (2, True)


def test_nothing_to_finalize(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from t4r_lab.data.prepared.prepared_data import Dataset
    from t4r_lab.spec.study_options import Plan, StudyOptions, load_study
    from t4r_lab.tuning.studies import open_study
    from t4r_lab.tuning.studies.storage import connect
    from t4r_lab.tuning.studies.storage_address import address

    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path))
    spec, section = load_study(root / "spec.yaml")
    data = Dataset.open(spec.data.path)
    open_study.begin("new", Plan.of(spec, StudyOptions.parse(section)), data.digest, connect(address(tmp_path, None)))
    for arguments, words in ((["new"], "no trial has finished"), (["new", "--trial", "0"], "trial 0 has not finished")):
        status, _, err = call(capsys, "finalize", *arguments)
        assert status == 2
        assert words in err
