"""Schemas of Merlin and NVTabular, and Parquet whose rows are sessions."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from t4r_lab.base.errors import InputError
from t4r_lab.data.pipeline.prepare_events import prepare
from t4r_lab.nn.inputs.tabular import TabularSequenceFeatures
from t4r_lab.nn.layers.flow import Batch, Masked
from t4r_lab.schema import merlin
from t4r_lab.schema.columns import Schema
from t4r_lab.spec import RunSpec
from t4r_lab.spec.preparation import PrepareOptions
from t4r_lab.training import assembly

PBTXT = r"""
# written by NVTabular
feature {
  name: "session_id" type: INT
  int_domain { name: "session_id" min: 1 max: 900 }
  annotation { tag: "session_id" }
}
feature {
  name: "sku/list"
  value_count { min: 2 max: 20 }
  type: INT
  int_domain { name: "sku" min: 0 max: 30 is_categorical: true }
  annotation {
    tag: "item_id" tag: "list" tag: "categorical" tag: "item"
    extra_metadata { type_url: "type.googleapis.com/google.protobuf.Struct" value: "\n\021\n\013num_\"buckets\022\002\010\000" }
  }
}
feature < name: 'brand-list' value_count { min: 0 max: 0 } type: INT int_domain { max: 5 }
  annotation { tag: ["categorical", "list"] } >
feature { name: "age.days-list" value_count: { min: 2 max: 20 } type: FLOAT float_domain { min: -2.5 max: 1.5e-1 }
  annotation { tag: "continuous" tag: "list" } }
