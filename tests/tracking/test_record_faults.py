"""The record when it is locked, out of reach or read-only, and when the process of a run dies without a word."""

from __future__ import annotations

import json
import logging
import os
import socket
import sqlite3
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from t4r_lab import jobs, tracking
from t4r_lab.base import homes, retries
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Epoch, Report, silent
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.runs import processes, run
from tests.support.rights import readonly
from tests.support.small import small_data, small_spec


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("data") / "d")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow waits 20 s for a locked database before it says so, we another second: here a hundredth of both."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def shorten(connection: Any, cursor: Any, statement: str, parameters: Any, *more: Any) -> tuple[str, Any]:
        return statement.replace("busy_timeout = 20000", "busy_timeout = 200"), parameters

    monkeypatch.setattr(retries, "LONGEST", 0.01)
    monkeypatch.setattr(retries, "WARN_EVERY", 0.1)
    event.listen(Engine, "before_cursor_execute", shorten, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", shorten)


class Locked:
    """Another program that keeps the database of `home` to itself, for `seconds` or until released."""

    def __init__(self, home: Path, seconds: float = 60) -> None:
        self._base = sqlite3.connect(home / "mlflow.db", check_same_thread=False)
        self._base.execute("BEGIN EXCLUSIVE")
        self._timer = threading.Timer(seconds, self._base.close)
        self._timer.start()

    def release(self) -> None:
        self._timer.cancel()
        self._base.close()


def history(home: Path, run_id: str) -> list[tuple[int, float]]:
    with sqlite3.connect(home / "mlflow.db") as base:
        query = "SELECT step, value FROM metrics WHERE run_uuid = ? AND key = 'train/loss' ORDER BY step"
        return base.execute(query, [run_id]).fetchall()


def stored(home: Path, run_id: str) -> tuple[str, str | None]:
    """Status and reason of a run, read with plain SQLite."""
    with sqlite3.connect(home / "mlflow.db") as base:
        (status,) = base.execute("SELECT status FROM runs WHERE run_uuid = ?", [run_id]).fetchone()
        reason = base.execute("SELECT value FROM tags WHERE run_uuid = ? AND key = ?", [run_id, tracking.REASON])
        return status, (reason.fetchone() or [None])[0]


# ── locked, out of reach ────────────────────────────────────────────────────────────────────────


def test_a_run_loses_no_metric_while_another_program_locks_the_database(
    hasty: None, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    epochs: list[Epoch] = []

    def on_report(report: Report) -> None:
        if isinstance(report, Epoch):
            epochs.append(report)
            if report.epoch == 2:
                Locked(tmp_path, 1.0)  # five times as long as the database is waited for

    began = time.monotonic()
    result = run.run(small_spec(data, train__epochs=4), home=tmp_path, on_report=on_report)
    assert time.monotonic() - began > 1.0
    assert history(tmp_path, result.run_id) == [(report.epoch, report.train_loss) for report in epochs]
    assert stored(tmp_path, result.run_id)[0] == "FINISHED"
    waits = [record for record in caplog.records if "waiting for it, nothing is lost" in record.message]
    assert len(waits) >= 2
    assert all(record.levelno < logging.ERROR for record in caplog.records)  # nor is there a traceback


def test_who_only_reads_is_told_at_once(hasty: None, data: Path, tmp_path: Path) -> None:
    tracking.start(tmp_path, small_spec(data), Dataset.open(data))
    lock = Locked(tmp_path)
    with pytest.raises(InputError, match="another program keeps it locked; close that and try again"):
        tracking.runs(tmp_path)
    lock.release()
    assert len(tracking.runs(tmp_path)) == 1


def test_a_run_that_waited_in_vain_goes_on_when_the_record_is_back(
    hasty: None, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "SECONDS", 0.5)
    spec, locks = small_spec(data, train__epochs=4), []

    def on_report(report: Report) -> None:
        if isinstance(report, Epoch) and report.epoch == 3:
            locks.append(Locked(tmp_path))
            began.append(time.monotonic())

    began: list[float] = []
    with pytest.raises(InputError, match="keeps it locked"):
        run.run(spec, home=tmp_path, on_report=on_report)
    assert time.monotonic() - began[0] < 10  # and it doesn't wait again to record that it failed
    locks[0].release()
    (row,) = processes.runs(tmp_path)
    assert (row.status, row.reason) == ("KILLED", processes.DIED)  # it had no way to say so itself
    resumed = run.resume(row.run_id, home=tmp_path, on_report=silent)
    whole = run.run(spec, home=tmp_path / "other", on_report=silent)
    assert resumed.valid == whole.valid
    assert history(tmp_path, row.run_id) == history(tmp_path / "other", whole.run_id)


class Mlflow(BaseHTTPRequestHandler):
    """As much of a tracking server as a record talks to."""

    taken: list[dict[str, Any]]

    def answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer({"experiment": {"experiment_id": "1", "name": tracking.EXPERIMENT}})

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("log-batch"):
            self.taken.append(content)
        self.answer({})

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def server(port: int = 0) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """A tracking server; its port, and what it was given."""
    taken: list[dict[str, Any]] = []
    with served(type("Handler", (Mlflow,), {"taken": taken}), port) as port:
        yield port, taken


@contextmanager
def served(handler: Any, port: int = 0) -> Iterator[int]:
    listener = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield listener.server_port
    finally:
        listener.shutdown()
        listener.server_close()


def test_a_run_loses_no_metric_while_its_server_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "LONGEST", 0.05)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with server() as (port, taken):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        record = tracking.Record(tmp_path, "a" * 32)
        record.metrics({"train/loss": 3.0}, 1)
        assert len(taken) == 1
    with pytest.raises(InputError, match="no MLflow server answers"):
        tracking.runs(tmp_path)
    writing = threading.Thread(target=lambda: record.metrics({"train/loss": 2.0}, 2))
    writing.start()
    time.sleep(0.5)
    assert writing.is_alive()
    with server(port) as (_, taken):
        writing.join(10)
        assert [(m["value"], m["step"]) for batch in taken for m in batch["metrics"]] == [(2.0, 2)]


class Breaks(Mlflow):
    """Refuses files before it has read them, as MLflow's server does: the connection breaks with its answer unread."""

    status = 500
    put: list[bytes]

    def do_GET(self) -> None:
        if self.path.partition("?")[0].endswith("runs/get"):
            info = {"run_id": "a", "artifact_uri": "mlflow-artifacts:/1/x/artifacts", "status": "RUNNING"}
            self.answer({"run": {"info": info, "data": {}}})
        else:
            super().do_GET()

    def do_PUT(self) -> None:
        length = int(self.headers["Content-Length"])
        if length and not (self.status == 200 and self.put):
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.put.append(b"")
            return
        self.put.append(self.rfile.read(length))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.mark.parametrize("status", [200, 500])
def test_a_file_refused_before_it_was_read_is_said_at_once_and_a_broken_connection_is_waited_for(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from t4r_lab.tracking.artifacts import put

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(retries, "SECONDS", 20.0)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a b.txt").write_text("content")
    run_id = f"{status}" * 8  # MLflow remembers where the files of a run are
    handler = type("Handler", (Breaks,), {"put": [], "taken": [], "status": status})
    with served(handler) as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        began = time.monotonic()
        if status == 200:
            put(tmp_path, run_id, tmp_path / "files")
            assert handler.put[-1] == b"content"  # whatever was tried in its place
        else:
            with pytest.raises(InputError, match=r"can't keep or give files \(it answers 500\)"):
                put(tmp_path, run_id, tmp_path / "files")
        assert time.monotonic() - began < 10


# ── died without a word ─────────────────────────────────────────────────────────────────────────


def test_a_run_is_running_while_somebody_holds_its_folder_and_killed_when_nobody_does(
    data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "jobs" / "x" / "checkpoints"
    with processes.hold_lock(folder):
        record = tracking.start(tmp_path, small_spec(data), Dataset.open(data), folder)
        assert [row.status for row in processes.runs(tmp_path)] == ["RUNNING"]
    assert [row.status for row in processes.runs(tmp_path)] == ["KILLED"]
    assert stored(tmp_path, record.run_id) == ("KILLED", processes.DIED)
    with processes.hold_lock(folder):
        record.begin(folder)  # as a resume does
        assert [row.status for row in processes.runs(tmp_path)] == ["RUNNING"]
    assert processes.runs(tmp_path)[0].seconds < 60


def test_a_folder_that_is_gone_and_one_of_another_machine(data: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    gone, theirs = home / "jobs" / "x" / "checkpoints", tmp_path / "elsewhere" / "checkpoints"
    dataset = Dataset.open(data)
    local = tracking.start(homes.ensure(home), small_spec(data), dataset, gone).run_id
    other = tracking.start(home, small_spec(data), dataset, theirs).run_id
    assert {row.run_id: row.status for row in processes.runs(home)} == {local: "KILLED", other: "RUNNING"}
    assert not theirs.exists()


def test_what_has_ended_meanwhile_is_left_as_it_is(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "x"
    folder.mkdir(parents=True)
    record = tracking.start(tmp_path, small_spec(data), Dataset.open(data), folder)
    (stale,) = tracking.runs(tmp_path)
    record.finish("FINISHED", "finished")
    assert not processes._mark_if_dead(tmp_path, stale)
    assert stored(tmp_path, record.run_id) == ("FINISHED", "finished")


# ── no right to write ───────────────────────────────────────────────────────────────────────────


def test_a_home_that_may_only_be_read_is_watched_and_refuses_in_words(data: Path) -> None:
    with tempfile.TemporaryDirectory() as root:  # pytest's own folders are closed to others
        os.chmod(root, 0o755)
        home = Path(root) / "home"
        folder = home / "jobs" / "x"
        folder.mkdir(parents=True)
        job = jobs.Job(folder)
        (folder / "spec.json").write_text(small_spec(data).to_json())
        record = tracking.start(home, small_spec(data), Dataset.open(data), job.checkpoints)
        with job.lock():
            job.write(replace(jobs.Status("x", "x", "running"), run_id=record.run_id))
            with readonly(home):
                assert job.status().state == "running"
                with pytest.raises(InputError, match=r"can't be asked to stop \(.*Permission denied.*kill -INT"):
                    job.stop()
        with readonly(home):
            assert job.status().state == "lost"
            with pytest.raises(InputError, match="cannot be resumed"):
                job.resume()
            for call in (lambda: homes.ensure(home), lambda: jobs.launch(small_spec(data), home)):
                with pytest.raises(InputError, match=r"home can.t be written .Permission denied.; set T4R_LAB_HOME"):
                    call()
            with pytest.raises(InputError, match="cannot be written; fix its permissions"):
                record.metrics({"train/loss": 1.0})
            assert [row.status for row in processes.runs(home)] == ["RUNNING"]  # who may not write marks nothing
        assert [row.status for row in processes.runs(home)] == ["KILLED"]
