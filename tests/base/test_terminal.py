"""What stands on a terminal: nothing that acts, nothing wider than it, and errors on lines of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t4r_lab.base.reports import Epoch, Progress, Stopped
from t4r_lab.base.terminal import clean, clean_line, lines_of, shortened_to, table
from t4r_lab.cli import output
from t4r_lab.cli import program as main
from t4r_lab.data.pipeline.prepare_events import prepare
from t4r_lab.jobs.job_status import Status
from t4r_lab.runs import progress
from t4r_lab.runs.compare import _chosen, _differing
from t4r_lab.runs.progress import Console
from t4r_lab.runs.results import RunResult
from t4r_lab.spec import RunSpec
from t4r_lab.tuning.lead import Listed, StudyResult


@pytest.fixture(autouse=True)
def eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@given(st.text())
def test_nothing_that_acts_is_left(text: str) -> None:
    shown = clean_line(text)
    assert not [
        c
        for c in shown
        if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(c) in ("RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI")
    ]
    assert clean(shown) == shown and shown.encode().decode() == shown


def test_what_is_harmless_stays() -> None:
    assert clean("naïve 日本 👩‍💻\tx\ny") == "naïve 日本 👩‍💻\tx\ny"
    assert clean_line("a\x1b]0;owned\x07\x9b2J\u202eb\r\n\udcff") == r"a\x1b]0;owned\x07\x9b2J\u202eb\r\n\udcff"


LONG = ["a-run-with-a-very-long-name-" + str(i) for i in range(9)]


def test_tables_fit_into_80_columns_and_keep_every_number() -> None:
    metrics = {name: {"ndcg@10": i / 7, "purchase/auc": 0.5} for i, name in enumerate(LONG)}
    text = output.scores(metrics)
    assert max(map(len, text.splitlines())) <= 80
    assert [f"{i / 7:.4f}" in text for i in range(9)] == [True] * 9
    blocks = text.split("\n\n")
    assert len(blocks) > 1 and all(b.splitlines()[1].startswith("ndcg@10 ") for b in blocks)
    assert all(shortened_to(name, 20) in text for name in LONG) and len({shortened_to(n, 20) for n in LONG}) == 9
    assert output.scores({"run": {"mrr": 1e6}, "x": {}}).splitlines()[1].split() == ["mrr", "1e+06", "–"]


@given(
    st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60), st.floats(0, 1)), max_size=5), st.integers(40, 120)
)
def test_a_table_of_any_texts_keeps_to_its_width(rows: list[tuple[str, str, float]], most: int) -> None:
    text = table(["name", "what", "score"], [[a, b, f"{c:.4f}"] for a, b, c in rows], [2], most)
    assert len(text.splitlines()) == len(rows) + 1 and max(map(len, text.splitlines())) <= most


def test_lists_have_a_head_states_and_times() -> None:
    jobs = [
        Status("20261124-120301-ab12", "x" * 90, "running", started=100.0, heartbeat=3761.0, done=1, total=3, eta=59.6),
        Status("20261124-120301-cd34", "b\x1b[2J", "starting"),
    ]
    lines = output.jobs_text(jobs).splitlines()
    assert lines[0].split() == ["job", "state", "done", "ran", "left", "name"] and max(map(len, lines)) <= 80
    assert lines[1].split()[:6] == ["20261124-120301-ab12", "running", "33", "%", "1:01:01", "0:01:00"]
    assert lines[2].split() == ["20261124-120301-cd34", "starting", r"b\x1b[2J"]
    studies = [
        Listed("shop", "finished", 30, 1.8e9, 61.0, {"ndcg@10": 0.25, "seconds": 3.0}),
        Listed("y", "running", 0, 0, 0, {}),
    ]
    lines = output.studies_text(studies).splitlines()
    assert lines[0].split() == ["study", "state", "trials", "began", "ran", "best"]
    assert lines[1].split()[:3] == ["shop", "finished", "30"] and lines[1].endswith("0:01:01  ndcg@10 0.25  seconds 3")
    assert lines[2].split() == ["y", "running", "0", "0:00:00"]


def test_a_data_frame_is_a_table_too() -> None:
    frame = pd.DataFrame(
        {"session": ["s" * 90, "b\n\x07"], "rank": [1, 2], "score": [0.123456, -1.0], "title": [None, "t" * 90]}
    )
    lines = output.frame_text(frame, 1).splitlines()
    assert max(map(len, lines)) <= 80 and lines[1].split()[1:3] == ["1", "0.1235"] and lines[-1] == "… and 1 more rows"
    assert r"b\n\x07" in output.frame_text(frame, 2)


def test_what_differs_leaves_out_what_comes_with_a_kind() -> None:
    start = RunSpec.parse({"data": {"path": "x"}})
    specs = {"a": start, "b": start.override({"model.body.kind": "gru", "train.epochs": 77, "name": "b"})}
    differing = _differing(specs, {"a": "a", "b": "b"})
    assert len(differing) > 3 and _chosen(specs.values(), differing) == ["model.body.kind", "train.epochs"]


BAD = "bad\nname\x1b[2J\tx"


def test_a_name_breaks_no_line_and_a_forgotten_one_neither(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = RunResult("abc", BAD, "FINISHED", {"ndcg@10": 0.5}, None, {}, 1, 1.0, tmp_path / BAD, [BAD])
    study = StudyResult(
        name=BAD,
        storage="",
        run_id="r",
        status="finished",
        counts={},
        objectives=("ndcg@10",),
        front=[],
        start=None,
        importance={},
        seconds=1.0,
        best=None,
        home=tmp_path / BAD,
    )
    texts = [output.run_text(result), output.study_text(study), lines_of([BAD, BAD]), lines_of([table([BAD], [[BAD]])])]
    assert [text.count("\n") for text in texts] == [8, 1, 1, 1]
    assert not any("\x1b" in text or "\t" in text for text in texts)
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path / BAD))
    assert main.main(["jobs"]) == 0
    assert capsys.readouterr().out.replace(str(tmp_path), "~") == "no jobs in ~/bad\\nname\\x1b[2J x\n"


# ── progress ────────────────────────────────────────────────────────────────────────────────────


def test_a_log_gets_lines_and_no_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Console() as console:
        for epoch in (1, 2):
            for done in range(1, 101):
                now[0] += 0.25
                console(Progress("training", done, 100, "steps", {"loss": 3.5}))
            console(Progress("evaluating", 1, 2, "parts"))
            console(Epoch(epoch, 2, 10, 3.5, {"ndcg@10": 0.5}, 1e-3, 4.0, True))
        console(Stopped("finished", 1, 4.0))
    lines = capsys.readouterr().err.split("\n")
    assert lines == [
        "training …",
        "training: 41 of 100 steps, 0:00:14 left",
        "training: 81 of 100 steps, 0:00:05 left",
        "evaluating …",
        "epoch 1/2  loss 3.5000  ndcg@10 0.5000  4.0 s *",
        "training: 41 of 100 steps, 0:00:14 left",
        "training: 81 of 100 steps, 0:00:05 left",
        "epoch 2/2  loss 3.5000  ndcg@10 0.5000  4.0 s *",
        "training finished: best epoch 1, 4 s",
        "",
    ]


def test_a_piped_standard_error_has_no_carriage_return_and_the_error_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("session_id,item_id,timestamp\n" + "s,i\x1b[31m,1\n" * 3)
    command = [sys.executable, "-m", "t4r_lab", "prepare", "events.csv", "--out", "d", "--targets", "x\x1b[2J\u202e"]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 2 and b"\r" not in done.stderr and b"\x1b" not in done.stderr
    assert done.stderr.decode().splitlines()[-1].startswith("error: ")


BAR = """
from t4r_lab.cli import program as cli
from t4r_lab.runs import progress
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Progress
def fails(options):
    console = progress.Console()
    console(Progress("reading", 1, 5, "stages"))
    raise InputError("events.csv", "is empty", "give another file")