feature { name: "country" type: INT int_domain { min: 0 max: 4 is_categorical: true } annotation { tag: "categorical" tag: "user" } }
feature { name: "bought" type: INT int_domain { min: 0 max: 1 } annotation { tag: "target" tag: "binary_classification" } }
feature { name: "reason" type: INT int_domain { max: 6 } annotation { tag: "multi_class_classification" } }
feature { name: "day-first" annotation { } }
"""


def write(folder: Path, text: str = PBTXT, name: str = "schema.pbtxt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def as_json(message: merlin.Message) -> object:
    """A message the way protobuf prints JSON: camelCase, whole numbers as text."""
    camel = lambda key: key.split("_")[0] + "".join(w.capitalize() for w in key.split("_")[1:])  # noqa: E731
    repeated = ("feature", "tag", "extraMetadata")
    plain = {}
    for key, values in message.items():
        converted = [as_json(v) if isinstance(v, dict) else str(v) if type(v) is int else v for v in values]
        plain[camel(key)] = converted if camel(key) in repeated else converted[0]
    return plain


def test_text_and_json_say_the_same(tmp_path: Path) -> None:
    schema = Schema.load(write(tmp_path))
    columns = [(c.name, c.source, c.role, c.kind, c.scope, c.size) for c in schema]
    assert columns == [
        ("session_id", "session_id", "session", "categorical", "session", 0),
        ("item_id", "sku/list", "item", "categorical", "event", 31),
        ("brand-list", "brand-list", "feature", "categorical", "event", 6),
        ("age_days-list", "age.days-list", "feature", "continuous", "event", 0),
        ("country", "country", "feature", "categorical", "session", 5),
        ("bought", "bought", "target", "categorical", "session", 2 + 2),
        ("reason", "reason", "target", "categorical", "session", 9),
    ]
    assert schema["reason"].size == 7 + 2  # seven classes behind padding and unknown
    with pytest.raises(InputError) as error:
        schema["reson"]
    assert error.value.parts == ("column 'reson'", "not in the schema", "did you mean 'reason'?")
    assert error.value.columns == ("reson",)
    text = json.dumps(as_json(merlin._parse(PBTXT, "")))
    assert '"intDomain": {"name": "sku", "min": "0", "max": "30", "isCategorical": true}' in text
    assert Schema.load(write(tmp_path, text, "schema.json")) == schema
    schema.save(tmp_path / "own.json")
    assert Schema.load(tmp_path / "own.json") == schema


def test_tags_of_newer_files_come_in_two_and_lists_in_the_metadata(tmp_path: Path) -> None:
    content = {
        "feature": [
            {"name": "sku", "intDomain": {"max": "9"}, "annotation": {"tag": ["ITEM", "ID", "CATEGORICAL"]}},
            {"name": "who", "intDomain": {"max": "3"}, "annotation": {"tag": ["user", "id", "categorical"]}},
            {"name": "price", "annotation": {"tag": ["continuous"], "extraMetadata": [{"is_list": True}]}},
        ]
    }
    schema = Schema.load(write(tmp_path, json.dumps(content), "schema.json"))
    assert [(c.name, c.role, c.scope) for c in schema] == [
        ("item_id", "item", "event"),
        ("user_id", "user", "session"),
        ("price", "feature", "event"),
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('tag: "item_id"', 'tag: "x"'), "no feature has the tag item_id; tag exactly one"),
        (('tag: "binary_classification"', 'tag: "item_id"'), "'sku/list' and 'bought' has the tag item_id"),
        (("min: 0 max: 4", "min: 0"), "feature 'country' has no int_domain max"),
        (('name: "country"', 'name: "country'), "line 22: a text is not closed"),
        (('name: "country"', "name: }"), "line 22: '}' where a value should stand"),
        (('name: "country"', "{"), "line 22: '{' where a field should begin"),
        (('"day-first" annotation { } }', '"day-first"'), "ends within a feature"),
        (("max: 4", "max: 4.5"), "max: '4.5' is not a whole number"),
        (("max: 4", "max: inf"), "max: 'inf' is not a whole number"),
        ((PBTXT, ""), "schema.pbtxt: the file is empty; give a schema"),
        ((PBTXT, " \n"), "schema.pbtxt: the file is empty; give a schema"),
        ((PBTXT, "# nothing\n"), "no feature has the tag item_id; tag exactly one"),
        ((PBTXT, "session_id, item_id"), "line 1: ',' where a value should stand"),
    ],
)
def test_damaged_schemas_are_refused_with_the_place(change: tuple[str, str], words: str, tmp_path: Path) -> None:
    assert change[0] in PBTXT
    with pytest.raises(InputError, match=words):
        Schema.load(write(tmp_path, PBTXT.replace(*change)))


def test_whole_numbers_may_have_a_point(tmp_path: Path) -> None:
    pointed = re.sub(r"(max: \d+)\b(?![.e])", r"\1.0", PBTXT)
    assert "max: 30.0" in pointed and "max: 20.0" in pointed
    assert Schema.load(write(tmp_path, pointed)) == Schema.load(write(tmp_path, name="other.pbtxt"))


def test_the_input_block_is_made_from_the_file(tmp_path: Path) -> None:
    inputs = TabularSequenceFeatures.from_schema(
        str(write(tmp_path)), 20, continuous_projection=3, d_output=8, masking="clm", embedding_dims={"item_id": 6}
    )
    ids = torch.tensor([[1, 30, 2], [4, 0, 0]])
    columns = {"item_id": ids, "brand-list": ids % 6, "age_days-list": ids / 7, "country": ids % 5}
    batch = Batch(columns, torch.tensor([3, 1]))
    assert inputs(Masked(batch, None, batch.valid, ids[batch.valid], True)).shape == (2, 3, 8)
    assert inputs.item_embedding.weight.shape == (31, 6)


# ── Parquet ─────────────────────────────────────────────────────────────────────────────────────


def sessions(n: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    length = rng.integers(2, 7, n)
    lists = lambda low, high: [rng.integers(low, high, k).tolist() for k in length]  # noqa: E731
    return pl.DataFrame(
        {
            "session_id": np.arange(n) + 1000 * seed,
            "sku/list": lists(1, 31),
            "brand-list": lists(1, 6),
            "age.days-list": [rng.normal(size=k).tolist() for k in length],
            "country": rng.integers(1, 5, n),
            "bought": rng.integers(0, 2, n),
            "reason": rng.integers(0, 7, n),
            "day-first": np.zeros(n),
        }
    )


def test_sessions_as_rows_are_prepared_as_they_are(tmp_path: Path) -> None:
    frame = sessions(200)
    padded = frame.with_columns(
        pl.concat_list(column, pl.lit(0)) for column in ("sku/list", "brand-list", "age.days-list")
    )
    padded.write_parquet(tmp_path / "train.parquet")
    options = PrepareOptions(merlin_schema=str(write(tmp_path)), split="leave_one_out")
    data = prepare(tmp_path / "train.parquet", tmp_path / "data", options)
    test, vocabulary = data.part("test"), data.vocabulary
    row = {str(s): i for i, s in enumerate(frame["session_id"])}
    for s in range(0, len(test), 17):
        at, events = row[test.ids[s]], slice(test.offsets[s], test.offsets[s + 1])
        assert data.own_ids(test.values["item_id"][events]) == frame["sku/list"][at].to_list()
        brand = {v: i for i, v in vocabulary.values("brand-list").iter_rows()}
        assert [brand[str(v)] for v in frame["brand-list"][at]] == test.values["brand-list"][events].tolist()
    columns = {c.name: (c.role, c.kind, c.scope) for c in data.schema}
    assert columns["country"] == ("feature", "categorical", "session")
    assert columns["age_days-list"] == ("feature", "continuous", "event")
    assert columns["bought"][0] == columns["reason"][0] == "target" and "day-first" not in columns
    assembly.check(RunSpec.parse({"data": {"path": str(tmp_path / "data")}}), data.schema)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (pl.col("age.days-list").list.head(1), r"row 0: column 'age.days-list' has 1 values beside [3-7] items"),
        (pl.when(pl.col("session_id") != 7).then("brand-list"), "row 7: column 'brand-list' has 0 values beside"),
        (pl.concat_list("bought", "bought", "bought", "bought", "bought", "bought", "bought"), "'bought' has 7 values"),
        (pl.col("sku/list").list.eval(pl.element().cast(pl.String) + "x"), ""),
        (pl.col("sku/list").list.eval(pl.element().cast(pl.String)), ""),
    ],
)
def test_lists_of_other_lengths_are_named_and_ids_may_be_texts(wrong: pl.Expr, words: str, tmp_path: Path) -> None:
    padded = sessions(200).with_columns(
        pl.concat_list(column, pl.lit(0)) for column in ("sku/list", "brand-list", "age.days-list")
    )
    options = PrepareOptions(merlin_schema=str(write(tmp_path)), split="leave_one_out")
    frame = padded.with_columns(wrong.alias(wrong.meta.output_name()))
    if words:
        with pytest.raises(InputError, match=words):
            prepare(frame, tmp_path / "data", options)
    else:  # 0 is padding, 0x isn't
        items = prepare(frame, tmp_path / "data", options).items["item"]
        assert {*items} == {*frame["sku/list"].explode()} - {"0"}


def test_a_test_part_without_a_column_is_said_and_without_a_label_refused(tmp_path: Path) -> None:
    train, test = sessions(200), sessions(40, seed=1)
    options = PrepareOptions(merlin_schema=str(write(tmp_path)))
    data = prepare(train, tmp_path / "data", options, test=test.drop("brand-list", "country"))
    note = "events: values of brand-list, country count as missing, as the file has no such column"
    assert data.profile["reading"] == [note]
    with pytest.raises(InputError, match="label column 'bought' is missing"):
        prepare(train, tmp_path / "other", options, test=test.drop("bought"))
    with pytest.raises(InputError, match=r"'brand-list' holds List.*, and single values"):
        prepare(
            train,
            tmp_path / "other",
            PrepareOptions(item="sku/list"),
            test=test.with_columns(pl.col("brand-list").list.head(1)),
        )


def test_a_given_test_part_needs_no_time(tmp_path: Path) -> None:
    sessions(200).write_parquet(tmp_path / "train.parquet")
    sessions(40, seed=1).write_parquet(tmp_path / "test.parquet")
    options = PrepareOptions(merlin_schema=str(write(tmp_path)))
    data = prepare(tmp_path / "train.parquet", tmp_path / "data", options, test=tmp_path / "test.parquet")
    assert len(data.part("test")) == 40 and len(data.part("train")) + len(data.part("valid")) == 200
    with pytest.raises(InputError, match="no time column"):
        prepare(tmp_path / "train.parquet", tmp_path / "other", options)


def test_rows_of_lists_need_no_schema_and_no_session_column(tmp_path: Path) -> None:
    frame = sessions(60).select(pl.col("sku/list").alias("item_id"), "country")
    data = prepare(frame, tmp_path / "data", PrepareOptions(split="leave_one_out"))
    every = data.part("test").ids.tolist() + data.part("train").ids.tolist()
    assert len(set(every)) == 60
    with pytest.raises(InputError, match="no items on any row"):
        prepare(frame.with_columns(item_id=pl.lit([], dtype=pl.List(pl.Int64))), tmp_path / "none")


def test_new_sessions_come_as_rows_too(tmp_path: Path) -> None:
    sessions(200).write_parquet(tmp_path / "train.parquet")
    options = PrepareOptions(merlin_schema=str(write(tmp_path)), split="leave_one_out")
    data, new = prepare(tmp_path / "train.parquet", tmp_path / "data", options), sessions(20, seed=3)
    rows = data.encode(new)
    events = data.encode(new.explode("sku/list", "brand-list", "age.days-list"))
    assert len(rows) == 20 and rows.ids.tolist() == [str(i) for i in new["session_id"]]
    for name in ("item_id", "brand-list", "age_days-list"):
        assert np.array_equal(rows.values[name], events.values[name])
    assert np.array_equal(rows.context["country"], events.context["country"])


def test_a_missing_schema_is_said(tmp_path: Path) -> None:
    sessions(20).write_parquet(tmp_path / "train.parquet")
    with pytest.raises(InputError, match=r"gone.pbtxt: cannot be read"):
        prepare(
            tmp_path / "train.parquet", tmp_path / "data", PrepareOptions(merlin_schema=str(tmp_path / "gone.pbtxt"))
        )
