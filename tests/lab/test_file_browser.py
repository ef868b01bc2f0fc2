"""The browser of folders: what it lists, where it goes, and what it gives to the form."""

from __future__ import annotations

from pathlib import Path

import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.lab.panels.data.file_browser import FileBrowser
from t4r_lab.lab.state import event_files
from t4r_lab.lab.state.event_files import entries


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    for folder in ("work/raw", "home", "secret"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "work" / "b.csv").write_bytes(b"x" * 1500)
    (tmp_path / "work" / ".hidden.csv").touch()
    (tmp_path / "work" / "raw" / "a.csv").touch()
    (tmp_path / "work" / "gone").symlink_to(tmp_path / "nothing")
    return tmp_path / "work", tmp_path / "home"


def test_folders_come_first_and_hidden_files_not_at_all(roots: tuple[Path, Path]) -> None:
    words = [entry.words for entry in entries(roots[0], roots)]
    assert words == [f"{roots[1]}/", "raw/", "b.csv · 1.5 kB", "gone · 0 B"]
    assert [entry.words for entry in entries(roots[0] / "raw", roots)] == ["../", f"{roots[1]}/", "a.csv · 0 B"]


def test_what_lies_elsewhere_or_is_gone_is_refused(roots: tuple[Path, Path]) -> None:
    for folder in (roots[0].parent / "secret", roots[0] / ".." / "secret"):
        with pytest.raises(InputError, match="not below"):
            entries(folder, roots)
    with pytest.raises(InputError, match="can't be read"):
        entries(roots[0] / "none", roots)


def test_a_file_is_chosen_by_going_to_its_folder(roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[Path] = []
    view = FileBrowser(roots, chosen.append)
    assert not view.list.options  # read when it is opened
    view.opened = True
    view.go.click()  # nothing is chosen yet
    view.list.label = "raw/"
    view.go.click()
    assert view.folder.name == "raw" and not chosen
    view.list.label = "a.csv · 0 B"
    view.go.click()
    assert chosen == [roots[0].resolve() / "raw" / "a.csv"] and not view.opened
    view.folder = roots[0] / "none"
    view.opened = True
    assert "be read" in view._where.value and "role=" in view._where.value
    monkeypatch.setattr(event_files, "MOST", 1)
    assert len(entries(roots[0], roots)) == 2
