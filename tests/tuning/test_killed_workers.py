"""Studies as processes: workers killed at random moments, Ctrl-C, and errors that come back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.spec.study_options import Plan, StudyOptions
from t4r_lab.tuning import lead, worker_process
from t4r_lab.tuning.studies import open_study, study
from t4r_lab.tuning.studies.storage import connect
from t4r_lab.tuning.studies.storage_address import address
from tests.support.small import small_data, small_spec
from tests.support.trials import Trials

KILLS = 6
DROPOUT = "model.body.dropout"
TUNE = [sys.executable, "-m", "t4r_lab", "tune"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("data") / "d")


@pytest.mark.slow
def test_workers_killed_at_random_lose_nothing(data: Path, tmp_path: Path) -> None:
    plan = Plan.of(
        small_spec(data, train__epochs=6), StudyOptions.parse({"space": {DROPOUT: None}, "trials": 8, "pruner": "none"})
    )
    open_study.begin("s", plan, Dataset.open(data).digest, connect(address(tmp_path, None)))
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killing_workers", str(tmp_path), "s", "0", str(KILLS)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    answer = json.loads(done.stdout)
    assert answer["status"] == 0, done.stderr
    result, trials = lead.report("s", home=tmp_path)
    states = Counter(t.state for t in trials)
    assert result.status == "finished"
    assert states["finished"] == 8  # exactly what was asked for
    assert states["lost"] == answer["stages"].count("running") > 0  # each kill in midst of a trial is one, marked
    assert set(states) <= {"finished", "lost"}
    retried = [t for t in trials if t.state == "lost" and "tried again as trial" in t.reason]
    given_up = states["lost"] - len(retried)  # which takes several kills in midst of one trial
    assert given_up <= states["lost"] // (study.MOST_RETRIES + 1)
    for t in retried:
        again = trials[int(t.reason.rpartition(" ")[2])]
        if again.params or again.state == "finished":  # else it was lost in its turn before it drew any
            assert t.params.items() <= again.params.items()
    assert given_up or [t.start for t in trials if t.state == "finished"].count(True) == 1


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_ctrl_c_can_be_gone_on_from(data: Path, tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text(small_spec(data, train__epochs=16, train__patience=None).to_yaml())
    command = [*TUNE, str(spec), "--presets", "regularizers", "--trials", "2", "--pruner", "none", "--json"]
    environment = {**os.environ, "T4R_LAB_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    worker = _running_worker(tmp_path / "home", process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (pid,) = [p for p in children if b"t4r_lab.tuning.worker" in Path(f"/proc/{p}/cmdline").read_bytes()]
    os.kill(int(pid), signal.SIGKILL)
    assert _running_worker(tmp_path / "home", process, but=worker) != worker
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 1, err
    stopped = json.loads(out)
    assert stopped["status"] == "stopped"
    assert stopped["trials"]["lost"] >= 2
    done = subprocess.run([*command], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in err + done.stderr  # such as Optuna's, of what is done on purpose
    answer = json.loads(done.stdout)
    assert answer["trials"] == {"lost": stopped["trials"]["lost"], "finished": 2}
    assert answer["run_id"] == stopped["run_id"]


def test_a_workers_error_comes_back_with_its_parts(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, moved := tmp_path / "with: a colon; and more")
    plan = Plan.of(small_spec(moved), StudyOptions.parse({"space": {DROPOUT: None}, "trials": 1}))
    begun = open_study.begin("s", plan, Dataset.open(moved).digest, connect(address(tmp_path, None)))
    shutil.rmtree(moved)
    worker = worker_process.WorkerProcess(begun, tmp_path, 0, 1)
    worker.process.wait(120)
    with pytest.raises(InputError) as caught:
        worker.check()
    worker.wait()
    with pytest.raises(InputError) as expected:
        Dataset.open(moved)
    assert caught.value.parts == expected.value.parts


def _running_worker(home: Path, process: subprocess.Popen[str], but: str = "") -> str:
    """The worker of a running trial, other than `but`."""
    deadline, trials = time.monotonic() + 240, Trials("small", home)
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        names = [t.worker for t in trials() if t.state == "running" and t.worker and t.worker != but]
        if names:
            return names[0]
        time.sleep(0.2)
    raise AssertionError("no worker began a trial")
