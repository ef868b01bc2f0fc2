"""The home: where it is, what is refused, and how a full disk is recognized."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from t4r_lab.base import homes
from t4r_lab.base.errors import InputError


def test_the_variable_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(homes.VARIABLE, str(tmp_path / "mine"))
    assert homes.locate() == tmp_path / "mine"


def test_the_nearest_mlruns_is_shared_by_everything_below_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(homes.VARIABLE)
    inner = tmp_path / "project" / "notebooks"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    (tmp_path / "mlruns").mkdir()
    assert homes.locate() == tmp_path / "mlruns"
    (tmp_path / "project" / "mlruns").mkdir()
    assert homes.locate() == tmp_path / "project" / "mlruns"
    (tmp_path / "project" / "notebooks" / "mlruns").write_text("a file is no home")
    assert homes.locate() == tmp_path / "project" / "mlruns"


def test_it_is_made_absolute_and_left_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert homes.ensure("a/b") == tmp_path / "a" / "b"
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_one_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"home can't be written.*T4R_LAB_HOME"):
        homes.ensure(tmp_path / "file" / "home")


def caught(call: object) -> BaseException:
    try:
        call()  # type: ignore[operator]
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


FULL = "the disk is full", "free some space"


def test_a_full_disk_is_recognized_however_it_is_said() -> None:
    def write() -> None:
        with open("/dev/full", "w") as file:
            file.write("x")

    def sqlite() -> None:
        base = sqlite3.connect(":memory:")
        base.execute("PRAGMA max_page_count = 1")
        base.execute("CREATE TABLE t (x)")

    def chained() -> None:
        try:
            write()
        except OSError as error:
            raise RuntimeError("could not save") from error

    for call in (write, sqlite, chained):
        assert homes.no_room(caught(call)) == FULL, call
    words = "Error while serializing: I/O error: No space left on device (os error 28)"  # as safetensors says it
    assert homes.no_room(RuntimeError(words)) == FULL
    for other in (
        lambda: 1 / 0,
        lambda: Path("/nowhere/x").read_text(),
        lambda: sqlite3.connect(":memory:").execute("SELECT x"),
    ):
        assert homes.no_room(caught(other)) is None
    assert homes.no_room(None) is None


def test_a_limit_on_the_size_of_files_is_recognized_however_it_is_said(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")

    def write() -> None:
        (tmp_path / "file").write_bytes(b"x" * 10_000)

    def sqlite() -> None:
        base = sqlite3.connect(tmp_path / "base.db")
        base.execute("CREATE TABLE t (x)")
        base.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 100)
        base.commit()

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, before[1]))
    try:
        errors = [caught(write), caught(sqlite)]
        reasons = [homes.no_room(error) for error in errors]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert reasons == [("a file would exceed the limit on the size of files", "raise it (`ulimit -f`)")] * 2
    assert str(errors[1]) == "disk I/O error" and homes.no_room(errors[1]) is None  # without a limit: a broken disk
