"""New sessions are read as training's were: the same value has the same id, whatever else is in the table."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t4r_lab.base.errors import InputError
from t4r_lab.data.formats.format_readers import read_table
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.data.prepared.vocabulary import Vocabulary
from t4r_lab.data.sessions.arrays import Sessions

OPTIONS = PrepareOptions(
    session="session_id",
    item="item_id",
    time="timestamp",
    time_format="seconds",
    split="leave_one_out",
    kinds={"size": "categorical"},
    scopes={"size": "event"},
)


def log(items: list[Any], sizes: list[Any]) -> pl.DataFrame:
    """Sessions of three events: every item and every size comes up in the events that train."""
    n = max(len(items), len(sizes))
    rows = [(f"s{s}", j, s) for s in range(n) for j in range(4)]
    return pl.DataFrame(
        {
            "session_id": [s for s, _, _ in rows],
            "item_id": [items[s % len(items)] for _, _, s in rows],
            "timestamp": [1_700_000_000 + j for _, j, _ in rows],
            "size": [sizes[(s + j) % len(sizes)] for _, j, s in rows],
        },
        strict=False,
    )


def known(data: Dataset, encoded: Sessions) -> list[tuple[Any, Any]]:
    """Own id of the item and text of the size of each event; None where unknown."""
    sizes = dict(data.vocabulary.values("size").iter_rows())
    ids = encoded.values["item_id"]
    return [(item, sizes.get(int(s))) for item, s in zip(data.own_ids(ids), encoded.values["size"], strict=True)]


def csv_of(frame: pl.DataFrame, quoting: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, lineterminator="\n")
    writer.writerow(frame.columns)
    writer.writerows(("" if v is None else v for v in row) for row in frame.iter_rows())
    return text.getvalue()


# ── any table ───────────────────────────────────────────────────────────────────────────────────

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=5)
NUMBERS = st.one_of(
    st.integers(0, 999).map(str),
    st.integers(0, 999).map(lambda n: f"{n:04}"),
    st.integers(0, 99).map(lambda n: f"{n}.0"),
    st.decimals(0, 99, places=1).map(str),
    st.just("nan"),
    st.just("NA"),
    st.just("-0"),
    st.just("1e3"),
    st.just("true"),
)
VALUES = st.one_of(
    st.lists(st.integers(-99, 10**12).map(str), min_size=2, max_size=6, unique=True),
    st.lists(NUMBERS, min_size=2, max_size=6, unique=True),
    st.lists(WORDS, min_size=2, max_size=6, unique=True),
    st.lists(st.one_of(NUMBERS, WORDS), min_size=2, max_size=6, unique=True),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, VALUES, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]), st.data())
def test_what_is_served_has_the_ids_it_was_trained_with(
    tmp_path_factory: pytest.TempPathFactory, items: list[str], sizes: list[str], quoting: Any, draw: st.DataObject
) -> None:
    """As CSV with any quoting, as Parquet and as either frame, any rows in any order."""
    folder, frame = tmp_path_factory.mktemp("any"), log(items, sizes)
    (folder / "e.csv").write_text(csv_of(frame, quoting), encoding="utf-8")
    data = prepare(folder / "e.csv", folder / "out", OPTIONS)
    assert set(data.items["item"].cast(pl.String)) == set(items)
    trained = {
        (row["session_id"], row["timestamp"]): (row["item_id"], row["size"]) for row in frame.iter_rows(named=True)
    }
    whole = known(data, data.encode(read_table(folder / "e.csv")))
    assert [(str(item), size) for item, size in whole] == list(trained.values())

    rows = draw.draw(st.lists(st.integers(0, len(frame) - 1), min_size=1, max_size=8, unique=True))
    part = frame[rows]
    part.write_parquet(folder / "p.parquet")
    (folder / "p.csv").write_text(csv_of(part, draw.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))))
    (folder / "q.csv").write_text(csv_of(part.with_columns(pl.lit("").alias("none")), csv.QUOTE_MINIMAL))
    expected = sorted(trained[row] for row in part.select("session_id", "timestamp").iter_rows())
    for served in (
        part,
        part.to_pandas(),
        data.vocabulary.read(folder / "p.parquet"),
        data.vocabulary.read(folder / "p.csv"),
        read_table(folder / "q.csv"),
    ):
        encoded = data.encode(served)
        assert (encoded.dropped, encoded.unknown) == (0, {})
        assert sorted((str(item), size) for item, size in known(data, encoded)) == expected


# ── values that look alike ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sizes", "served", "expected"),
    [
        (["38.0", "38.5", "39.0"], ["38.0", "39.0"], ["38.0", "39.0"]),  # as text of a file
        (["38.0", "38.5", "39.0"], [38.0, 39.0], ["38.0", "39.0"]),  # all of the new ones are whole
        (["38.0", "38.5", "39.0"], [38, 39], ["38.0", "39.0"]),
        (["38.0", "38.5", "39.0"], [38.0, None, 38.5], ["38.0", None, "38.5"]),
        ([38.0, 38.5, 39.0], ["38", "38.5"], ["38.0", "38.5"]),  # training had numbers
        ([7, 8, 9], [7.0, None], ["7", None]),  # as a missing value makes of them
        ([7, 8, 9], ["07", "7", "7.5"], [None, "7", None]),
        (["007", "7", "x"], ["007", "7", "07"], ["007", "7", None]),
        (["007", "7", "x"], [7, 8], ["7", None]),
        (["007", "7", "x"], [7.0, None], ["7", None]),
        ([True, False], ["true", "False", "yes"], ["true", "false", None]),
        (["NA", "DE"], ["DE", "NA", None], ["DE", "NA", None]),
    ],
)
def test_a_value_is_known_however_it_comes(
    tmp_path: Path, sizes: list[Any], served: list[Any], expected: list[Any]
) -> None:
    frame = log([1, 2, 3], sizes)
    if isinstance(sizes[0], str):
        (tmp_path / "e.csv").write_text(csv_of(frame, csv.QUOTE_MINIMAL))
        data = prepare(tmp_path / "e.csv", tmp_path / "out", OPTIONS)
    else:
        data = prepare(frame, tmp_path / "out", OPTIONS)
    new = pl.DataFrame({"item_id": [1] * len(served), "size": pl.Series(served)})
    encoded = data.encode(new)
    assert [size for _, size in known(data, encoded)] == expected
    lost = sum(e is None and s is not None for e, s in zip(expected, served, strict=True))
    assert encoded.unknown == ({"size": lost} if lost else {})
    if None not in served:  # alone as with the others
        each = [data.encode(new[i : i + 1]) for i in range(len(served))]
        assert [known(data, one)[0][1] for one in each] == expected


@pytest.mark.parametrize(
    ("items", "served", "expected"),
    [
        ([42, 7], ["042", "42", "42.0", 7], [None, 42, 42, 7]),
        (["042", "42", "A1"], ["042", "42", "0042"], ["042", "42", None]),
        (["042", "42", "A1"], [42.0, 7.0], ["42", None]),
        ([42, 7], [42.0, 7.5], [42, None]),
        ([42, 7], [True], [None]),
    ],
)
def test_an_item_is_itself_only(tmp_path: Path, items: list[Any], served: list[Any], expected: list[Any]) -> None:
    data = prepare(log(items, ["a", "b"]), tmp_path / "out", OPTIONS)
    for value, original in zip(served, expected, strict=True):
        encoded = data.encode(pl.DataFrame({"item_id": [value]}))
        assert data.own_ids(encoded.values["item_id"]) == ([] if original is None else [original])
        assert encoded.dropped == (original is None)


def test_ids_of_a_kind_that_has_no_text_are_refused(tmp_path: Path) -> None:
    data = prepare(log([42, 7], ["a", "b"]), tmp_path / "out", OPTIONS)
    for column in ("item_id", "session_id"):
        events = pl.DataFrame({"item_id": [42]}).with_columns(pl.duration(seconds=3).alias(column))
        with pytest.raises(InputError, match=r"sessions: can't be read .*; give ids as whole numbers or text"):
            data.encode(events)


# ── zones that polars doesn't know ──────────────────────────────────────────────────────────────


def test_times_with_a_fixed_offset_are_instants(tmp_path: Path) -> None:
    frame = log([42, 7], ["a", "b"]).to_pandas()
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="s", utc=True).dt.tz_convert("+05:30")
    frame.to_parquet(tmp_path / "e.parquet")
    options = OPTIONS.model_copy(update={"time_format": None})
    for source in (tmp_path / "e.parquet", frame):
        data = prepare(source, tmp_path / "out", options)
        assert datetime.fromtimestamp(data.part("test").values["timestamp"].min(), UTC) == datetime(
            2023, 11, 14, 22, 13, 20, tzinfo=UTC
        )
    encoded = data.encode(frame[frame["session_id"] == "s0"])
    assert encoded.lengths.tolist() == [4]


def test_what_polars_panics_at_is_refused(tmp_path: Path) -> None:
    frame = log([42, 7], ["a", "b"]).to_pandas()
    zoned = pd.to_datetime(frame["timestamp"], unit="s", utc=True).dt.tz_convert("+05:30")
    frame["moments"] = [[moment] for moment in zoned]
    frame.to_parquet(tmp_path / "e.parquet")
    with pytest.raises(InputError, match=r"e\.parquet: not a Parquet file that can be read \(.*\); write it again"):
        prepare(tmp_path / "e.parquet", tmp_path / "out", OPTIONS)
    with pytest.raises(InputError, match=r"events: cannot be read as a data frame \(.*\); give a pandas or"):
        prepare({"item_id": [1]}, tmp_path / "out", OPTIONS)  # type: ignore[arg-type]


def test_the_advice_for_times_of_new_sessions_works(tmp_path: Path) -> None:
    data = prepare(log([42, 7], ["a", "b"]), tmp_path / "out", OPTIONS.model_copy(update={"time_format": None}))
    new = pl.DataFrame({"session_id": ["a", "a"], "item_id": [42, 7], "timestamp": ["01/02/2026", "03/02/2026"]})
    with pytest.raises(InputError, match="is the month") as refusal:
        data.encode(new)
    assert "--" not in str(refusal.value)  # nothing that reads new sessions has an option for it
    assert "give seconds since 1970, or write dates as 2026-01-31" in str(refusal.value)
    for times in ([1769904000, 1770076800], ["2026-02-01", "2026-02-03"]):
        assert data.encode(new.with_columns(timestamp=pl.Series(times))).values["item_id"].tolist()


def test_frames_of_numbers_beyond_64_bits_and_of_periods(tmp_path: Path) -> None:
    long = [2**64 + n for n in range(3)]
    table = log(["x", "y", "z"], ["a", "b", "c"]).to_pandas()
    n = len(table)
    table["item_id"] = pd.Series([long[i % 3] for i in range(n)], dtype=object)
    table["month"] = [pd.Period("2026-01") + i % 2 for i in range(n)]
    typed = pl.DataFrame({"item_id": [long[i % 3] for i in range(n)]}, schema={"item_id": pl.Int128})
    other = pl.from_pandas(table[["session_id", "timestamp", "size"]]).hstack(typed)
    for frame in (table, other):
        data = prepare(frame, tmp_path / "out", OPTIONS)
        assert set(data.items["item"]) == {str(value) for value in long}
        assert data.encode(frame).dropped == 0
        if frame is table:
            assert set(data.vocabulary.values("month")["value"]) == {"2026-01", "2026-02"}


# ── damage ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name", ["schema.json", "items.parquet", "vocabulary/size.parquet", "vocabulary/sessions.json"]
)
@pytest.mark.parametrize("damage", ["gone", "cut", "flipped", "empty"])
@pytest.mark.parametrize("sealed", [True, False])
def test_a_damaged_vocabulary_is_refused(tmp_path: Path, name: str, damage: str, sealed: bool) -> None:
    """With the checksums any change; of a prepared folder, which `Dataset.open` checks, whatever can't be read."""
    prepare(log([42, 7], ["a", "b"]), tmp_path / "out", OPTIONS).vocabulary.copy_to(tmp_path / "run")
    folder = tmp_path / ("run" if sealed else "out")
    path = folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:9], "flipped": content, "empty": b"", "gone": b""}[damage])
    if damage == "gone":
        path.unlink()
    if not sealed and damage == "flipped":
        return  # nothing can tell
    with pytest.raises(InputError, match=path.name):
        Vocabulary.open(folder).encode(pl.DataFrame({"item_id": [42], "size": ["a"]}))
