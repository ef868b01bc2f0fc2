"""Studies on a real PostgreSQL server, and who leads one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import silent
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.lab.panels.tune.study_list import Watch
from t4r_lab.spec import RunSpec
from t4r_lab.spec.study_options import Plan, StudyOptions
from t4r_lab.tuning import detached, lead
from t4r_lab.tuning.studies import open_study, study
from t4r_lab.tuning.studies.storage import connect
from t4r_lab.tuning.studies.storage_address import address
from tests.support.small import small_data, small_spec
from tests.support.trials import Trials

DROPOUT = "model.body.dropout"
TUNE = [sys.executable, "-m", "t4r_lab", "tune"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("data") / "d")


# ── PostgreSQL ──────────────────────────────────────────────────────────────────────────────────


def _binary(name: str) -> str | None:
    """PostgreSQL's programs stand outside the path on Debian."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or (str(places[0]) if places else None)


class Server:
    """A PostgreSQL server of its own, on a free port."""

    def __init__(self, folder: Path) -> None:
        # it refuses to run as root
        self.user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        if self.user:
            shutil.chown(folder, "nobody")
        self._run("initdb", "-D", str(folder / "db"), "-U", "lab", "-A", "trust", "-N")
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://lab@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-D", str(self.folder / "db"), "-l", str(self.folder / "log"), "-o", options, "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self.folder / "db"), "-m", mode, "-w", "stop")

    def reload(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "db"), "reload")

    def _run(self, name: str, *arguments: str) -> None:
        program = _binary(name)
        assert program is not None
        subprocess.run(
            [program, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            cwd=self.folder,
            **self.user,
        )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    pytest.importorskip(
        "psycopg", reason="the driver of PostgreSQL is not installed: pip install 't4r-lab[postgresql]'"
    )
    if _binary("initdb") is None or _binary("pg_ctl") is None:
        pytest.skip("no PostgreSQL server is installed here: initdb and pg_ctl are missing")
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="t4r-pg-", dir="/tmp"))  # whoever runs the server must get there
    running = Server(folder)
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_workers_of_two_homes_share_a_study_on_postgresql(data: Path, tmp_path: Path, server: Server) -> None:
    plan = Plan.of(small_spec(data, train__epochs=1), StudyOptions.parse({"space": {DROPOUT: None}, "trials": 8}))
    open_study.begin("shared", plan, Dataset.open(data).digest, connect(address(tmp_path, server.url)))
    workers = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "t4r_lab",
                "worker",
                "--study",
                "shared",
                "--storage",
                server.url,
                "--threads",
                "1",
                "--json",
            ],
            env={**os.environ, "T4R_LAB_HOME": str(tmp_path / f"home{i}")},
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    done = [json.loads(worker.communicate(timeout=110)[0])["trials"] for worker in workers]
    assert sum(done) == 8
    result, trials = lead.report("shared", home=tmp_path, storage=server.url)
    assert result.status == "finished"
    assert Counter(t.state for t in trials)["finished"] + Counter(t.state for t in trials)["pruned"] == 8
    assert result.storage == server.url
    assert "shared" in lead.names(home=tmp_path, storage=server.url)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are listed from /proc")
def test_a_study_in_the_background_works_on_a_server_whose_password_nobody_sees(
    data: Path, tmp_path: Path, server: Server
) -> None:
    url = server.url.replace("lab@", "lab:hushed@")
    options = StudyOptions.parse({"space": {DROPOUT: None}, "trials": 500})
    launched = detached.launch(small_spec(data, train__epochs=1), options, "hidden", tmp_path, url)
    watch = Watch(tmp_path)
    deadline = time.monotonic() + 90
    while (state := watch.look("hidden").state) is None or state.status != "running" or len(state.trials) < 3:
        assert time.monotonic() < deadline, launched.log(20)
        time.sleep(0.4)
    shown = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert any(b"t4r_lab.tuning.worker" in line for line in shown)
    assert not any(b"hushed" in line for line in shown)
    lead.stop("hidden", home=tmp_path, storage=url)
    while launched.is_running():
        assert time.monotonic() < deadline, launched.log(20)
        time.sleep(0.4)
    state = watch.look("hidden").state
    assert state is not None
    assert state.status == "stopped"
    assert "hushed" not in launched.log(1000)