cli.COMMANDS["jobs"] = cli.COMMANDS["jobs"]._replace(run=fails)
raise SystemExit(cli.main(["jobs"]))
"""


def test_on_a_terminal_the_bar_is_gone_before_the_error() -> None:
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    done = subprocess.run([sys.executable, "-c", BAR], stderr=slave, stdout=subprocess.DEVNULL)
    os.close(slave)
    shown = b""
    with os.fdopen(master, "rb", buffering=0) as file:
        while b"another file" not in shown:
            shown += file.read(4096)
    assert done.returncode == 2 and b"reading" in shown  # there was a bar
    last = shown.decode().rstrip("\r\n").rpartition("\r")[2].rpartition("\n")[2]
    assert last == "error: events.csv: is empty; give another file"


def test_names_in_data_act_neither_in_text_nor_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "bad\x1b[31m\u202e"
    frame = pd.DataFrame(
        {
            "session_id": [i // 4 for i in range(80)],
            "item_id": [i % 7 for i in range(80)],
            "timestamp": range(80),
            name: [str(i % 3) for i in range(80)],
        }
    )
    prepare(frame, tmp_path / "d")
    assert main.main(["describe", str(tmp_path / "d")]) == 0
    out = capsys.readouterr().out
    assert r"\x1b[31m\u202e" in out and "\x1b" not in out and "\u202e" not in out
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 80
    assert main.main(["describe", str(tmp_path / "d"), "--json"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and name in [c.get("source") for c in json.loads(out)["schema"]["columns"]]
