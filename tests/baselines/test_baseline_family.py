"""One more baseline is one more file: it stands beside every run, in the record, comparisons and the Lab."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from t4r_lab.baselines.baseline_table import BASELINES, words
from tests.support.pages import touched, use

PAGE = "add-a-baseline.md"
USE = """
import json, sys
from pathlib import Path
import polars as pl
import t4r_lab
from t4r_lab.baselines.baseline_table import words
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.lab.panels.runs.run_columns import headings
from t4r_lab.runs.compare import compare

home = Path(sys.argv[1])
rows = {"session_id": [i // 5 for i in range(600)], "item_id": [(i * i + i // 5) % 11 for i in range(600)], "timestamp": list(range(600))}
t4r_lab.prepare(pl.DataFrame(rows), home / "data")
spec = t4r_lab.RunSpec.parse({
    "data": {"path": str(home / "data"), "max_length": 6}, "evaluation": {"cutoffs": [3]},
    "model": {"body": {"kind": "gru", "d_model": 8, "n_layer": 1}}, "train": {"epochs": 1},
})
result = t4r_lab.run(spec, home=home / "home")
sessions = Dataset.open(home / "data").part("valid")
print(json.dumps({
    "baselines": result.baselines["valid"],
    "sessions": [sessions.values["item_id"][a:b].tolist() for a, b in zip(sessions.offsets, sessions.offsets[1:])],
    "compared": list(compare([result.run_id], home=home / "home").metrics),
    "headings": [heading.key for heading in headings("recall@3")],
    "words": words("repeat"),
}))
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process says that runs a copy of the package with the baseline of the page."""
    return use([PAGE], USE, tmp_path_factory.mktemp("package"))


def test_a_baseline_touches_one_file() -> None:
    assert touched(PAGE) == ["t4r_lab/baselines/repeat_baseline.py"]


def test_a_new_baseline_is_judged_as_by_hand(used: dict[str, Any]) -> None:
    hits = []
    for *before, target in used["sessions"]:
        latest = list(dict.fromkeys(reversed(before)))
        hits.append(target in latest[:3])
    assert 0 < np.mean(hits) < 1
    assert used["baselines"]["repeat"]["recall@3"] == pytest.approx(np.mean(hits))


def test_a_new_baseline_is_compared_and_shown(used: dict[str, Any]) -> None:
    assert set(used["baselines"]) == {*BASELINES, "repeat"} <= set(used["compared"])
    assert {*BASELINES, "repeat"} <= set(used["headings"])
    assert used["words"] == "own items again"


def test_a_baseline_of_another_version_is_called_by_its_name() -> None:
    assert [words(name) for name in (*BASELINES, "gone")] == ["popularity", "successor counts", "gone"]