def test_who_only_reads_is_told_at_once_that_the_server_is_away(data: Path, tmp_path: Path, server: Server) -> None:
    plan = Plan.of(small_spec(data, train__epochs=6), StudyOptions.parse({"space": {DROPOUT: None}, "trials": 8}))
    opened = open_study.begin("away", plan, Dataset.open(data).digest, connect(address(tmp_path, server.url)))
    assert len(opened.trials()) == 1
    server.stop()
    try:
        for read in (opened.trials, lambda: connect(address(tmp_path, server.url))):
            began = time.monotonic()
            with pytest.raises(
                InputError, match=r"storage postgresql://lab@127.*can't be reached \(.*start the server"
            ):
                read()
            assert time.monotonic() - began < 2
    finally:
        server.start()
    assert len(opened.trials()) == 1  # the same object goes on


def tuning(
    spec: Path, home: Path, server: Server, *options: str, errors: int | IO[str] = subprocess.PIPE
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TUNE, str(spec), "--search", DROPOUT, "--pruner", "none", "--storage", server.url, "--json", *options],
        env={**os.environ, "T4R_LAB_HOME": str(home), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )


@pytest.mark.slow
def test_a_server_that_is_stopped_under_a_study_and_started_again_ends_neither_leader_nor_workers(
    data: Path, tmp_path: Path, server: Server
) -> None:
    """Once at once, in midst of whatever they ask of it, and once as an administrator does."""
    spec = tmp_path / "s.yaml"
    spec.write_text(small_spec(data, train__epochs=6).to_yaml())
    home, log = tmp_path / "home", tmp_path / "log.txt"
    with log.open("w") as errors:
        process = tuning(spec, home, server, "--study", "stopped", "--trials", "7", "--workers", "2", errors=errors)
    waits = lambda: log.read_text().count("waiting for it, nothing is lost")  # noqa: E731
    trials = Trials("stopped", home, server.url)
    deadline = time.monotonic() + 300
    for times, (mode, done) in enumerate((("immediate", 1), ("fast", 4))):
        while trials.count("finished") < done:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.4)
        server.stop(mode)
        while waits() <= times:  # said by the leader, who may be at the record
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.4)
        time.sleep(2)
        server.start()
    out, _ = process.communicate(timeout=300)
    messages = log.read_text()
    assert process.returncode == 0, messages
    answer = json.loads(out)
    assert answer["status"] == "finished" and answer["trials"]["finished"] == 7
    assert set(answer["trials"]) <= {"finished", "lost"}
    assert waits() <= 4, messages  # not with every try
    assert "Traceback" not in messages and "sqlalche" not in messages
    (run,) = studies_of(home)
    assert run.info.status == "FINISHED"


def studies_of(home: Path) -> list[Any]:
    """The runs of studies in the record."""
    from t4r_lab import tracking

    client, experiment = tracking.client_of(home)
    return [run for run in client.search_runs([experiment]) if "t4r.trial" not in run.data.tags]


