"""A comparison as a file, read back by independent readers."""

from __future__ import annotations

import csv
import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.image import imread

from t4r_lab.base.errors import InputError
from t4r_lab.lab.panels.runs.comparison import ComparisonController, links
from t4r_lab.lab.parts.theme import Theme
from t4r_lab.lab.state.background import Background
from t4r_lab.runs.analyze import Analysis
from t4r_lab.runs.compare import Comparison
from t4r_lab.runs.compared.export import FORMS, as_csv, as_html, write
from t4r_lab.tracking import RunRow
from tests.support.panels import until

EVIL = '<script>alert(1)</script> $x$, "a"\nb'


@pytest.fixture
def analysis() -> Analysis:
    runs = [RunRow(f"id{i}", name, "FINISHED", 0.0, 1.0, "gru", "clm", "/d", "d") for i, name in enumerate(("a", EVIL))]
    metrics = {"a": {"ndcg@10": 0.25, "auc": 0.5}, EVIL: {"ndcg@10": 0.125}, "popularity": {"ndcg@10": 0.0625}}
    specs: dict[str, dict[str, object]] = {"train.seed": {"a": 1, EVIL: 2}}
    compared = Comparison(runs, metrics, specs, [], ["not paired"], {EVIL: ["the loss is high"]}, ["train.seed"])
    curves = {"a": {"ndcg@10": [(1, 0.2), (2, 0.25)]}, EVIL: {"train/loss": [(1, 3.0)]}}
    return Analysis(compared, "ndcg@10", ["a", EVIL], {"a": {"ndcg@10": (0.2, 0.3)}}, curves, {}, {})


def test_a_table_has_every_metric_interval_and_knob(analysis: Analysis, tmp_path: Path) -> None:
    with write(analysis, tmp_path / "c.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "name": "a",
        "run_id": "id0",
        "ndcg@10": "0.25",
        "ndcg@10 low": "0.2",
        "ndcg@10 high": "0.3",
        "auc": "0.5",
        "train.seed": "1",
    }
    assert [row["name"] for row in rows] == ["a", EVIL, "popularity"]
    assert (rows[2]["run_id"], rows[2]["ndcg@10 low"], rows[2]["train.seed"], rows[1]["auc"]) == ("", "", "", "")


def test_a_report_is_one_file_in_which_no_name_is_a_tag(analysis: Analysis, tmp_path: Path) -> None:
    class Tags(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.seen: set[str] = set()
            self.text = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.seen.add(tag)
            assert not any((value or "").startswith("http") for _, value in attrs)

        def handle_data(self, data: str) -> None:
            self.text += data

    reader = Tags()
    reader.feed(write(analysis, tmp_path / "c.HTML").read_text(encoding="utf-8"))
    assert "script" not in reader.seen
    for words in (EVIL, "0.250", "0.200 to 0.300", "not paired", "the loss is high", "train.seed", "id1"):
        assert words in reader.text


def test_a_picture_shows_something(analysis: Analysis, tmp_path: Path) -> None:
    pixels = imread(write(analysis, tmp_path / "c.png"))
    assert min(pixels.shape[:2]) > 300
    assert len({tuple(color) for color in pixels.reshape(-1, pixels.shape[2]).round(2)}) > 20
    bare = replace(analysis, curves={}, intervals={})
    assert write(bare, tmp_path / "bare.png").stat().st_size > 1000


def test_what_cannot_be_written_is_refused(analysis: Analysis, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.csv, \.png, \.html"):
        write(analysis, tmp_path / "c.xlsx")
    with pytest.raises(InputError, match="cannot be written"):
        write(analysis, tmp_path / "missing" / "c.csv")


def test_the_lab_links_to_the_same_files(analysis: Analysis, tmp_path: Path) -> None:
    link = re.compile(r'download="(.+?)" href="data:(.+?);base64,(.+?)"')
    made = {"comparison.csv": as_csv(analysis), "comparison.html": as_html(analysis)}
    shown = {name: (kind, b64decode(content)) for name, kind, content in link.findall(links(made))}
    assert shown == {
        "comparison.csv": ("text/csv", made["comparison.csv"]),
        "comparison.html": ("text/html", made["comparison.html"]),
    }


def test_export_makes_every_form_of_the_comparison_shown(analysis: Analysis, tmp_path: Path) -> None:
    comparing = ComparisonController(tmp_path, Background(), Theme())
    comparing.view.analysis = analysis
    comparing.view.export.click()
    until(lambda: len(comparing.view.files) == len(FORMS))
    assert not comparing.view.export.disabled
    assert comparing.view.files["comparison.csv"] == as_csv(analysis)
