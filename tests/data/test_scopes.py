"""What a column depends on, said by the user instead of found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.cli import program as main
from t4r_lab.data import Dataset
from t4r_lab.data.pipeline.describe import left_out
from t4r_lab.data.pipeline.inspection import inspect
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.read.raw_table import RawTable

EVENTS = pl.DataFrame(
    {
        "session_id": [0, 0, 1, 1, 1, 2, 2, 3, 3],
        "item_id": [7, 8, 8, 7, 9, 9, 7, 7, 8],
        "brand": [None, "x", "y", "p", "z", "z", "q", "p", "x"],  # of 7: none, p, q, p; of 8: x, y, x; of 9: z, z
        "shelf": ["a", "b", "b", "a", "c", "c", "a", "a", "b"],  # by the item
        "price": [1, 2, 3, 3, 4, 5, 5, 6, 6],
        "tags": [["u"], ["v"], ["w", "v"], ["u"], [], [], ["u"], ["u"], ["v"]],  # of 8 once otherwise
        "clicked": [0, 1, 1, 1, 0, 0, 1, 1, 1],
    }
)


def prepared(folder: Path, columns: list[str], **options: Any) -> Dataset:
    settings = {"features": columns, "split": "leave_one_out", **options}
    return prepare(EVENTS.select("session_id", "item_id", *columns), folder / "d", PrepareOptions.parse(settings))


def by_item(data: Dataset, column: str) -> list[Any]:
    """The user's own values of a column that is held by item, in the order of item ids."""
    words = dict(data.vocabulary.values(column).iter_rows())
    stored = data.vocabulary.items.sort("item")[column].to_list()
    return [[words[v] for v in row] if isinstance(row, list) else words[row] for row in stored]


def test_an_item_keeps_its_first_value_that_is_known(tmp_path: Path) -> None:
    data = prepared(tmp_path, ["brand"], scopes={"brand": "item"})
    assert data.schema["brand"].scope == "item"
    assert by_item(data, "brand") == ["p", "x", "z"]
    assert left_out(data.profile) == ["3 values of brand that differ from its item's first"]  # none, y, q


def test_a_session_keeps_the_value_of_its_first_event(tmp_path: Path) -> None:
    data = prepared(tmp_path, ["price"], scopes={"price": "session"})
    assert data.schema["price"].scope == "session"
    words = dict(data.vocabulary.values("price").iter_rows())
    assert [words[v] for v in data.part("train").context["price"]] == ["1", "3", "5", "6"]
    assert left_out(data.profile) == ["2 values of price that differ from its session's first"]


def test_what_depends_on_the_item_by_chance_stays_with_the_events(tmp_path: Path) -> None:
    assert prepared(tmp_path, ["shelf"]).schema["shelf"].scope == "item"
    data = prepared(tmp_path, ["shelf"], scopes={"shelf": "event"})
    words = dict(data.vocabulary.values("shelf").iter_rows())
    assert data.schema["shelf"].scope == "event" and not left_out(data.profile)
    assert [words[v] for v in data.part("train").values["shelf"]] == ["a", "b", "b", "c", "a", "a", "b"]
    assert [words[v] for v in data.part("test").values["shelf"]] == ["b", "a", "c"]  # of the one that is long enough


def test_lists_that_differ_are_refused_until_the_item_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="take each item's first with --scopes tags=item"):
        prepared(tmp_path, ["tags"])
    data = prepared(tmp_path, ["tags"], scopes={"tags": "item"})
    assert by_item(data, "tags") == [["u"], ["v"], []]
    assert left_out(data.profile) == ["1 values of tags that differ from its item's first"]


ODD: list[tuple[dict[str, Any], str]] = [
    ({"scopes": {"brnd": "item"}}, "column 'brnd' is missing (--scopes); did you mean 'brand'"),
    ({"scopes": {"brand": "week"}}, "scopes.brand"),
    ({"scopes": {"item_id": "event"}}, "column 'item_id' is neither a feature nor a label; take it out of --scopes"),
    ({"scopes": {"brand": "item"}, "ignore": ["brand"], "features": None}, "column 'brand' is also asked for"),
    ({"scopes": {"clicked": "item"}, "targets": ["clicked"]}, "label column 'clicked' can't depend on the item"),
    ({"scopes": {"tags": "event"}}, "'tags' holds lists, which are kept by item; use --scopes tags=item"),
]


@pytest.mark.parametrize(("options", "words"), ODD)
def test_what_cannot_be_is_refused_in_a_line(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    columns = ["tags"] if "tags" in options["scopes"] else ["brand", "price", "clicked"]
    with pytest.raises(InputError) as refused:
        prepared(tmp_path, columns, **options)
    assert words in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "d").exists()


def test_columns_of_another_table_depend_on_its_rows(tmp_path: Path) -> None:
    items = pl.DataFrame({"item_id": [7, 8, 9], "color": ["red", "red", "blue"]})
    options = PrepareOptions(split="leave_one_out", scopes={"color": "event"})
    with pytest.raises(InputError, match="column 'color' comes with its item; use --scopes color=item"):
        prepare(EVENTS.select("session_id", "item_id"), tmp_path / "d", options, items=items)


def test_the_preview_says_how_many_events_differ() -> None:
    options = PrepareOptions(split="leave_one_out", ignore=["tags"], scopes={"brand": "item", "shelf": "event"})
    readings = {r.name: r for r in inspect(RawTable(EVENTS), options)[0]}
    assert (readings["brand"].of, readings["brand"].note) == ("item", "3 events differ; the first value counts")
    assert (readings["shelf"].of, readings["shelf"].note) == ("event", "")


def test_the_command_line_says_it_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    EVENTS.drop("tags").write_csv(tmp_path / "e.csv")
    words = ["prepare", str(tmp_path / "e.csv"), "--out", str(tmp_path / "d"), "--split", "leave_one_out"]
    assert main.main([*words, "--scopes", "brand=item", "shelf=event", "--json"]) == 0
    features = json.loads(capsys.readouterr().out)["profile"]["features"]
    assert (features["brand"]["scope"], features["shelf"]["scope"]) == ("item", "event")
    assert main.main([*words, "--scopes", "brand"]) == 2
    assert "expected COLUMN=VALUE; write for example --scopes brand=item" in capsys.readouterr().err
