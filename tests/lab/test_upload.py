"""A file in pieces: whole or not there, under a safe and free name; refusals, cancel and what broke off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.lab.panels.data.upload_button import UploadButton
from t4r_lab.lab.state.uploads import Upload


class Browser:
    """Stands in for the browser: sends the pieces that it is asked for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: list[Path] = []
        self.answers: list[dict[str, Any]] = []
        self.button = UploadButton(folder, self.files.append)
        monkeypatch.setattr(self.button, "send", self.answers.append)

    def send(self, name: str, content: bytes, piece: int, pieces: int = 10_000) -> None:
        offset = 0
        for _ in range(pieces):
            part = memoryview(content[offset : offset + piece])
            self.button._receive(None, {"kind": "piece", "name": name, "offset": offset, "size": len(content)}, [part])
            if self.answers[-1]["kind"] != "more":
                return
            offset = self.answers[-1]["offset"]


def test_a_file_arrives_whole_whatever_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, content = Browser(tmp_path / "uploads", monkeypatch), bytes(range(256)) * 10
    for size in (1, 100, len(content), 5000):
        browser.send("events.csv", content, size)
    browser.send("empty.csv", b"", 10)
    assert [path.name for path in browser.files] == [
        "events.csv", "events-2.csv", "events-3.csv", "events-4.csv", "empty.csv",
    ]  # fmt: skip
    assert all(path.read_bytes() == content for path in browser.files[:4])
    assert sorted(path.name for path in (tmp_path / "uploads").iterdir()) == sorted(p.name for p in browser.files)
    assert browser.answers[-2]["words"] == "uploaded as events-4.csv"


def test_what_breaks_off_or_is_canceled_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(tmp_path, monkeypatch)
    browser.send("events.csv", b"x" * 100, 10, pieces=3)
    assert [path.name for path in tmp_path.iterdir()] == [".events.csv.uploading"]  # a killed kernel would leave it
    browser.button._receive(None, {"kind": "cancel"}, [])
    assert not list(tmp_path.iterdir())
    left = len(browser.answers)
    browser.button._receive(
        None, {"kind": "piece", "name": "events.csv", "offset": 30, "size": 100}, [memoryview(b"x")]
    )
    assert len(browser.answers) == left and not list(tmp_path.iterdir())  # a piece that was on its way
    browser.send("events.csv", b"x" * 100, 10, pieces=3)
    Browser(tmp_path, monkeypatch).send("other.csv", b"y", 1)  # after the kernel was killed
    assert [path.name for path in tmp_path.iterdir()] == ["other.csv"]


def test_a_lost_piece_a_bad_name_and_a_full_disk_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = Upload(tmp_path, "../../a/b\\c:.csv", 10)
    assert upload.name == "c.csv"
    assert upload.add(0, b"123") is None
    for offset, piece in ((4, b"4"), (0, b"1"), (3, b"12345678"), (3, b"")):
        with pytest.raises(InputError, match="a piece was lost"):
            upload.add(offset, piece)
    for name in ("", "..", "///"):
        with pytest.raises(InputError, match="is not a name of a file"):
            Upload(tmp_path, name, 1)
    browser = Browser(tmp_path / "c.csv" / "no", monkeypatch)
    (tmp_path / "c.csv").touch()
    browser.send("a.csv", b"x", 1)
    assert browser.answers[-1]["kind"] == "refused" and "can't be written" in browser.answers[-1]["words"]
    assert browser.files == []
