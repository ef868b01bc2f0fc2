"""Killed at any file operation, a command leaves old or new in its place, and the next one clears what lies about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from t4r_lab.base import system
from t4r_lab.base.reports import silent
from t4r_lab.cli import program as main
from t4r_lab.data.pipeline.prepare_events import prepare
from t4r_lab.data.pipeline.synthetic import Generator
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.runs import run
from tests.support.small import small_spec

KILLED = """
import os, re, signal, sys
at, pattern, in_one_step, arguments = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "1", sys.argv[4:]
count = 0
def hook(event, found):
    global count
    writes = event != "open" or (isinstance(found[0], str) and found[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if event in ("open", "os.rename", "os.mkdir") and writes and re.search(pattern, f"{event} {found[0]}"):
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
from t4r_lab.base import system
from t4r_lab.cli import program as cli
import t4r_lab.runs.run, t4r_lab.data.pipeline.prepare_events
whole = system.exchange
def exchange(one, other):
    done = in_one_step and whole(one, other)
    if pattern == "exchanged" and done:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
system.exchange = exchange
sys.addaudithook(hook)
raise SystemExit(cli.main(arguments))
"""


def killed(at: int, pattern: str, *arguments: str, in_one_step: bool = True) -> None:
    """Run a command that is killed at the `at`-th file operation whose words match `pattern`."""
    command = [sys.executable, "-c", KILLED, str(at), pattern, "1" if in_one_step else "0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of two versions of events."""
    folder = tmp_path_factory.mktemp("events")
    paths = {name: folder / f"{name}.csv" for name in ("old", "new")}
    Generator(n_items=20).events(60).write_csv(paths["old"])
    Generator(n_items=30).events(90).write_csv(paths["new"])
    return {name: str(path) for name, path in paths.items()}


AT = {
    "while it writes": (1, "open .*manifest.json", True, "old"),
    "before the names are exchanged": (1, "open .*manifest.json", False, "old"),
    "when they have been": (1, "exchanged", True, "new"),
    "before the first of two renames": (1, "os.rename", False, "old"),
    "between the two": (2, "os.rename", False, "old"),
}


@pytest.mark.parametrize("moment", AT)
def test_prepare_leaves_the_old_data_or_the_new_ones(moment: str, events: dict[str, str], tmp_path: Path) -> None:
    at, pattern, in_one_step, wanted = AT[moment]
    out = tmp_path / "shop"
    digests = {name: prepare(path, tmp_path / name).digest for name, path in events.items()}
    prepare(events["old"], out)
    killed(at, pattern, "prepare", events["new"], "--out", str(out), in_one_step=in_one_step)
    current = Dataset.open(out).digest
    assert [name for name, digest in digests.items() if digest == current] == [wanted]
    assert len(list(tmp_path.iterdir())) == 4  # of the process that was killed
    assert prepare(events["new"], out).digest == digests["new"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "old", "shop"]


def test_data_between_two_renames_are_found_by_the_command_line(events: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "shop"
    prepare(events["old"], out)
    killed(2, "os.rename", "prepare", events["new"], "--out", str(out), in_one_step=False)
    assert not out.exists()
    assert main.main(["describe", str(out)]) == 0


def test_a_link_stays_one_and_its_data_are_replaced(events: dict[str, str], tmp_path: Path) -> None:
    prepare(events["old"], tmp_path / "there")
    (tmp_path / "link").symlink_to("there")
    digest = prepare(events["new"], tmp_path / "link").digest
    assert (tmp_path / "link").is_symlink() and Dataset.open(tmp_path / "there").digest == digest
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "there"]


@pytest.mark.slow
def test_what_a_run_was_recording_goes_with_the_next_one(events: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    data = prepare(events["old"], home / "data" / "d").path
    (tmp_path / "spec.yaml").write_text(small_spec(data, train__epochs=1).to_yaml(), encoding="utf-8")
    os.environ["T4R_LAB_HOME"], before = str(home), os.environ.get("T4R_LAB_HOME")
    try:
        killed(1, "os.mkdir .*artifacts.*/model", "train", str(tmp_path / "spec.yaml"), "--set", "name=k")
    finally:
        os.environ.pop("T4R_LAB_HOME") if before is None else os.environ.update(T4R_LAB_HOME=before)
    assert len(list(home.glob(".recording.*"))) == 1
    assert run.resume("k", home=home, on_report=silent).status == "FINISHED"
    assert not list(home.glob(".recording.*")) and not list(home.glob("tmp*"))


def test_no_living_process_loses_its_folder(tmp_path: Path) -> None:
    """Two prepare the same folder at once: each has its own, and one of the two stays."""
    frames = [Generator(n_items=20).events(60), Generator(n_items=30).events(90)]
    from t4r_lab.data.prepared.folder import write_atomically

    prepare(frames[0], tmp_path / "shop")
    with write_atomically(tmp_path / "shop", "time", lambda before, after: None) as mine:
        (mine / "a").touch()
        prepare(frames[1], tmp_path / "shop")
        assert (mine / "a").exists()
        for name in ("schema.json", "items.parquet"):
            (mine / name).touch()
    assert system.owner().count("-") == 2
    assert [p.name for p in tmp_path.iterdir()] == ["shop"]
