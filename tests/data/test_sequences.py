"""Files that hold a session a row, and files that are split into history and target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.data.pipeline.prepare_events import prepare
from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.data.sessions.session_rows import unroll
from t4r_lab.spec import RunSpec
from t4r_lab.spec.preparation import PrepareOptions
from t4r_lab.training import assembly
from tests.support.small import sequences

LOO = PrepareOptions(split="leave_one_out")
MERLIN = """
feature { name: "session_id" annotation { tag: "session_id" } }
feature { name: "sku-list" int_domain { max: 40 } value_count { max: 9 } annotation { tag: "item_id" tag: "list" } }
feature { name: "bought" annotation { tag: "binary_classification" tag: "target" } }
feature { name: "clicked-list" annotation { tag: "binary_classification" tag: "list" } }
feature { name: "spent" annotation { tag: "regression" } }
feature { name: "reason" int_domain { max: 4 } annotation { tag: "multi_class_classification" } }
"""


def rows_of_merlin(n: int) -> pl.DataFrame:
    """Two rows for each session id, with other labels."""
    rng = np.random.default_rng(0)
    lists = [rng.integers(1, 41, 3 + i % 4).tolist() for i in range(n)]
    return pl.DataFrame(
        {
            "session_id": np.arange(n) // 2,
            "sku-list": lists,
            "bought": np.arange(n) % 2,
            "clicked-list": [[i % 2 for i in items] for items in lists],
            "spent": np.arange(n) * 0.5,
            "reason": np.arange(n) % 5,
        }
    )


# ── a row is a session ──────────────────────────────────────────────────────────────────────────


def test_rows_of_one_id_stay_sessions_with_labels_of_their_own(tmp_path: Path) -> None:
    frame = rows_of_merlin(80)
    (tmp_path / "schema.pbtxt").write_text(MERLIN)
    options = PrepareOptions(merlin_schema=str(tmp_path / "schema.pbtxt"))
    data = prepare(frame[:60], tmp_path / "data", options, test=frame[60:])
    columns = {
        name: (data.schema[name].kind, data.schema[name].scope, data.schema[name].classes)
        for name in ("bought", "clicked-list", "spent", "reason")
    }
    assert columns == {
        "bought": ("categorical", "session", 2),
        "clicked-list": ("categorical", "event", 2),
        "spent": ("continuous", "session", 0),
        "reason": ("categorical", "session", 5),
    }
    expected = {f"{i // 2}#{i % 2 + 1}": items for i, items in enumerate(frame["sku-list"].to_list())}
    assert sequences(data, "train") | sequences(data, "valid") | sequences(data, "test") == expected
    test = data.part("test")
    assert test.ids.tolist() == [f"{i // 2}#{i % 2 + 1}" for i in range(60, 80)]
    assert (test.context["bought"] - 2).tolist() == [0, 1] * 10
    assert test.context["spent"].tolist() == [i * 0.5 for i in range(60, 80)]
    assert (test.context["reason"] - 2).tolist() == [i % 5 for i in range(60, 80)]
    assert (test.values["clicked-list"] - 2).tolist() == [i % 2 for items in frame["sku-list"][60:] for i in items]
    heads = [("binary", "bought"), ("binary", "clicked-list"), ("regression", "spent"), ("categorical", "reason")]
    spec = {"data": {"path": str(data.path)}, "model": {"heads": [{"kind": k, "column": c} for k, c in heads]}}
    assembly.check(RunSpec.parse(spec), data.schema)  # each by the right head


def test_rows_of_one_user_stay_sessions_unless_a_gap_cuts_them(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "user_id": ["u", "v", "u", "u#"],
            "item_id": [[1, 2, 3], [2, 3, 1], [3, 2, 1, 2], [1, 2, 3]],
            "timestamp": [[1.6e9 + t for t in times] for times in ([0, 1, 2], [0, 1, 2], [3, 4, 5, 9e5], [1, 2, 3])],
        }
    )
    data = prepare(frame, tmp_path / "rows", LOO)
    assert sequences(data, "test") == {
        "u##1": [1, 2, 3],
        "v": [2, 3, 1],
        "u##2": [3, 2, 1, 2],
        "u#": [1, 2, 3],
    }
    assert data.encode(frame).ids.tolist() == ["u##1", "v", "u##2", "u#"]  # new sessions as training ones
    cut = prepare(frame, tmp_path / "cut", LOO.model_copy(update={"gap_minutes": 60.0, "user": "user_id"}))
    assert sequences(cut, "test") == {"u#1": [1, 2, 3, 3, 2, 1], "v#1": [2, 3, 1], "u##1": [1, 2, 3]}


def test_an_ignored_session_column_merges_no_rows(tmp_path: Path) -> None:
    frame = rows_of_merlin(20).select("session_id", pl.col("sku-list").alias("item_id"))
    data = prepare(frame, tmp_path / "data", LOO.model_copy(update={"ignore": ["session_id"]}))
    assert list(sequences(data, "test").values()) == frame["item_id"].to_list()


@pytest.mark.parametrize("as_lists", [True, False])
def test_ids_that_are_whole_numbers_with_a_point_are_whole_numbers(as_lists: bool, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"session_id": [float(s) for s in range(30)], "item_id": [[s % 5, 7, s % 3] for s in range(30)]}
    )
    pointed = frame.with_columns(pl.col("item_id").cast(pl.List(pl.Float64)))
    if not as_lists:
        frame, pointed = frame.explode("item_id"), pointed.explode("item_id")
    options = LOO if as_lists else LOO.model_copy(update={"measures_time": False})
    whole = prepare(frame.with_columns(pl.col("session_id").cast(pl.Int64)), tmp_path / "whole", options)
    data = prepare(pointed, tmp_path / "data", options)
    assert data.digest == whole.digest and data.items["item"].dtype == pl.Int64
    assert data.encode(pointed).values["item_id"].tolist() == whole.encode(frame).values["item_id"].tolist()
    for value, words in ((6.5, "6.5"), (float("inf"), "inf"), (1e300, "1e"), (float("nan"), "NaN or nothing")):
        broken = pl.concat([pointed, pointed.tail(1).with_columns(item_id=pl.lit([value] * 3) if as_lists else value)])
        with pytest.raises(InputError, match=rf"row {len(pointed)}: item column .* decimal numbers or NaN \({words}"):
            prepare(broken, tmp_path / "broken", options)


def test_a_missing_item_is_found_on_the_file_s_row(tmp_path: Path) -> None:
    frame = pl.DataFrame({"session_id": range(4), "item_id": [[1, 2], [], [2, None], [1, 2]]})
    with pytest.raises(InputError, match="events, row 2: column 'item_id' has no item"):
        prepare(frame, tmp_path / "data", LOO)


# ── history and target ──────────────────────────────────────────────────────────────────────────


def atomic(path: Path, rows: list[tuple[Any, ...]], more: str = "") -> Path:
    header = "session_id:token\titem_id_list:token_seq\titem_id:token" + more
    lines = ["\t".join(" ".join(map(str, v)) if isinstance(v, list) else str(v) for v in row) for row in rows]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


TRAIN = [(s, [s % 5, (s + 1) % 5, (s + 3) % 5], (s + 2) % 5) for s in range(20)]


@pytest.mark.parametrize("item", [None, "item_id", "item_id_list"])
def test_history_and_target_are_one_session(item: str | None, tmp_path: Path) -> None:
    train = atomic(tmp_path / "x.train.inter", TRAIN)
    test = atomic(tmp_path / "x.test.inter", [(90, [0, 1], 2), (91, [3], 4), (92, [0, 1], 77), (93, [77, 0], 1)])
    data = prepare(train, tmp_path / "data", PrepareOptions(item=item), test=test)
    assert sequences(data, "train") | sequences(data, "valid") == {str(s): [*h, t] for s, h, t in TRAIN}
    assert sequences(data, "test") == {"90": [0, 1, 2], "91": [3, 4], "93": [0, 1]}  # 77 is unknown: no target, no case
    assert data.part("test").target_start.tolist() == [2, 1, 1]  # the target alone is predicted
    assert data.profile["left_out"]["test_cases_without_their_target"] == 1
    assert [c.name for c in data.schema.features] == ["item_id"]
    assert data.profile["reading"] == ["item_id_list and item_id are read as one session's"]


def test_what_stands_beside_the_target_is_the_target_s(tmp_path: Path) -> None:
    header = (
        "\tbrand_list:token_seq\tbrand:token\tat_list:float_seq\tat:float\tprice:float\titem_length:float\tstars:float"
    )
    rows = [
        (s, h, t, [f"b{i}" for i in h], f"b{t}", [s + 0.5, s + 1.0, s + 1.5], s + 2.0, t * 10.0, 3, s)
        for s, h, t in TRAIN
    ]
    options = LOO.model_copy(update={"time": "at", "targets": ["stars"], "scopes": {"stars": "session"}})
    data = prepare(atomic(tmp_path / "x.inter", rows, header), tmp_path / "data", options)
    test, table = data.part("test"), data.item_table()
    assert {c.name: c.scope for c in data.schema if c.role in ("feature", "target")} == {
        "brand": "item",
        "price": "event",
        "stars": "session",
    }
    brand = dict(data.vocabulary.values("brand").iter_rows())
    assert [brand[i] for i in table["brand"][1:]] == [f"b{original}" for original in data.items["item"]]
    assert test.values["timestamp"][:4].tolist() == [0.5, 1.0, 1.5, 2.0]
    assert (test.values["price"].reshape(20, 4)[:, :3] == 0).all()  # the target's price is none of its history
    assert test.context["stars"].tolist() == [float(s) for s in range(20)]


WHOLE = {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4, 5], "c": [2, 1]}


@pytest.mark.parametrize("ids", ["shared", "shared, shuffled", "running", "running, shortest first", "none"])
def test_rows_that_begin_a_longer_session_train_once_and_each_test_row_is_a_case(ids: str, tmp_path: Path) -> None:
    """SR-GNN's way of writing sessions: one row for each event after the first."""
    cases = [(key, items[:n], items[n]) for key, items in WHOLE.items() for n in range(len(items) - 1, 0, -1)]
    rows = cases[::-1] if ids.endswith("first") else cases
    if ids.endswith("shuffled"):
        rows = [cases[i] for i in np.random.default_rng(0).permutation(len(cases))]
    if ids.startswith("running"):
        rows = [(i, *row[1:]) for i, row in enumerate(rows)]
    frame = pl.DataFrame(rows, schema=["session_id", "item_id_list", "item_id"], orient="row")
    frame = frame.drop("session_id") if ids == "none" else frame
    unrolled = unroll(RawTable(frame), PrepareOptions())
    sessions = unrolled.frame.group_by("session_id", maintain_order=True).agg("item_id")["item_id"].to_list()
    assert sorted(sessions) == sorted(WHOLE.values())
    given = unroll(RawTable(frame), PrepareOptions(), is_test=True)
    sessions = given.frame.group_by("session_id", maintain_order=True).agg("item_id")["item_id"].to_list()
    assert sessions == [[*history, target] for _, history, target in rows]
    assert given.last is not None and given.frame["item_id"].filter(pl.Series(given.last)).to_list() == [
        r[2] for r in rows
    ]


