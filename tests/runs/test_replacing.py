"""Prepared data that runs or studies refer to are not replaced unasked: from Python, the command line and the Lab."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import t4r_lab
from t4r_lab import tracking
from t4r_lab.cli.program import main
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.lab.app import Lab
from t4r_lab.runs.prepare_data import NAMED, Referred, prepare, referring
from t4r_lab.tracking.study_runs import start_study
from tests.support.panels import until
from tests.support.small import small_spec


def events(sessions: int = 40) -> pl.DataFrame:
    return pl.DataFrame(
        {"session": s, "item": (s + t) % 9, "time": s * 100 + t} for s in range(sessions) for t in range(4)
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with prepared data called ``shop``; nothing is recorded yet."""
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path / "home"))
    events().write_csv(tmp_path / "same.csv")
    events(50).write_csv(tmp_path / "other.csv")
    prepare(events(), tmp_path / "home" / "data" / "shop")
    return tmp_path / "home"


def record(home: Path, name: str = "mine", data: Path | None = None) -> None:
    path = data or home / "data" / "shop"
    tracking.start(home, small_spec(path, name=name), Dataset.open(path)).finish("FINISHED", "")


def test_data_that_a_run_refers_to_stay_until_forced(home: Path) -> None:
    shop = home / "data" / "shop"
    before = Dataset.open(shop).digest
    record(home)
    with pytest.raises(Referred, match="run mine refers to; give another --out, or --force"):
        t4r_lab.prepare(events(50), shop)
    assert Dataset.open(shop).digest == before and [p.name for p in shop.parent.iterdir()] == ["shop"]
    assert t4r_lab.prepare(events(), shop).digest == before  # the same content takes its own place
    assert t4r_lab.prepare(events(50), home / "data" / "fresh").path.name == "fresh"
    new = t4r_lab.prepare(events(50), shop, force=True).digest
    assert new != before
    t4r_lab.prepare(events(60), shop)  # to those nothing refers


def test_studies_refer_too_and_many_are_counted(home: Path) -> None:
    shop = home / "data" / "shop"
    start_study(home, "search", str(shop), Dataset.open(shop).digest, {}, "", "")
    assert referring(shop, Dataset.open(shop).digest) == ["study search"]
    for number in range(NAMED + 2):
        record(home, f"r{number}")
    with pytest.raises(Referred, match=r"run r6, .* and 3 more refer to"):
        prepare(events(50), shop)


def test_a_run_on_a_copy_does_not_need_these_but_one_whose_folder_moved_may(home: Path, tmp_path: Path) -> None:
    shop, copy = home / "data" / "shop", tmp_path / "copy"
    shutil.copytree(shop, copy)
    record(home, data=copy)
    digest = Dataset.open(shop).digest
    assert referring(shop, digest) == [] and referring(copy, digest) == ["run mine"]
    shutil.rmtree(copy)
    assert referring(shop, digest) == ["run mine"]


def test_the_home_that_a_folder_lies_in_is_asked_too(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(home)
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path / "another"))
    with pytest.raises(Referred, match="run mine"):
        prepare(events(50), home / "data" / "shop")
    assert not (tmp_path / "another").exists()  # asking makes no home


def test_a_record_that_cannot_be_read_holds_up_no_fresh_folder(home: Path) -> None:
    (home / "mlflow.db").write_bytes(b"no database" * 100)
    prepare(events(50), home / "data" / "fresh")
    with pytest.raises(Referred, match="can't be read"):
        prepare(events(50), home / "data" / "shop")
    prepare(events(50), home / "data" / "shop", force=True)


def test_the_command_line_wants_force(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(home)
    out = ["--out", str(home / "data" / "shop")]
    assert main(["prepare", str(tmp_path / "other.csv"), *out]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: ") and "run mine refers to" in message and "--force" in message
    assert main(["prepare", str(tmp_path / "same.csv"), *out]) == 0
    assert main(["prepare", str(tmp_path / "other.csv"), *out, "--force"]) == 0
    assert Dataset.open(home / "data" / "shop").profile["parts"]["train"]["sessions"] > 30


def test_a_fresh_folder_needs_no_record(home: Path, tmp_path: Path) -> None:
    """MLflow takes seconds to import."""
    code = (
        "import sys; from t4r_lab.cli.program import main; "
        f"main(['prepare', {str(tmp_path / 'same.csv')!r}, '--out', {str(tmp_path / 'new')!r}]); "
        "sys.exit('mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_the_lab_asks_and_the_second_press_replaces(home: Path, tmp_path: Path) -> None:
    record(home)
    shop = home / "data" / "shop"
    before = Dataset.open(shop).digest
    lab = Lab(home)
    try:
        until(lambda: lab.data.summary is not None and not lab.data.doing)
        form = lab.data.form
        form.source.value = str(tmp_path / "other.csv")
        until(lambda: form.preview and not form.doing)
        form.name.value = "shop"
        for word in ("asking", "again"):
            form.button.click()
            until(lambda: form.asking)
            assert form.button.description == "Replace them" and not form.button.disabled, word
            assert "run mine" in form._message.value and Dataset.open(shop).digest == before
            form.name.value = "another"  # whatever is edited takes the question back
            assert not form.asking and form.button.description == "Prepare"
            form.name.value = "shop"
        form.button.click()
        until(lambda: form.asking)
        form.button.click()
        until(lambda: Dataset.open(shop).digest != before and not form.doing)
        until(lambda: lab.data.summary is not None and lab.data.summary.path == shop)
        assert not form.asking and not form.refusal
    finally:
        lab.close()
