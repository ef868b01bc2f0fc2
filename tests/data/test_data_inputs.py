"""Raw input of many forms, good and bad: what is read, and what is refused with the place named."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.data.formats.format_readers import read_events, read_file
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.data.read.time_forms import time_form
from t4r_lab.data.read.times import to_seconds
from t4r_lab.data.sessions.codes import constant_by, factorize, order_by
from t4r_lab.data.sessions.sessionize import find_sessions

LOO = PrepareOptions(split="leave_one_out")


def clicks(n: int = 60, **more: Any) -> pl.DataFrame:
    """Sessions of four events over nine items, in order."""
    row = np.arange(n)
    return pl.DataFrame({"session_id": row // 4, "item_id": row * 7 % 9, "timestamp": row * 60.0 + 1e9, **more})


def sequences(data: Dataset, part: str = "test") -> dict[str, list[Any]]:
    sessions = data.part(part)
    return {
        key: data.own_ids(sessions.values["item_id"][a:b])
        for key, a, b in zip(sessions.ids, sessions.offsets[:-1], sessions.offsets[1:], strict=True)
    }


# ── codes and orders ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([5, 3, None, 5, -2]),
        pl.Series([10**15, 3, None, 10**15]),
        pl.Series(["b", None, "a", "b"]),
        pl.Series(["b", None, "a", "b"], dtype=pl.Categorical),
        pl.Series([1.5, float("nan"), None, 1.5]),
        pl.Series([True, False, None]),
        pl.Series([200, 0, None], dtype=pl.UInt8),
        pl.Series([-120, 127], dtype=pl.Int8),
        pl.Series([], dtype=pl.Int64),
        pl.Series([None, None], dtype=pl.Int64),
    ],
)
def test_codes_stand_for_their_values(values: pl.Series) -> None:
    codes, table = factorize(values)
    back = [None if c < 0 else table[int(c)] for c in codes]
    assert back == [None if v is None or v != v else v for v in values.to_list()]
    assert table.n_unique() == len(table)


def test_rows_are_ordered_as_a_stable_sort_orders_them() -> None:
    rng = np.random.default_rng(0)
    group, time = rng.integers(0, 20, 500).astype(np.int32), rng.integers(0, 30, 500).astype(float)
    np.testing.assert_array_equal(order_by(group, time), np.lexsort((np.arange(500), time, group)))
    np.testing.assert_array_equal(order_by(group, np.sort(time)), np.lexsort((np.arange(500), group)))
    np.testing.assert_array_equal(order_by(np.sort(group), None), np.arange(500))


def test_sessions_of_an_inactivity_gap_by_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    user, time = rng.integers(0, 8, 300).astype(np.int32), rng.random(300) * 1000
    log = find_sessions(user, np.arange(300, dtype=np.int32), time, 300, 20.0)
    expected, last = [], {}
    for row in np.lexsort((time, user)):
        if user[row] in last and time[row] - last[user[row]] <= 20.0:
            expected[-1].append(row)
        else:
            expected.append([row])
        last[user[row]] = time[row]
    assert [log.row[a:b].tolist() for a, b in zip(log.offsets[:-1], log.offsets[1:], strict=True)] == expected
    assert log.number is not None
    for u in range(8):
        assert log.number[log.group == u].tolist() == list(range(1, (log.group == u).sum() + 1))


def test_a_value_that_depends_on_its_key() -> None:
    key = np.array([0, 1, 0, 2], np.int32)
    assert constant_by(key, np.array([5, 6, 5, 6]))
    assert not constant_by(key, np.array([5, 6, 7, 6]))


# ── times ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (["2014-04-07T10:51:09.277Z", "2014-04-07T10:51:09Z"], [1396867869.277, 1396867869.0]),
        (["2019-10-01 00:00:00 UTC", "2019-10-01 00:00:01 UTC"], [1569888000.0, 1569888001.0]),
        (["2014-04-07 12:51:09+02:00", "2014-04-07 10:51:09"], [1396867869.0, 1396867869.0]),
        (["2014-04-07", "2014/04/07 10:51"], [1396828800.0, 1396867860.0]),
        (["1396867869.5", "1396867870"], [1396867869.5, 1396867870.0]),
        ([1396867869277, 1396867869000], [1396867869.277, 1396867869.0]),
        ([1396867869277000, 1396867869000000], [1396867869.277, 1396867869.0]),
        ([1396867869277000000, 1396867869000000000], [1396867869.277, 1396867869.0]),
        ([3, 7], [3.0, 7.0]),
        ([None, "2014-04-07"], [None, 1396828800.0]),
        (["soon", "later"], [None, None]),
    ],
)
def test_times_of_any_form(raw: list[Any], seconds: list[float | None]) -> None:
    column = pl.Series("at", raw)
    parsed = to_seconds(column, time_form([RawTable(column.to_frame())], "at")).to_list()
    assert [s if s is None else round(s, 3) for s in parsed] == seconds


def test_datetimes_with_and_without_a_zone() -> None:
    naive = pl.Series(["2014-04-07 10:51:09"]).str.to_datetime()
    zoned = naive.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
    for times in (naive, zoned, naive.dt.cast_time_unit("ms")):
        assert to_seconds(times, "dates").to_list() == [1396867869.0]


# ── files ───────────────────────────────────────────────────────────────────────────────────────


def test_ids_keep_their_zeros_and_their_length(tmp_path: Path) -> None:
    rows = "".join(f"{s},{i},{n}\n" for s in ("a", "b") for n, i in enumerate(["007", "7", "12345678901234567890123"]))
    (tmp_path / "e.csv").write_text("session_id,item_id,timestamp\n" + rows)
    data = prepare(tmp_path / "e.csv", tmp_path / "out", LOO)
    assert sequences(data)["a"] == ["007", "7", "12345678901234567890123"]


def test_ids_that_turn_to_text_late_are_text(tmp_path: Path) -> None:
    rows = "".join(f"{n // 4},{n},{n}\n" for n in range(20_000)) + "9,A1,1\n9,A2,2\n9,3,3\n"
    (tmp_path / "e.csv").write_text("session_id,item_id,timestamp\n" + rows)
    data = prepare(tmp_path / "e.csv", tmp_path / "out", LOO)
    assert sequences(data)["9"] == ["A1", "A2", "3", "36", "37", "38", "39"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"session_id,item_id\n", "no rows"),
        (b"a,a\n1,2\n", "two columns are named 'a'"),
        (b"a,b\n1,2\n3,4,5\n", "line 3: 3 fields where the header has 2"),
        (b'a,b\n1,"x\ny"\n3,4,5\n', "line 4: 3 fields where the header has 2"),
        (b"a,b\n1,2\n\xff\xfe,4\n", "line 3: not UTF-8"),
        (b"PK\0\0", "not a text file"),
    ],
)
def test_broken_text_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "e.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_file(tmp_path / "e.csv")


def test_broken_other_files(tmp_path: Path) -> None:
    (tmp_path / "e.parquet").write_bytes(b"PAR1 and nothing more")
    (tmp_path / "lines.txt").write_text("1 2 3\n4\n5 6 7 8\n")
    (tmp_path / "a.json").write_text('{"1": "red"}')
    for name, message in (
        ("e.parquet", "not a Parquet file"),
        ("lines.txt", "line 2: a user without"),
        ("a.json", "JSON"),
    ):
        with pytest.raises(InputError, match=message):
            read_file(tmp_path / name)
    with pytest.raises(InputError, match="is a folder"):
        read_file(tmp_path)


def test_windows_text_and_an_empty_last_line_are_fine(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_bytes(b"\xef\xbb\xbfsession_id;item_id\r\n1;2\r\n\r\n")
    table = read_file(tmp_path / "e.csv")
    assert table.frame.to_dicts() == [{"session_id": 1, "item_id": 2}]


def test_lines_are_named_through_quoted_line_breaks_and_several_files(tmp_path: Path) -> None:
    header = "session_id,item_id,timestamp,note\n"
    (tmp_path / "one.csv").write_text(header + '1,1,5,"two\nlines"\n1,2,6,x\n')
    (tmp_path / "two.csv").write_text(header + '2,1,7,"two\nlines"\n2,2,-8,x\n')
    with pytest.raises(InputError, match=r"two\.csv, line 4: timestamp -8 is before 1970"):
        prepare([tmp_path / "one.csv", tmp_path / "two.csv"], tmp_path / "out")
    (tmp_path / "two.csv").write_text("session_id,item_id\n1,2\n")
    with pytest.raises(InputError, match=r"two\.csv: its columns are not those of .*one\.csv"):
        prepare([tmp_path / "one.csv", tmp_path / "two.csv"], tmp_path / "out")


def test_files_whose_ids_are_numbers_here_and_text_there(tmp_path: Path) -> None:
    clicks(20).write_csv(tmp_path / "one.csv")
    clicks(20).select(pl.col("session_id") + 100, pl.format("p{}", "item_id").alias("item_id"), "timestamp").write_csv(
        tmp_path / "two.csv"
    )
    table = read_events([tmp_path / "two.csv", tmp_path / "one.csv"])
    assert table.frame["item_id"].to_list()[::20] == ["p0", "0"]


# ── columns ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (
            {"product_id": 1, "sku": 2},
            {},
            "'product_id' and 'sku' could both be the item column; say which with --item",
        ),
        ({"thing": 1}, {}, "no item column among session_id, timestamp, thing; name it with --item"),
        ({"item_id": 1}, {"session": "item_id"}, "can't play two parts"),
        ({"item_id": 1}, {"gap_minutes": 5}, "no user column among"),
        ({"item_id": 1, "user_id": 1}, {"gap_minutes": 5, "session": "session_id"}, "both say what a session is"),
        ({"item_id": 1}, {"targets": ["bougt"]}, "column 'bougt' is missing"),
        ({"item_id": 1}, {"time": "Timestamp"}, "did you mean 'timestamp'"),
        ({"item_id": 1}, {"title": "label"}, "column 'label' is missing"),
        ({"item_id": None}, {}, "row 0: column 'item_id' has no item"),
        ({"item_id": 1.5}, {}, r"row 0: item column 'item_id' holds decimal numbers or NaN \(1.5\)"),
        ({"item_id": float("nan")}, {}, "holds decimal numbers or NaN"),
    ],
)
def test_columns_that_are_missing_or_wrong(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    frame = clicks().drop("item_id").with_columns(**{k: pl.lit(v) for k, v in columns.items()})
    with pytest.raises(InputError, match=message):
        prepare(frame, tmp_path / "out", PrepareOptions(**options))
    assert not list(tmp_path.iterdir())


def test_the_house_s_own_names_settle_what_a_column_is(tmp_path: Path) -> None:
    frame = clicks(product_id=1, date="x", name="n")
    data = prepare(frame, tmp_path / "out")
    assert data.schema["item_id"].source == "item_id"
    assert data.schema["timestamp"].source == "timestamp"


def test_a_file_without_a_header_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "clicks.dat").write_text("1,2014-04-07T10:51:09.277Z,214536502\n1,2014-04-07T10:54:09Z,214536500\n")
    with pytest.raises(InputError, match="the first line looks like data"):
        prepare(tmp_path / "clicks.dat", tmp_path / "out")


def test_names_that_can_t_be_kept_are_changed_and_the_user_s_own_remembered(tmp_path: Path) -> None:
    frame = clicks(count=pl.arange(60, eager=True), **{"price.eur/unit": pl.arange(60, eager=True) * 0.5, "../up": "x"})
    data = prepare(frame, tmp_path / "out", LOO)
    assert {c.name: c.source for c in data.schema if c.role == "feature"} == {
        "count_2": "count",
        "price_eur_unit": "price.eur/unit",
        "___up": "../up",
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
    again = data.encode(frame)
    np.testing.assert_allclose(again.values["price_eur_unit"], data.part("test").values["price_eur_unit"], rtol=1e-5)


def test_columns_that_say_nothing_are_left_out_with_the_reason(tmp_path: Path) -> None:
    frame = clicks(400, note=[f"note {i}" for i in range(400)], raw=[{"a": i} for i in range(400)])
    left = prepare(frame, tmp_path / "out").profile["columns_left_out"]
    assert left == {"note": "another value on nearly every row", "raw": "holds Struct({'a': Int64})"}
    assert "note" in prepare(frame, tmp_path / "out", PrepareOptions(features=["note"])).schema


def test_a_text_among_numbers_names_its_row(tmp_path: Path) -> None:
    frame = clicks(price=["1.5"] * 50 + ["free"] * 10)
    with pytest.raises(InputError, match=r"row 50: 'free' in column 'price' is not a number"):
        prepare(frame, tmp_path / "out", PrepareOptions(kinds={"price": "continuous"}))
    assert prepare(frame, tmp_path / "out").schema["price"].kind == "categorical"


def test_endless_and_missing_numbers_are_the_mean(tmp_path: Path) -> None:
    values = [float("inf"), float("nan"), None, *(float(i % 7) for i in range(57))]
    data = prepare(clicks(price=values), tmp_path / "out", LOO)
    sessions = data.part("test")
    assert sessions.values["price"][:3].tolist() == [0, 0, 0]
    trained = [values[i] for i in range(60) if i % 4 < 2 and i >= 3]
    assert data.schema["price"].mean == pytest.approx(np.mean(trained))
    assert data.schema["price"].std == pytest.approx(np.std(trained))


def test_whole_numbers_with_many_values_are_quantities_unless_named_as_ids(tmp_path: Path) -> None:
    n = 8000
    frame = clicks(n, cents=pl.arange(n, eager=True) % 1500, brand_id=pl.arange(n, eager=True) * 3 % 1500)
    schema = prepare(frame, tmp_path / "out").schema
    assert (schema["cents"].kind, schema["brand_id"].kind) == ("continuous", "categorical")


def test_other_timestamps_are_kept_as_seconds(tmp_path: Path) -> None:
    published = pl.from_epoch(pl.Series([1_000_000_000 + i for i in range(60)]))
    data = prepare(clicks(published=published), tmp_path / "out", LOO)
    assert data.schema["published"].kind == "timestamp"
    assert data.part("test").values["published"].tolist() == [1e9 + i for i in range(60)]


def test_lists_of_an_item_are_a_multi_valued_feature_and_lists_that_vary_are_refused(tmp_path: Path) -> None:
    frame = clicks()
    tags = [[f"t{i % 3}", f"u{i % 2}"] for i in frame["item_id"]]
    data = prepare(frame.with_columns(pl.Series("tags", tags)), tmp_path / "out", LOO)
    names = dict(data.vocabulary.values("tags").iter_rows())
    for original, item in zip(data.items["item"], data.items["item_id"], strict=True):
        assert [names[i] for i in data.item_table()["tags"][item]] == [f"t{original % 3}", f"u{original % 2}"]
    with pytest.raises(InputError, match="lists that differ between events of an item"):
        prepare(frame.with_columns(pl.Series("tags", [["a"], ["b"]] * 30)), tmp_path / "out", LOO)


# ── tables of items and users ───────────────────────────────────────────────────────────────────


def test_users_are_joined_to_sessions_with_ids_of_their_own(tmp_path: Path) -> None:
    frame = clicks().with_columns(user_id=pl.col("session_id") % 5)
    users = pd.DataFrame({"user_id": range(5), "age": [10.5, 20.5, 30.5, 40.5, 50.5]})
    data = prepare(frame, tmp_path / "out", LOO, users=users)
    column = data.schema["age"]
    assert (column.kind, column.scope) == ("continuous", "session")
    ages = data.part("test").context["age"] * column.std + column.mean
    np.testing.assert_allclose(ages, [10.5 + 10 * (int(s) % 5) for s in data.part("test").ids], rtol=1e-5)
    with pytest.raises(InputError, match="no user column to join users by"):
        prepare(clicks(), tmp_path / "out", LOO, users=users)


def test_items_are_joined_by_ids_of_either_type_and_a_foreign_table_is_refused(tmp_path: Path) -> None:
    items = pl.DataFrame(
        {"item_id": [str(i) for i in range(9)], "title": [f"T{i}" for i in range(9)], "size": range(9)}
    )
    data = prepare(clicks(), tmp_path / "out", LOO, items=items)
    assert data.titles(data.items["item_id"].to_numpy()) == [f"T{i}" for i in data.items["item"]]
    with pytest.raises(InputError, match="none of its items is among the events"):
        prepare(clicks(), tmp_path / "out", LOO, items=items.with_columns(pl.format("x{}", "item_id").alias("item_id")))
    with pytest.raises(InputError, match="no item column among"):
        prepare(clicks(), tmp_path / "out", LOO, items=items.rename({"item_id": "key"}))


# ── splits and filters ──────────────────────────────────────────────────────────────────────────


def test_leave_one_out_can_drop_items_without_training(tmp_path: Path) -> None:
    items = [1, 2, 3, 1, 2, 9, 2, 1, 8, 3, 3, 1]
    frame = pl.DataFrame({"user_id": [0] * 6 + [1] * 6, "item_id": items})
    data = prepare(frame, tmp_path / "out", PrepareOptions(split="leave_one_out", unseen_items="drop"))
    trained = {i for s in sequences(data, "train").values() for i in s}
    assert set(data.items["item"]) == trained
    assert (data.items["count"] > 0).all()
    assert 9 not in trained


def test_support_holds_after_all_filters(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"session_id": rng.integers(0, 300, 1500), "item_id": rng.zipf(1.4, 1500) % 200, "timestamp": np.arange(1500.0)}
    )
    data = prepare(frame, tmp_path / "out", PrepareOptions(min_item_support=4, min_session_length=3))
    train = data.part("train")
    count = np.bincount(train.values["item_id"], minlength=data.schema.n_items + 1)[1:]
    np.testing.assert_array_equal(count, data.items["count"])
    assert count.min() >= 4
    assert min(data.part(p).lengths.min() for p in ("train", "valid", "test")) >= 3
    assert (np.diff(data.items["count"]) <= 0).all()


def test_beside_a_given_test_file_every_item_of_the_other_file_is_known(tmp_path: Path) -> None:
    frame = clicks(40)
    late = pl.DataFrame({"session_id": [50, 50], "item_id": [77, 77], "timestamp": [2e9, 2e9 + 1]})  # validation only
    test = pl.DataFrame({"session_id": [1, 1, 2, 2], "item_id": [77, 0, 88, 1], "timestamp": [3e9, 3e9, 3e9, 3e9]})
    data = prepare(pl.concat([frame.cast({"item_id": pl.Int64}), late]), tmp_path / "out", test=test)
    assert sequences(data) == {"1": [77, 0]}  # 88 is nowhere else, and alone 1 is no session
    assert data.profile["left_out"]["unseen_item_events"] == 1
    assert data.items.filter(pl.col("item") == 77)["count"].item() == 0
    assert data.profile["leakage"]["test_sessions_named_as_training_ones"] == 1


# ── new sessions ────────────────────────────────────────────────────────────────────────────────


def test_new_events_are_cut_and_thinned_as_training_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "user_id": rng.integers(0, 20, 800),
            "item_id": rng.integers(0, 6, 800),
            "timestamp": rng.permutation(800) * 100.0,
            "device": rng.choice(["phone", "tablet"], 800),
        }
    )
    options = PrepareOptions(
        gap_minutes=40, time_format="seconds", drop_repeats=True, unseen_items="keep", min_session_length=2
    )
    data = prepare(frame, tmp_path / "out", options)
    encoded = data.encode(
        frame.with_columns(pl.col("timestamp").cast(pl.Int64).cast(pl.String))
    )  # text sorts otherwise
    again = {
        k: data.own_ids(encoded.values["item_id"][a:b])
        for k, a, b in zip(encoded.ids, encoded.offsets[:-1], encoded.offsets[1:], strict=True)
    }
    prepared = {k: v for part in ("train", "valid", "test") for k, v in sequences(data, part).items()}
    assert prepared == {k: v for k, v in again.items() if len(v) >= 2}
    assert len(encoded) > len(prepared)


def test_new_sessions_by_canonical_names_where_training_had_users(tmp_path: Path) -> None:
    frame = clicks().rename({"session_id": "user_id"})
    data = prepare(frame, tmp_path / "out", LOO)
    encoded = data.encode(pl.DataFrame({"session_id": ["b", "a", "b"], "item_id": [1.0, 2.0, 3.0]}))
    assert encoded.ids.tolist() == ["b", "a"]
    assert data.own_ids(encoded.values["item_id"]) == [1, 3, 2]
    assert data.encode(pl.DataFrame({"item_id": ["1", "2"]})).lengths.tolist() == [2]
    with pytest.raises(InputError, match="row 1: timestamp is missing"):
        data.encode(pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "timestamp": [1.0, None]}))


# ── the profile ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("split", ["time", "leave_one_out"])
def test_the_profile_s_shares_by_a_plain_loop(tmp_path: Path, split: Any) -> None:
    rng = np.random.default_rng(3)
    frame = pl.DataFrame(
        {"session_id": rng.integers(0, 200, 1200), "item_id": rng.zipf(1.5, 1200) % 300, "timestamp": np.arange(1200.0)}
    )
    data = prepare(frame, tmp_path / "out", PrepareOptions(split=split, unseen_items="keep"))
    train, checks = sequences(data, "train"), data.profile["checks"]
    later = sum(len(s) - 1 for s in train.values())
    assert checks["consecutive_repeat_share"] == pytest.approx(
        sum(a == b for s in train.values() for a, b in pairwise(s)) / later, abs=1e-4
    )
    assert checks["repeat_share"] == pytest.approx(sum(len(s) - len(set(s)) for s in train.values()) / later, abs=1e-4)
    known = {i for s in train.values() for i in s}
    for part in ("valid", "test"):
        last = [s[-1] for s in sequences(data, part).values()]
        share = sum(i not in known for i in last) / len(last)
        assert checks[f"{part}_last_items_without_training"] == pytest.approx(share, abs=1e-4)
    assert {v for k, v in data.profile["leakage"].items() if "targets" in k} == {0}
    events = sum(sum(counts) for counts in data.profile["time"]["events"].values())
    whole = ("test",) if split == "leave_one_out" else ("train", "valid", "test")
    assert events == sum(len(data.part(part).values["item_id"]) for part in whole) + _short_events(data, split)


def _short_events(data: Dataset, split: str) -> int:
    """Events of training sessions that leave-one-out has in no other part."""
    if split == "time":
        return 0
    longer = set(data.part("test").ids.tolist())
    return sum(len(s) for key, s in sequences(data, "train").items() if key not in longer)


# ── the folder ──────────────────────────────────────────────────────────────────────────────────


def test_what_a_file_manager_leaves_is_no_foreign_file(tmp_path: Path) -> None:
    data = prepare(clicks(), tmp_path / "out")
    (data.path / ".ipynb_checkpoints").mkdir()
    (data.path / ".ipynb_checkpoints" / "profile-checkpoint.json").write_text("{}")
    assert Dataset.open(data.path).digest == data.digest
    assert prepare(clicks(), tmp_path / "out").digest == data.digest


def test_a_place_that_can_t_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "data", tmp_path / ("n" * 300)):
        with pytest.raises(InputError, match=r"choose another --out|give a new or empty folder"):
            prepare(clicks(), out)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# ── a disk that is full ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mount.returncode:
        pytest.skip("a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [100, 6000])
def test_a_limit_on_the_size_of_files(size: int, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(InputError, match=r"exceed the limit on the size of files; raise it \(`ulimit -f`\)"):
            prepare(clicks(400), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not any(tmp_path.iterdir())


def test_a_disk_that_fills_up_while_writing(small_disk: Path) -> None:
    old = prepare(clicks(200), small_disk / "data").digest
    rng = np.random.default_rng(0)
    big = clicks(400_000, noise=rng.normal(size=400_000))
    with pytest.raises(InputError, match=rf"the disk is full \({small_disk} has"):
        prepare(big, small_disk / "data")
    assert Dataset.open(small_disk / "data").digest == old
    assert [p.name for p in small_disk.iterdir()] == ["data"]
