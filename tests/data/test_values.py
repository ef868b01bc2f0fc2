"""What a column's values are: told by all of them, the same in every file and order, and never less than was written."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t4r_lab.base.errors import InputError
from t4r_lab.cli.program import main
from t4r_lab.data.formats.format_readers import read_events, read_file
from t4r_lab.data.pipeline.describe import describe
from t4r_lab.data.pipeline.inspection import inspect
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.data.read.column_types import exact_integers, infer_type, load_types, save_types
from t4r_lab.data.read.values import USUAL_MISSING, ColumnType, numbers, texts, unreadable
from t4r_lab.data.sessions.column_roles import DEVICES, LONGEST_NAME, Names
from tests import ROOT

LOO = PrepareOptions(split="leave_one_out")
QUICK = settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))

plain = st.integers(-(10**25), 10**25).map(str)
odd = st.sampled_from(
    ["0042", "42", "042", "+42", "-42", "42.0", "42.50", "42.5", "4.2e1", "-0", "0", "00", "1_000", "0x2A", " 42", "42 ",
     "9223372036854775807", "9223372036854775808", "NA", "nan", "NaN", "null", "None", "true", "True", "TRUE", "—", "?",
     "-", "inf", "1e400", "é", "e\u0301", "É", "٤٢", "a,b", 'a"b', "a;b", "a\tb", "a|b", "'", '"', "#", "\ufeff42", "\\N"]
)  # fmt: skip
free = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
value = st.one_of(plain, st.integers(0, 60).map(str), odd, free)
column = st.one_of(
    st.lists(st.integers(0, 60).map(str), min_size=8, max_size=8), st.lists(value, min_size=8, max_size=8)
)


def write(path: Path, rows: list[list[str]], quoting: int, separator: str, end: str) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator, quoting=quoting, lineterminator=end).writerows(rows)  # type: ignore[arg-type]
    return path


# ── any table, any quoting, any order, any files ────────────────────────────────────────────────


@settings(QUICK, max_examples=30)
@given(
    items=column, kinds=column, ids=st.lists(value, min_size=4, max_size=4, unique=True),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    separator=st.sampled_from(",;\t|"), end=st.sampled_from(["\n", "\r\n"]), random=st.randoms(use_true_random=False),
    files=st.integers(1, 3), blank=st.integers(0, 2),
)  # fmt: skip
def test_ids_and_categories_are_what_was_written(
    items: list[str], kinds: list[str], ids: list[str], quoting: int, separator: str, end: str, random: Any, files: int,
    blank: int,
) -> None:  # fmt: skip
    """Four sessions of four events, of which training has the first two."""
    rows = [
        [ids[n // 4], items[n % 8], str(1_700_000_000 + n), kinds[n * 3 % 8], str(n % 3 + 0.5)] for n in range(16)
    ]  # fmt: skip
    shuffled = random.sample(rows, len(rows))
    header = ["session_id", "item_id", "timestamp", "kind", "price"]
    table = [["item_id", "color"], *([item, f"color {n}"] for n, item in enumerate(dict.fromkeys(items)))]
    options = LOO.model_copy(update={"kinds": {"kind": "categorical"}, "scopes": {"kind": "event"}})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [
            write(folder / f"{n}.csv", [*[[]] * blank, header, *shuffled[n::files]], quoting, separator, end)
            for n in range(files)
        ]
        side = write(folder / "items.csv", table, quoting, separator, end)
        data = prepare(paths, folder / "out", options, items=side)
        assert sorted(map(str, data.items["item"])) == sorted({*items})
        part, words = data.part("train"), dict(data.vocabulary.values("kind").iter_rows())
        colors, color_of = data.item_table()["color"], dict(data.vocabulary.values("color").iter_rows())
        for key, first in zip(part.ids, part.offsets[:-1], strict=True):
            session = [row for row in rows if row[0] == key][:2]
            assert len(session) == 2
            codes = part.values["item_id"][first : first + 2]
            assert [str(i) for i in data.own_ids(codes)] == [row[1] for row in session]
            assert [words[int(c)] for c in part.values["kind"][first : first + 2]] == [row[3] for row in session]
            written = dict(table[1:])
            assert [color_of[int(colors[c])] for c in codes] == [written[row[1]] for row in session]


@QUICK
@given(
    floats=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1, max_size=20),
    missing=st.lists(st.sampled_from(sorted(USUAL_MISSING)).flatmap(lambda w: st.sampled_from([w, w.upper()])), max_size=2),
)  # fmt: skip
def test_numbers_are_what_was_written_and_words_are_missing(floats: list[float], missing: list[str]) -> None:
    raw = pl.Series([*map(repr, floats), *missing])
    type, odd = infer_type(raw)
    assert type.kind in ("number", "integer") and not odd
    read = numbers(raw, type)
    assert read.to_list() == [*floats, *[None] * len(missing)]
    assert not unreadable(raw, read, type).any()


@QUICK
@given(st.lists(value | st.none(), min_size=1, max_size=12), st.sampled_from(["integer", "number", "boolean", "text"]))
def test_a_value_s_text_depends_on_the_value_and_the_type_alone(values: list[str | None], kind: Any) -> None:
    whole = texts(pl.Series(values, dtype=pl.String), ColumnType(kind)).to_list()
    alone = [texts(pl.Series([v], dtype=pl.String), ColumnType(kind))[0] for v in values]
    assert whole == alone
    if kind == "text":
        assert whole == values


@QUICK
@given(st.lists(st.floats(width=32, allow_infinity=False) | st.none(), min_size=1, max_size=8))
def test_a_frame_s_decimals_have_one_text(values: list[float | None]) -> None:
    """As Python writes them, whatever else the column holds, and found again from text and from whole numbers."""
    expected = [v + 0.0 if v is not None and v == v else None for v in values]
    written = texts(pl.Series(values, dtype=pl.Float64), ColumnType("number")).to_list()
    assert [None if t is None else float(t) for t in written] == expected
    assert written == [texts(pl.Series([v], dtype=pl.Float64), ColumnType("number"))[0] for v in values]
    again = [None if v is None else repr(v) for v in expected]
    assert texts(pl.Series(again, dtype=pl.String), ColumnType("number")).to_list() == written


@QUICK
@given(st.lists(value | st.none(), min_size=1, max_size=12))
def test_whole_numbers_are_read_where_their_texts_come_back(values: list[str | None]) -> None:
    integers = exact_integers(pl.Series(values, dtype=pl.String))
    exact = all(v is None or (_is_whole(v) and str(int(v)) == v and -(2**63) <= int(v) < 2**63) for v in values)
    assert (integers is not None) == (exact and any(v is not None for v in values))
    if integers is not None:
        assert integers.cast(pl.String).to_list() == values


def _is_whole(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdigit()


# ── the type of a column ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2", "-3"], "integer"),
        (["1", " 2", "3 "], "integer"),
        (["1", "2", "n/a"], "integer"),
        (["1", None, "NA", "NA", "?"], "integer"),
        (["1", "2.5"], "number"),
        (["1e3", ".5", "+7", "-0"], "number"),
        (["2.5", "inf", "—"], "number"),
        (["007", "7.5"], "text"),  # digits behind a zero are a name
        (["0.5", "0"], "number"),
        (["12345678901234567890", "1"], "text"),  # more than 64 bits
        (["1234567890123456789012.5", "1"], "number"),
        (["1,5", "2,5"], "text"),
        (["true", "false"], "boolean"),
        (["False", None], "boolean"),
        (["true", "False"], "text"),
        (["NA", "-"], "text"),  # Namibia and a dash
        (["NA", "DE", "1"], "text"),
        (["1_0"], "text"),
        (["١"], "text"),
        ([None, None], "text"),
        ([], "text"),
    ],
)
def test_the_type_of_texts(values: list[str | None], kind: str) -> None:
    assert infer_type(pl.Series(values, dtype=pl.String))[0].kind == kind


def test_one_odd_value_far_behind_decides() -> None:
    column = ["7"] * 20_000
    for last, kind in (("8", "integer"), ("2.5", "number"), ("007", "text"), ("x", "text"), ("—", "integer")):
        assert infer_type(pl.Series([*column, last]))[0].kind == kind, last


@pytest.mark.parametrize(
    ("type", "values", "expected"),
    [
        ("integer", [38.0, None, 1.5], ["38", None, "1.5"]),
        ("integer", [True, False], ["1", "0"]),
        ("integer", ["38.0", "038", "38", "NA"], ["38", "038", "38", None]),
        ("integer", pl.Series([2**64 - 1], dtype=pl.UInt64), ["18446744073709551615"]),
        ("number", [38, 39], ["38.0", "39.0"]),
        ("number", ["38.50", "-0", "x"], ["38.5", "0.0", "x"]),
        ("number", [float("nan"), -0.0], [None, "0.0"]),
        ("number", pl.Series(["1.50"]).cast(pl.Decimal(10, 2)), ["1.5"]),
        ("single", pl.Series([0.1], dtype=pl.Float32), ["0.1"]),
        ("single", [0.1], ["0.1"]),
        ("boolean", [True, None], ["true", None]),
        ("boolean", ["TRUE", " false", "yes"], ["true", "false", "yes"]),
        ("boolean", [1, 0.0, 2], ["true", "false", "2.0"]),
        ("text", ["NA", "007"], ["NA", "007"]),
        ("text", [7, None], ["7", None]),
        ("text", pl.Series(["a", "b"], dtype=pl.Categorical), ["a", "b"]),
        ("time", pl.Series(["2026-01-31"]).str.to_datetime().dt.cast_time_unit("ns"), ["2026-01-31 00:00:00.000000"]),
        ("time", pl.Series(["2026-01-31"]).str.to_datetime().dt.cast_time_unit("ms"), ["2026-01-31 00:00:00.000000"]),
    ],
)
def test_the_one_text_of_values(type: Any, values: Any, expected: list[str | None]) -> None:
    series = values if isinstance(values, pl.Series) else pl.Series(values, strict=False)
    assert texts(series, ColumnType(type)).to_list() == expected


def test_types_are_kept_and_given_words_with_them(tmp_path: Path) -> None:
    types = {
        "a": ColumnType("integer", ("x",)), "b": ColumnType("boolean", ("x",), ("False", "True")),
        "ü.\n": ColumnType("text", ("x",)),
    }  # fmt: skip
    save_types(types, tmp_path)
    assert load_types(tmp_path) == types
    for broken in ("{", "[]", '{"missing": [], "columns": {"a": "complex"}, "truth": {}}'):
        (tmp_path / "types.json").write_text(broken)
        with pytest.raises(InputError, match=r"types\.json"):
            load_types(tmp_path)
    (tmp_path / "types.json").unlink()
    with pytest.raises(InputError, match=r"types\.json"):
        load_types(tmp_path)


# ── prepared ────────────────────────────────────────────────────────────────────────────────────


def events(tmp_path: Path, name: str = "e.csv", **columns: list[Any]) -> Path:
    """Sixteen sessions of four events, item n % 8, as CSV with more columns."""
    rows = [[n // 4, n * 3 % 8, 1_700_000_000 + 60 * n, *(c[n % len(c)] for c in columns.values())] for n in range(64)]
    return write(
        tmp_path / name, [["session_id", "item_id", "timestamp", *columns], *rows], csv.QUOTE_MINIMAL, ",", "\n"
    )


def kinds(data: Dataset) -> dict[str, str]:
    return {c.source: c.kind for c in data.schema if c.role in ("feature", "target")}


def test_the_part_a_column_plays_decides(tmp_path: Path) -> None:
    columns = {
        "size": ["38.0", "38.5", "39.0"],
        "zip": ["01234", "98765"],
        "stars": ["1", "2", "NA"],
        "land": ["NA", "DE"],
    }
    path = events(tmp_path, **columns)
    data = prepare(path, tmp_path / "a", LOO)
    assert kinds(data) == {"size": "continuous", "zip": "categorical", "stars": "categorical", "land": "categorical"}
    assert set(data.vocabulary.values("zip")["value"]) == {"01234", "98765"}
    assert set(data.vocabulary.values("stars")["value"]) == {"1", "2"}  # NA is missing among numbers
    assert set(data.vocabulary.values("land")["value"]) == {"NA", "DE"}
    data = prepare(
        path, tmp_path / "b", LOO.model_copy(update={"kinds": {"size": "categorical", "stars": "categorical"}})
    )
    assert set(data.vocabulary.values("size")["value"]) == {*columns["size"]}
    assert set(data.vocabulary.values("stars")["value"]) == {"1", "2", "NA"}  # a category is what is written
    assert {n: t.kind for n, t in data.vocabulary.types.items()} == {
        "session_id": "integer", "item_id": "integer", "timestamp": "integer", "size": "text", "zip": "text",
        "stars": "text", "land": "text",
    }  # fmt: skip


def test_a_word_for_a_missing_label_is_no_class(tmp_path: Path) -> None:
    path = events(tmp_path, bought=["0", "1", "NA"], rating=["10.0", "9.0", "?"], liked=["False", "True"])
    options = LOO.model_copy(
        update={"targets": ["bought", "rating", "liked"], "kinds": {"rating": "categorical"}}
    )  # fmt: skip
    data = prepare(path, tmp_path / "out", options)
    assert data.vocabulary.values("bought")["value"].to_list() == ["0", "1"]
    assert data.vocabulary.values("rating")["value"].to_list() == ["9.0", "10.0"]  # in the order of the numbers
    assert data.vocabulary.values("liked")["value"].to_list() == ["False", "True"]
    assert data.vocabulary.types["liked"] == ColumnType("boolean", (), ("False", "True"))


def test_given_words_are_missing_in_every_column(tmp_path: Path) -> None:
    price = ["1.5", "2", "free", "-1"]
    path = events(tmp_path, price=price, brand=["a", "free"], count=["1", "2", "3", "-1"])
    options = LOO.model_copy(update={"missing": ["free", "-1"], "scopes": {"price": "event"}})
    data = prepare(path, tmp_path / "out", options)
    assert kinds(data) == {"price": "continuous", "brand": "categorical", "count": "categorical"}
    trained = [float(price[n % 4]) for n in range(64) if n % 4 < 2]  # leave one out keeps two events of four
    assert data.schema["price"].mean == pytest.approx(np.mean(trained))
    assert data.vocabulary.values("brand")["value"].to_list() == ["a"]
    assert set(data.vocabulary.values("count_2")["value"]) == {"1", "2", "3"}
    assert data.vocabulary.types["price"].missing == ("-1", "free")
    frame = pl.DataFrame({"session_id": [1, 1], "item_id": [1, 2], "price": ["-1", "free"]})
    assert data.encode(frame).values["price"].tolist() == [0.0, 0.0]  # read as in training
    with pytest.raises(InputError, match="column 'item_id' has no item"):
        prepare(path, tmp_path / "none", LOO.model_copy(update={"missing": ["3"]}))


def test_what_kept_a_column_from_being_numeric_is_said(tmp_path: Path) -> None:
    price = [str(n + 0.5) for n in range(30)] + ["free", "ask us"]
    path = events(tmp_path, price=price, code=["007", *map(str, range(10, 40))])
    data = prepare(path, tmp_path / "out", LOO)
    assert kinds(data) == {"price": "categorical", "code": "categorical"}
    assert data.profile["columns_as_text"] == {"price": [["ask us", 2], ["free", 2]], "code": [["007", 3]]}
    description = " ".join(describe(data).split())
    assert "column 'price' is text: nearly all values are numbers, but not 'ask us' (2), 'free' (2)" in description
    readings = {r.name: r for r in inspect(read_events(path), LOO)[0]}
    assert "but not 'ask us' (2), 'free' (2)" in readings["price"].note
    advice = LOO.model_copy(update={"missing": ["ask us", "free"]})  # as it says
    assert kinds(prepare(path, tmp_path / "again", advice))["price"] == "continuous"
    assert {r.name: r.kind for r in inspect(read_events(path), advice)[0]}["price"] == "continuous"


@pytest.mark.parametrize(
    "price",
    [
        ["3,50", "12,05", "7,25"],
        ["3", "3,5", "12"],
        ["1,234", "12,345,678"],
        ["$3.50", "$12"],
        ["1.234,50 €"],
        ["5 %", "12%"],
    ],
)
def test_numbers_written_for_people_are_said(tmp_path: Path, price: list[str]) -> None:
    path = events(tmp_path, price=price, note=["a,b", "1,2,x", "7"], version=["1.2.3", "10.0.1", "2.0.0"])
    data = prepare(path, tmp_path / "out", LOO)
    assert [*data.profile["columns_as_text"]] == ["price"]
    odd = next(p for p in price if not p.isdigit())
    description = " ".join(describe(data).split())
    assert "column 'price' is text: as numbers can't be read" in description
    assert repr(odd) in description
    assert "write digits with a point alone, such as 1234.5" in description
    assert kinds(prepare(events(tmp_path, price=["1234.5", "3"]), tmp_path / "out", LOO))["price"] == "continuous"


def test_a_column_that_holds_nothing_is_left_out(tmp_path: Path) -> None:
    path = events(tmp_path, gone=["", ""], word=["x"], kept=[""])
    data = prepare(path, tmp_path / "out", LOO.model_copy(update={"missing": ["x"], "kinds": {"kept": "categorical"}}))
    assert data.profile["columns_left_out"] == {"gone": "holds nothing", "word": "holds nothing"}
    assert kinds(data) == {"kept": "categorical"}


def test_rows_of_one_item_that_differ_are_said(tmp_path: Path) -> None:
    path = events(tmp_path)
    items = pd.DataFrame({"item_id": [0, 1, 1, 2, 2], "color": ["a", "b", "c", "d", "d"]})
    data = prepare(path, tmp_path / "out", LOO, items=items)
    assert data.profile["reading"] == [
        "items: a row says something else than the last row of the same item, which counts"
    ]
    words = dict(data.vocabulary.values("color").iter_rows())
    assert {item: words.get(int(c)) for item, c in data.items.select("item", "color").iter_rows() if item < 3} == {
        0: "a", 1: "c", 2: "d",
    }  # fmt: skip


def test_the_remedies_for_a_text_among_numbers_work(tmp_path: Path) -> None:
    path = events(tmp_path, price=["1.5", "N/A", "2", "ask us"])
    options = LOO.model_copy(update={"kinds": {"price": "continuous"}})
    with pytest.raises(InputError, match=r"line 5: 'ask us' .* --missing 'ask us' .* --kinds price=categorical"):
        prepare(path, tmp_path / "out", options)
    for remedy, kind in (({"missing": ["ask us"]}, "continuous"), ({"kinds": {"price": "categorical"}}, "categorical")):
        assert kinds(prepare(path, tmp_path / "out", options.model_copy(update=remedy)))["price"] == kind


def test_files_of_one_kind_are_read_by_all_of_them(tmp_path: Path) -> None:
    header, t = ["session_id", "item_id", "timestamp", "price"], 1_700_000_000
    one = write(tmp_path / "1.csv", [header, *[["1", str(i), str(t + i), str(i)] for i in range(40, 44)]], 0, ",", "\n")
    two = write(
        tmp_path / "2.csv", [header, *[["2", i, str(t), "2.5"] for i in ("0042", "42", "43", "-")]], 0, ",", "\n"
    )
    for files, test in (([one, two], None), ([two, one], None), (one, two)):
        options = PrepareOptions(
            unseen_items="keep", valid_share=0.4, split="leave_one_out" if test is None else "time"
        )
        frame = read_events(files)
        assert test is not None or frame.frame["item_id"].dtype == pl.String
        data = prepare(files if test is None else [one, *_shards(tmp_path)], tmp_path / "out", options, test=test)
        assert {"0042", "42"} <= set(data.items["item"])
        assert data.schema["price"].kind == "continuous"


def _shards(tmp_path: Path) -> list[Path]:
    header, t = ["session_id", "item_id", "timestamp", "price"], 1_700_000_000
    rows = [[str(s), str(i), str(t + 100 * s + i), str(i)] for s in range(3, 9) for i in range(40, 44)]
    return [write(tmp_path / "more.csv", [header, *rows], 0, ",", "\n")]


# ── frames ──────────────────────────────────────────────────────────────────────────────────────


def test_a_frame_s_texts_are_text_and_its_numbers_numbers(tmp_path: Path) -> None:
    n = np.arange(64)
    frame = pd.DataFrame({"session_id": n // 4, "item_id": n * 3 % 8, "timestamp": 1.7e9 + n})
    frame["text"], frame["number"] = [f"{i % 3}.5" for i in n], n % 3 + 0.5
    frame["mixed"] = pd.Series([i % 3 if i % 2 else f"0{i % 3}" for i in n], dtype=object)
    data = prepare(frame, tmp_path / "out", LOO)
    assert kinds(data) == {"text": "categorical", "number": "continuous", "mixed": "categorical"}
    assert set(data.vocabulary.values("mixed")["value"]) == {"0", "1", "2", "00", "01", "02"}


def test_numbers_beside_texts_of_a_frame_are_what_a_file_would_have(tmp_path: Path) -> None:
    """pandas reads a file in parts: whole numbers of one with a gap are decimal, those of another are texts."""
    n = np.arange(64)
    frame = pd.DataFrame({"session_id": n // 4, "timestamp": 1.7e9 + n})
    frame["item_id"] = pd.Series([float(i % 8) if i < 32 else str(i % 8) for i in n], dtype=object)
    frame["price"] = pd.Series([1 if i % 2 else 2.5 for i in n], dtype=object)  # numbers of both types are numbers
    frame["tone"] = pd.Series([None if i % 4 == 3 else 0.5 if i % 2 else "loud" for i in n], dtype=object)
    data = prepare(frame, tmp_path / "out", LOO)
    assert sorted(data.vocabulary.items["item"]) == [str(i) for i in range(8)]
    assert kinds(data) == {"price": "continuous", "tone": "categorical"}
    assert set(data.vocabulary.values("tone")["value"].drop_nulls()) == {"loud", "0.5"}


@pytest.mark.parametrize("value", [object(), {"a": 1}, b"ab", ["a"]])
def test_what_is_no_value_beside_texts_is_refused(value: Any) -> None:
    """Its text would be an address in memory, another one each time, or a program's spelling."""
    with pytest.raises(
        InputError, match=r"^events: column 'a' holds (object|dict|bytes|list) beside texts; make it texts or"
    ):
        read_events(pd.DataFrame({"a": [1, "x", value], "b": [1, 2, 3]}))