@pytest.mark.parametrize("text", ["{0[0]} {0[1]} {0[2]}", "[{0[0]}, {0[1]}, {0[2]}]", "['{0[0]}', '{0[1]}', '{0[2]}']"])
def test_histories_as_texts_are_read_as_lists(text: str, tmp_path: Path) -> None:
    rows = [{"session_id": s, "item_id_list": text.format(h), "item_id": t} for s, h, t in TRAIN]
    pl.DataFrame(rows).write_csv(tmp_path / "x.csv")
    data = prepare(tmp_path / "x.csv", tmp_path / "data", LOO)
    assert sequences(data, "test") == {str(s): [*h, t] for s, h, t in TRAIN}


def test_new_sessions_come_with_their_history_alone(tmp_path: Path) -> None:
    data = prepare(atomic(tmp_path / "x.inter", TRAIN), tmp_path / "data", LOO)
    new = data.encode(pl.DataFrame({"session_id": ["p", "q"], "item_id_list": [["0", "3"], ["4"]]}))
    assert [data.own_ids(new.values["item_id"][a:b]) for a, b in ((0, 2), (2, 3))] == [[0, 3], [4]]
    texts = data.encode(pl.DataFrame({"session_id": ["p", "q"], "item_id_list": ["0 3", "4"]}))
    assert texts.values["item_id"].tolist() == new.values["item_id"].tolist()
