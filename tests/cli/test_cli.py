"""The command line: what it prints, what it refuses and how, and that refusals leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from t4r_lab.base.errors import is_panic
from t4r_lab.cli.program import COMMANDS, main
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.spec import RunSpec

GOOD = "session_id,item_id,timestamp\n" + "".join(
    f"{s},{(s + i) % 7},{1_700_000_000 + s * 10 + i}\n" for s in range(30) for i in range(4)
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw events, prepared data and a spec file; a home with one finished run called ``tiny``."""
    root = tmp_path_factory.mktemp("world")
    (root / "good.csv").write_text(GOOD)
    prepare(root / "good.csv", root / "data", PrepareOptions(valid_share=0.2, test_share=0.2))
    content: dict[str, Any] = {
        "name": "tiny",
        "data": {"path": str(root / "data"), "max_length": 5},
        "model": {"body": {"kind": "gru", "d_model": 8, "n_layer": 1}},
        "train": {"epochs": 1, "batch_size": 8},
        "evaluation": {"cutoffs": [3]},
    }
    (root / "spec.yaml").write_text(RunSpec.parse(content).to_yaml())
    before = os.environ.get("T4R_LAB_HOME")
    os.environ["T4R_LAB_HOME"] = str(root / "home")
    try:
        assert main(["train", str(root / "spec.yaml"), "--json"]) == 0
    finally:
        os.environ.pop("T4R_LAB_HOME") if before is None else os.environ.update(T4R_LAB_HOME=before)
    return root


@pytest.fixture(autouse=True)
def _home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "world" in request.fixturenames:
        monkeypatch.setenv("T4R_LAB_HOME", str(request.getfixturevalue("world") / "home"))