def test_a_table_of_items_joins_by_value_whatever_its_type(tmp_path: Path) -> None:
    path = events(tmp_path)
    for ids in (pd.Series([*range(8), None]), pd.Series([str(i) for i in range(9)]), pd.Series(range(9), dtype="int8")):
        items = pd.DataFrame({"item_id": ids, "color": [f"c{i}" for i in range(9)]})
        data = prepare(path, tmp_path / "out", LOO, items=items)
        words = dict(data.vocabulary.values("color").iter_rows())
        colors = {item: words[int(color)] for item, color in data.items.select("item", "color").iter_rows()}
        assert colors == {i: f"c{i}" for i in range(8)}


# ── names ───────────────────────────────────────────────────────────────────────────────────────


@QUICK
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=300), max_size=12))
def test_any_names_become_files_that_differ_by_more_than_case(given: list[str]) -> None:
    names = Names()
    unique = [names.give(name) for name in [*given, *given, "Size", "size", "SIZE", "con"]]
    assert len({name.casefold() for name in unique}) == len(unique)
    assert all(0 < len(name.encode()) <= LONGEST_NAME and "/" not in name and "." not in name for name in unique)
    assert not {name.casefold() for name in unique} & DEVICES


def test_columns_of_any_name_are_prepared(tmp_path: Path) -> None:
    names = ["Brand", "brand", "x" * 400, "x" * 401, "a\nb", 'say "hi"', "", "CON", "keys", "training", "é", "日本"]
    path = events(tmp_path, **{name: ["red", "green", "blue"] for name in names})
    data = prepare(path, tmp_path / "out", LOO)
    assert [c.source or c.name for c in data.schema if c.role == "feature"] == [n or "column 10" for n in names]
    again = Dataset.open(data.path).encode(read_file(path).frame)
    assert all((values > 1).all() for name, values in again.values.items() if name != "item_id")