@pytest.mark.slow
def test_one_process_leads_and_a_dead_one_lets_go(data: Path, tmp_path: Path, server: Server) -> None:
    spec, home = tmp_path / "s.yaml", tmp_path / "home"
    spec.write_text(small_spec(data, train__epochs=2000, train__patience=None).to_yaml())
    options = ("--study", "led", "--trials", "1")
    study_options = StudyOptions.parse({"space": {DROPOUT: None}, "trials": 1, "pruner": "none"})
    for storage_of in (server, File()):
        first = tuning(spec, home, storage_of, *options)
        deadline, trials = time.monotonic() + 240, Trials("led", home, storage_of.url)
        while not trials.count("running"):
            assert first.poll() is None and time.monotonic() < deadline, first.communicate()[1]
            time.sleep(0.4)
        with pytest.raises(InputError, match=f"being led by process {first.pid} on {socket.gethostname()};") as refusal:
            lead.tune(RunSpec.load(spec), study_options, "led", home=home, storage=storage_of.url, on_report=silent)
        assert "`t4r-lab worker --study led` adds a worker" in str(refusal.value)
        (run,) = [run for run in studies_of(home) if run.info.status == "RUNNING"]
        worker = children(first.pid, b"t4r_lab.tuning.worker")
        first.kill()
        first.communicate()
        assert trials.count("running")  # its worker outlives it,
        assert mlflow_status(home, run) == "RUNNING"  # so that somebody works
        for pid in worker:
            os.kill(pid, signal.SIGKILL)
        opened = open_study.load("led", connect(address(home, storage_of.url)))
        for trial in opened.trials():
            opened.release(trial.worker)  # which takes half a minute for want of signs of life
        lead.report("led", home=home, storage=storage_of.url)
        assert mlflow_status(home, run) == "KILLED"
        assert opened.attribute(study.LEADER) is None


class File:
    """In place of a server: the file under the home."""

    url = ""


def mlflow_status(home: Path, run: Any) -> str:
    from t4r_lab import tracking

    return str(tracking.client_of(home)[0].get_run(run.info.run_id).info.status)


def children(pid: int, words: bytes) -> list[int]:
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in pids if words in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("user", "database", "words"),
    [
        ("lab:wrong", "postgres", "it refuses this user or password .*; fix them in the address"),
        ("nobody:wrong", "postgres", "it refuses this user or password|does not admit this user"),
        ("lab:hushed", "nowhere", "there is no such database .*; create it"),
        ("guest:hushed", "bare", "this user may not do that .*; ask its administrator to GRANT ALL ON SCHEMA public"),
        ("guest:hushed", "closed", "this user may not do that .*; .*GRANT CONNECT ON DATABASE"),
        ("few:hushed", "postgres", "it takes no more connections .*; start fewer workers, or raise the limit"),
    ],
)
def test_what_a_server_refuses_is_told_at_once_with_what_to_grant(
    user: str, database: str, words: str, tmp_path: Path, guarded: Server
) -> None:
    began = time.monotonic()
    url = f"postgresql://{user}@127.0.0.1:{guarded.port}/{database}"
    with pytest.raises(InputError, match=words) as refusal:
        connect(address(tmp_path, url), 60)  # nor is it waited for
    assert time.monotonic() - began < 3
    assert "\n" not in str(refusal.value) and "sqlalche" not in str(refusal.value)
    assert "hushed" not in str(refusal.value) and "wrong" not in str(refusal.value)


@pytest.fixture(scope="module")
def guarded(server: Server) -> Iterator[Server]:
    """The server, where some may less than others and everybody needs a password."""
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        for sql in (
            "ALTER ROLE lab PASSWORD 'hushed'",
            "CREATE ROLE guest LOGIN PASSWORD 'hushed'",
            "CREATE ROLE few LOGIN PASSWORD 'hushed' CONNECTION LIMIT 0",
            "CREATE DATABASE bare",
            "CREATE DATABASE closed",
            "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
        ):
            connection.execute(sql)  # type: ignore[call-overload]
    path = server.folder / "db" / "pg_hba.conf"
    path.write_text(path.read_text().replace("trust", "scram-sha-256"))
    server.reload()
    yield server
    path.write_text(path.read_text().replace("scram-sha-256", "trust"))
    server.reload()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://root@localhost/db", "write postgresql://"),
        ("studies.db", "write postgresql://"),
        ("postgresql://lab:secret@127.0.0.1:1/db", "can't be reached"),
    ],
)
def test_a_storage_that_is_none(url: str, words: str, tmp_path: Path) -> None:
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed")
    with pytest.raises(InputError, match=words) as error:
        lead.report("s", home=tmp_path, storage=url)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