def call(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    out = capsys.readouterr()
    return status, out.out, out.err


def document(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    """The one JSON document on standard output of a command that succeeds."""
    status, out, err = call(capsys, *arguments, "--json")
    assert status == 0, err
    answer: dict[str, Any] = json.loads(out)
    return answer


# ── what works ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"example: t4r-lab {command}" in capsys.readouterr().out


def test_prepare_and_describe(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = document(capsys, "prepare", world / "good.csv", "--out", tmp_path / "d", "--valid-share", "0.2")
    assert answer["profile"]["items"] == 7
    assert document(capsys, "describe", tmp_path / "d")["digest"] == answer["digest"]
    status, out, _ = call(capsys, "describe", tmp_path / "d")
    assert status == 0
    assert "events per session" in out
    assert "item_id" in out


def test_train_test_evaluate_compare_recommend(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = document(capsys, "train", world / "spec.yaml", "--set", "name=second", "--set", "train.epochs=2", "--test")
    assert set(result["valid"]) == set(result["test"])
    assert list(result["valid"])[:3] == ["ndcg@3", "recall@3", "mrr@3"]
    assert set(result["baselines"]["valid"]) == {"popularity", "successors"} == set(result["baselines"]["test"])
    # the record gives back what the run reported, and another evaluation the same
    again = document(capsys, "evaluate", result["run_id"][:8])
    assert again["valid"] == result["valid"]
    tested = document(capsys, "evaluate", "second", "--split", "test")
    assert tested["test"] == pytest.approx(result["test"])
    compared = document(capsys, "compare", "tiny", "second")
    assert set(compared["valid"]) == {"tiny", "second", "popularity", "successors"}
    assert compared["specs"] == {"train.epochs": {"tiny": 1, "second": 2}}
    assert next(r for r in compared["runs"] if r["name"] == "second")["looks"] == 2  # each look at test is counted
    assert compared["valid"]["second"] == pytest.approx(result["valid"])
    (tmp_path / "new.csv").write_text("session_id,item_id,timestamp\na,1,5\na,2,6\nb,99,1\n")
    out = tmp_path / "top.csv"
    answer = document(capsys, "recommend", "second", "--sessions", tmp_path / "new.csv", "-k", 3, "--out", out)
    assert (answer["sessions"], answer["rows"]) == (2, 6)
    assert answer["left_out"] == {"events": 1, "of": 3, "sessions": 1, "short": 0, "values": {}, "columns": []}
    _, text, _ = call(capsys, "recommend", "second", "--items", 99, -1)
    assert text.splitlines()[-1] == (
        "2 of 2 events have items that the run doesn't know and are left out; 1 session has no other: it gets the most "
        "popular"
    )
    frame = pl.read_csv(out)
    assert frame.columns == ["session", "rank", "item", "title", "score", "probability"]
    assert frame["rank"].to_list() == [1, 2, 3, 1, 2, 3]
    assert set(frame["item"]) <= set(range(7))


def test_text_output_shows_the_baselines(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "compare", "tiny")
    assert status == 0
    assert "popularity" in out
    assert "successors" in out
    assert "95 %" in out


def test_a_run_is_described_beside_its_baselines(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = document(capsys, "describe", "tiny")
    assert found["changed"] == {  # by the spec file of `world`
        "data.max_length": 5,
        "model.body.kind": "gru",
        "model.body.d_model": 8,
        "model.body.n_layer": 1,
        "train.epochs": 1,
        "train.batch_size": 8,
        "evaluation.cutoffs": [3],
    }
    status, text, err = call(capsys, "describe", found["run_id"][:8])
    assert status == 0, err
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == f"run {found['run_id']} (tiny)"
    assert lines[1].startswith("finished, begun ")
    assert any(line.split() == ["train.epochs", "1"] for line in lines)
    row = next(line.split() for line in lines if line.startswith("ndcg@3"))
    baselines = [found["baselines"]["valid"][name]["ndcg@3"] for name in ("popularity", "successors")]
    assert sorted(row[2:]) == sorted(f"{value:.4f}" for value in baselines)
    assert row[1] == f"{found['valid']['ndcg@3']:.4f}"
    assert f"next: t4r-lab train --again {found['run_id'][:8]}" in lines


def test_runs_are_listed_by_a_filter(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = document(capsys, "runs", "name=tiny", "ndcg>=0")["runs"]
    assert (run["name"], run["knobs"]["model.body.kind"]) == ("tiny", "gru")
    assert document(capsys, "runs", "tiny", "body:lstm") == {"runs": []}
    status, out, _ = call(capsys, "runs", "name=tiny")
    assert (status, run["run_id"][:8] in out, "ndcg@3" in out) == (0, True, True)
    refused(capsys, "did you mean 'body'", "runs", "bdy:gru")


def test_a_run_is_archived_deleted_and_brought_back(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = lambda *terms: [run["name"] for run in document(capsys, "runs", "name=tiny", *terms)["runs"]]  # noqa: E731
    document(capsys, "archive", "tiny")
    assert (listed(), listed("archived:yes")) == ([], ["tiny"])
    document(capsys, "archive", "tiny", "--undo")
    assert listed() == ["tiny"]
    (gone,) = document(capsys, "delete", "run", "tiny")["deleted"]
    assert document(capsys, "trash")["deleted"] == [gone]
    assert "tiny" in call(capsys, "trash")[1]
    document(capsys, "trash", "restore", gone["id"])
    assert listed() == ["tiny"]
    refused(capsys, "give an id", "trash", "restore")


def test_an_empty_list_of_jobs(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert document(capsys, "jobs") == {"jobs": []}


def test_ui_serves_the_record_of_the_home_and_names_the_page_of_its_runs(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from t4r_lab import tracking

    started: list[tuple[list[str], dict[str, str]]] = []

    def start(command: list[str], env: dict[str, str], check: bool, stdout: object) -> subprocess.CompletedProcess[str]:
        started.append((command, env))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", start)
    status, out, _ = call(capsys, "ui", "--port", "5123")
    ((command, environment),) = started
    assert status == 0
    assert command[1:4] == ["-m", "mlflow", "ui"]
    assert f"sqlite:///{world / 'home' / 'mlflow.db'}" in command
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    experiment = tracking.client_of(world / "home")[1]
    assert f"http://127.0.0.1:5123/#/experiments/{experiment}/runs?workflowType=machine_learning" in out
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://record.example:5000")
    status, out, _ = call(capsys, "ui")
    assert (status, len(started)) == (0, 1)  # a server has its own pages
    assert "http://record.example:5000" in out
    assert document(capsys, "ui") == {"url": "http://record.example:5000"}


# ── what is refused ─────────────────────────────────────────────────────────────────────────────


def csv(*rows: str, header: str = "session_id,item_id,timestamp") -> str:
    return "\n".join([header, *rows]) + "\n"


EVENTS = {
    "an empty file": ("", [], "the file is empty"),
    "a header alone": (csv(), [], "no rows"),
    "a missing column": (GOOD, ["--item", "product"], "column 'product' (--item) is missing; choose from"),
    "no item column": (csv("1,2,3", header="session_id,thing,timestamp"), [], "no item column among session_id, thing"),
    "no session column": (csv("1,2,3", header="a,item_id,timestamp"), [], "name one with --session or --user"),
    "no time column": (csv("1,2,3", header="session_id,item_id,x"), [], "no time column among"),
    "a row with too many fields": (GOOD + "1,2,3,4,5\n", [], "line 122: 5 fields where the header has 3"),
    "a word among numbers": (GOOD + "1,2,soon\n", [], "line 122"),
    "a negative time": (GOOD + "1,2,-5\n", [], "line 122: timestamp -5 is before 1970"),
    "a missing time": (GOOD + "1,2,\n", [], "line 122: timestamp is missing"),
    "a missing item": (GOOD + "1,,5\n", [], "line 122: column 'item_id' has no item"),
    "sessions of one event": (
        csv(*(f"{i},{i},{i}" for i in range(9))),
        [],
        "error: min_session_length: no session has 2 events or more",
    ),
    "an absent target": (GOOD, ["--targets", "bought"], "column 'bought' is missing"),
    "a cut before everything": (GOOD, ["--test-from", "1960-01-01"], "error: test_from: the training part is empty"),
    "a cut after everything": (GOOD, ["--test-from", "2030-01-01"], "error: test_from: the test part is empty"),
    "a date that is none": (GOOD, ["--test-from", "tomorrow"], "test_from: 'tomorrow' is not a date"),
    "leave-one-out of short sessions": (
        csv("1,2,3", "1,3,4", "2,3,4", "2,4,5"),
        ["--split", "leave-one-out"],
        "error: split: the validation part is empty",
    ),
    "support that nothing has": (GOOD, ["--min-item-support", "999"], "error: no session has 2 events or more"),
    "a share out of bounds": (GOOD, ["--test-share", "2"], "test_share: '2' is wrong"),
    "an unknown option": (GOOD, ["--test-shar", "2"], "did you mean '--test-share'?"),
    "two ways to cut": (GOOD, ["--test-from", "2001-01-01", "--test-days", "2"], "give one"),
    "an unknown kind": (GOOD, ["--kinds", "item_id=numeric"], "'numeric' is not a choice"),
}


@pytest.mark.parametrize("name", EVENTS)
def test_wrong_events(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, options, words = EVENTS[name]
    (tmp_path / "events.csv").write_text(content)
    refused(capsys, words, "prepare", tmp_path / "events.csv", "--out", tmp_path / "out", *options)
    assert [p.name for p in tmp_path.iterdir()] == ["events.csv"]  # nothing half-written


def refused(capsys: pytest.CaptureFixture[str], words: str, *arguments: Any) -> None:
    """Exit 2, nothing on standard output, and one line that says what, where and what to do."""
    status, out, err = call(capsys, *arguments)
    last = err.strip().splitlines()[-1]
    assert (status, out) == (2, ""), err
    assert last.startswith("error: ")
    assert words in last
    assert "Traceback" not in err


def test_a_missing_events_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "no such file", "prepare", tmp_path / "none.csv", "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian", "x"], "error: t4r-lab: unknown command 'trian'; did you mean 'train'?"),
        (["train"], "give either a spec file, --again RUN or --resume RUN"),
        (["train", "none.yaml"], "cannot be read"),
        (["train", "SPEC", "--set", "train.epoch=3"], "did you mean 'epochs'?"),
        (["train", "SPEC", "--set", "train.epochs=lots"], "train.epochs: 'lots' is wrong"),
        (["train", "SPEC", "--set", "train.epochs=0"], "greater than or equal to 1"),
        (
            ["train", "SPEC", "--set", "model.body.kind=gpt2", "--set", "model.body.n_head=3"],
            "does not divide d_model 8",
        ),
        (["train", "SPEC", "--set", "model.masking.kind=mlm"], "masking 'mlm' is not for body 'gru'"),
        (["train", "SPEC", "--set", "data.path=nowhere"], "no such folder of prepared data"),
        (["train", "SPEC", "--set", "model.inputs.features={prize: {}}"], "the data has no such feature"),
        (["train", "SPEC", "--set", "epochs"], "expected path=value"),
        (["train", "--resume", "zzzz"], "no such run"),
        (["compare", "any", "--cases", "-1"], "--cases: -1 is too small; give 1 or more"),
        (["ui", "--port", "70000"], "--port: 70000 is not a port; give 1 to 65535"),
        (["ui", "--port", "-1"], "--port: -1 is not a port"),
        (["prepare", "e.csv", "--out", "o", "--time-format", "banana"], "error: time_format: 'banana' is neither"),
        (["train", "--resume", "tiny"], "it has finished; train its spec again with `t4r-lab train --again"),
        (["recommend", "tiny", "-k", "few"], "error: t4r-lab recommend: argument -k"),
        (["evaluate", "nothing"], "no such run in"),
        (["evaluate", "tniy"], "did you mean 'tiny'?"),
        (["evaluate", "tiny", "--split", "train"], "invalid choice"),
        (["compare", "tiny", "other"], "no such run"),
        (["recommend", "tiny", "--sessions", "none.csv"], "no such file"),
        (["recommend", "tiny", "--sessions", "GOOD", "--out", "x.xls"], "use .csv, .tsv or .parquet"),
        (["recommend", "tiny", "--sessions", "GOOD", "--out", "nowhere/x.csv"], "does not exist"),
        (["recommend", "tiny", "--sessions", "GOOD", "-k", "0"], "k: 0 is less than 1"),
        (["train", "SPEC", "--epochs", "5"], "unknown option --epochs; did you mean --set train.epochs=…?"),
        (["train", "SPEC", "--lr=0.1"], "unknown option --lr; did you mean --set train.learning_rate=…?"),
        (["prepare", "e.csv", "--out", "o", "--labels", "buy"], "unknown option --labels; did you mean --targets?"),
        (["finalize", "s", "--seed", "1"], "did you mean --seeds?"),
        (["evaluate", "tiny", "--epochs", "5"], "unknown option --epochs; choose from: --help"),
        (["describe", "nowhere"], "no such folder"),
        (["describe", "tniy"], "as a run: no such run in"),
        (["jobs", "stop"], "which job?"),
        (["jobs", "stop", "x"], "no such job"),
    ],
)
def test_wrong_arguments(world: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    named = {"SPEC": str(world / "spec.yaml"), "GOOD": str(world / "good.csv")}
    runs = len(document(capsys, "compare", "tiny")["runs"])
    refused(capsys, words, *(named.get(a, a) for a in arguments))
    from t4r_lab import tracking

    assert runs == 1
    assert all(row.status == "FINISHED" for row in tracking.runs(world / "home"))  # no run was begun


def test_yaml_that_does_not_parse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text("data: {path: x\n")
    refused(capsys, "not valid YAML in line", "train", tmp_path / "s.yaml")


def test_a_home_that_cannot_be_written(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path / "file" / "home"))
    refused(capsys, "the home can't be written", "train", world / "spec.yaml")


def test_changed_data_is_noticed(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(world / "good.csv", tmp_path / "d", PrepareOptions(valid_share=0.2, test_share=0.2))
    document(capsys, "train", world / "spec.yaml", "--set", f"data.path={tmp_path / 'd'}", "--set", "name=moved")
    prepare(world / "good.csv", tmp_path / "d", PrepareOptions(valid_share=0.4, test_share=0.2))
    refused(capsys, "not the data that run moved was trained on", "evaluate", "moved")


def test_a_fault_is_one_line_and_status_1(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("t4r_lab.data.prepared.prepared_data.Dataset.open", lambda path: 1 / 0)
    status, out, err = call(capsys, "describe", world / "data")
    assert (status, out) == (1, "")
    assert err.strip() == "error: division by zero (ZeroDivisionError; T4R_LAB_DEBUG=1 shows where)"


def test_a_panic_of_polars_is_one_line_and_status_1_too(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    panic = pl.exceptions.PanicException
    assert not issubclass(panic, Exception) and is_panic(panic("")) and not is_panic(KeyboardInterrupt())

    def open(path: Path) -> None:
        raise panic("called `Option::unwrap()` on a `None` value")

    monkeypatch.setattr("t4r_lab.data.prepared.prepared_data.Dataset.open", open)
    status, out, err = call(capsys, "describe", world / "data")
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        "error: called `Option::unwrap()` on a `None` value (PanicException; T4R_LAB_DEBUG=1 shows where)"
    ]


# ── interrupt and resume, as a process ──────────────────────────────────────────────────────────


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_the_run_resumes_to_the_same_result(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["--set", "train.epochs=40", "--set", "train.patience=null", "--set", "name=long"]
    spec = [str(world / "spec.yaml"), *changes]
    whole = document(capsys, "train", *spec)
    process = subprocess.Popen(
        [sys.executable, "-m", "t4r_lab", "train", *spec, "--json"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "epoch 3/40" in line:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    stopped = json.loads(out)
    assert stopped["status"] == "KILLED"
    from t4r_lab import tracking

    assert tracking.find(world / "home", stopped["run_id"]).status == "KILLED"
    resumed = document(capsys, "train", "--resume", stopped["run_id"])
    assert resumed["run_id"] == stopped["run_id"]
    assert resumed["valid"] == whole["valid"]
    assert tracking.find(world / "home", stopped["run_id"]).status == "FINISHED"
    history = tracking.history(world / "home", stopped["run_id"], ["train/loss"])["train/loss"]
    assert np.unique([step for step, _ in history]).tolist() == list(range(1, 41))


@pytest.mark.slow
def test_the_demo_goes_through(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path))
    started = time.monotonic()
    status, out, _ = call(capsys, "demo", "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer["valid"]["recall@20"] > answer["baselines"]["valid"]["popularity"]["recall@20"]
    assert {row["session"] for row in answer["recommendations"]} == {"a", "b"}
    assert time.monotonic() - started < 180


def test_standard_output_has_the_document_and_nothing_that_anything_else_prints() -> None:
    code = """
import os, subprocess, sys
from t4r_lab.cli import options, program as cli
def noisy(asked):
    print("printed")
    os.write(1, b"written\\n")
    subprocess.run(["echo", "by a child"])
    options.show(asked, {"a": "ü"}, lambda: "text")
    print("printed after")
cli.COMMANDS["describe"] = options.Command(noisy, "x", "y", options.add_json)
sys.exit(cli.main(sys.argv[1:]))
"""
    for flags, document in (["--json"], '{\n  "a": "\\u00fc"\n}\n'), ([], "text\n"):
        done = subprocess.run(
            [sys.executable, "-c", code, "describe", *flags], capture_output=True, text=True, check=True
        )
        assert done.stdout == document
        assert done.stderr.split("\n") == ["printed", "written", "by a child", "printed after", ""]


def test_a_study_that_cannot_be_read_says_why_and_what_to_do() -> None:
    from t4r_lab.cli.output import studies_text
    from t4r_lab.tuning.lead import Listed

    rows = [
        Listed("good", "finished", 3, 0.0, 4.0, {}),
        Listed("bad", "unreadable", 0, 0.0, 0.0, {}, "x; give --trust x"),
    ]
    assert studies_text(rows).splitlines()[-1] == "bad: x; give --trust x"
    assert "good:" not in studies_text(rows)