def test_the_command_line_takes_words_and_names_of_any_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = events(tmp_path, **{"a=b": ["x", "y"], "price": ["1.5", "-", "gone", "-1"]}), tmp_path / "out"
    words = ["--missing", "gone", "-1", "--kinds", "a=b=categorical", "--split", "leave_one_out"]
    assert main(["prepare", str(path), "--out", str(out), *words]) == 0
    assert kinds(Dataset.open(out)) == {"a=b": "categorical", "price": "continuous"}
    assert Dataset.open(out).schema["price"].mean == 1.5
    assert "price" in capsys.readouterr().out


def test_time_grows_with_the_columns_and_no_more(tmp_path: Path) -> None:
    """Calls of Python per column, which a busy machine doesn't change."""
    import cProfile
    import pstats

    calls = {}
    for count in (100, 400):
        path = events(tmp_path, **{f"c{n}": [str(n % 7), "1.5"] for n in range(count)})
        with cProfile.Profile() as profile:
            prepare(path, tmp_path / "out", LOO)
        calls[count] = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    assert calls[400] < 4.4 * calls[100]


# ── paths ───────────────────────────────────────────────────────────────────────────────────────

NASTY = "[1] a*b? {c}"


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl", "inter", "csv.gz", "txt"])
def test_a_path_is_never_a_pattern(tmp_path: Path, ending: str) -> None:
    """The file of that very name is read, beside one that it would match as a pattern, and under such a folder."""
    folder = tmp_path / "[2024] sh*p?"
    folder.mkdir()
    (tmp_path / "2 shop").mkdir()
    frame = pl.DataFrame({"session_id": [n // 4 for n in range(32)], "item_id": [n % 8 + 10 for n in range(32)]})
    for path, more in ((folder / f"clicks[1].{ending}", 0), (folder / f"clicks1.{ending}", 500)):
        shifted = frame.with_columns(pl.col("item_id") + more)
        if ending == "parquet":
            shifted.write_parquet(path)
        elif ending == "jsonl":
            shifted.write_ndjson(path)
        elif ending == "txt":
            path.write_text(
                "".join(f"{s} {' '.join(str(i + more) for i in range(10, 14 + s % 2))}\n" for s in range(8))
            )
        else:
            import gzip

            text = shifted.write_csv(separator="," if ending.startswith("csv") else "\t")
            path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    data = prepare(folder / f"clicks[1].{ending}", folder / NASTY, LOO)
    assert max(int(i) for i in data.items["item"]) < 20
    opened = Dataset.open(folder / NASTY)
    assert len(opened.part("test")) and opened.vocabulary.item_table() == {}


def test_only_two_places_read_files_by_polars() -> None:
    """Each says that a path is no pattern."""
    package = ROOT / "t4r_lab"
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for call in ("pl.read_csv(", "pl.read_parquet("):
            for after in text.split(call)[1:]:
                assert "glob=False" in after.partition("\n\n")[0], path
        assert "pl.scan_" not in text, path


@pytest.mark.parametrize("twin", ["p1 ", " p1", "p1\u00a0", "p1\u200b", "\ufeffp1"])
def test_ids_and_categories_that_look_alike_stay_apart_and_are_told(twin: str, tmp_path: Path) -> None:
    items = ["p1", "p2", twin, "p3", "p4"]
    frame = pl.DataFrame(
        {
            "session_id": [f"{n // 4}" for n in range(80)],
            "item_id": [items[n % 5] for n in range(80)],
            "color": [["red", twin, "p1"][n % 3] for n in range(80)],
        }
    )
    data = prepare(frame, tmp_path / "out", LOO)
    assert set(data.items["item"]) == {*items}
    apart = f"but for spaces or invisible characters: {twin!r} is not 'p1'"
    mirrored = f"but for spaces or invisible characters: 'p1' is not {twin!r}"
    assert data.profile["reading"] == [
        f"1 value of item_id looks like another one, {apart}",
        f"1 value of color looks like another one, {mirrored}",
    ]


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["True", "true", "False"], "classes 'True' and 'true'"),
        (["1", "0", "true"], "classes '1' and 'true'"),
        (["yes", "no", "Yes"], "classes 'yes' and 'Yes'"),
        (["yes", "no", "no "], "classes 'no' and 'no '"),
        (["yes", "no", "maybe"], ""),
        (["True", "False", "True"], ""),
    ],
)
def test_a_class_is_written_in_one_way(classes: list[str], words: str, tmp_path: Path) -> None:
    rows = "".join(f"{n // 4},{n % 7},{classes[n % 3]}\n" for n in range(80))
    (tmp_path / "e.csv").write_text("session_id,item_id,good\n" + rows)
    options = LOO.model_copy(update={"targets": ["good"]})
    if words:
        with pytest.raises(InputError, match=f"{words} of the label column 'good' differ only in writing"):
            prepare(tmp_path / "e.csv", tmp_path / "out", options)
    else:
        assert prepare(tmp_path / "e.csv", tmp_path / "out", options).schema["good"].size == len({*classes}) + 2
