"""Recommendations: exactly what was evaluated, in the user's own ids, from the run alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from t4r_lab import tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import silent
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.runs import run
from t4r_lab.runs.recommend import LeftOut, Recommender, recommend
from tests.support.small import N_ITEMS, small_data, small_spec


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Dataset]:
    """A home, a run in it, and the data it was trained on, which is taken away before anything is asked."""
    root = tmp_path_factory.mktemp("world")
    small_data(root / "d")
    result = run.run(small_spec(root / "d"), home=root / "home", on_report=silent)
    shutil.move(root / "d", root / "elsewhere")
    return root / "home", result.run_id, Dataset.open(root / "elsewhere")


def prefixes(data: Dataset) -> tuple[pl.DataFrame, list[int]]:
    """Validation sessions without their last event, in the user's own ids; and the items that were left off."""
    part, rows, targets = data.part("valid"), [], []
    for i, (start, stop) in enumerate(zip(part.offsets[:-1], part.offsets[1:], strict=True)):
        items = data.own_ids(part.values["item_id"][start:stop])
        targets.append(items[-1])
        for at, item in enumerate(items[:-1]):
            row = {"session_id": f"s{i:04}", "item_id": item, "timestamp": float(at)}
            rows.append({**row, **features(data, part, i, start + at)})
    return pl.DataFrame(rows), targets


def features(data: Dataset, part: object, session: int, event: int) -> dict[str, object]:
    """Raw values of the columns that depend on event or session, from what prepared data stores."""
    raw: dict[str, object] = {}
    for column in data.schema.features[1:]:
        if column.scope == "item":
            continue
        stored = part.values[column.name][event] if column.scope == "event" else part.context[column.name][session]  # type: ignore[attr-defined]
        if column.kind == "continuous":
            raw[column.name] = float(stored) * column.std + column.mean
        else:
            values = data.vocabulary.values(column.name)
            raw[column.name] = values.filter(pl.col("id") == int(stored))["value"][0]
    return raw


def test_the_place_in_the_list_is_the_rank_that_was_evaluated(world: tuple[Path, str, Dataset]) -> None:
    home, run_id, data = world
    events, targets = prefixes(data)
    frame = recommend(run_id, events, N_ITEMS, home=home)
    ranks = pl.read_parquet(tracking.artifacts(home, run_id) / "ranks" / "valid" / "model.parquet").sort("session")
    assert len(ranks) == len(targets) == frame["session"].nunique()
    listed = frame.set_index(["session", "item"])["rank"]
    positions = [listed[f"s{i:04}", target] for i, target in enumerate(targets)]
    np.testing.assert_allclose(
        positions, ranks["rank"].to_numpy(), atol=0.5
    )  # ties count half there, and have an order here
    assert len(set(positions)) > 5  # not all alike


def test_lists_are_ordered_whole_and_add_up(world: tuple[Path, str, Dataset]) -> None:
    home, run_id, data = world
    events = pd.DataFrame(
        {"session_id": ["a", "a", "b"], "item_id": data.items["item"].to_list()[:3], "timestamp": [1, 2, 1]}
    )
    frame = recommend(run_id, events, 10**6, home=home)
    assert list(frame.columns) == ["session", "rank", "item", "title", "score", "probability"]
    n = data.schema.n_items
    for _, rows in frame.groupby("session"):
        assert rows["rank"].tolist() == list(range(1, n + 1))
        assert set(rows["item"]) == set(data.items["item"])
        assert (np.diff(rows["score"]) <= 0).all()
        assert rows["probability"].sum() == pytest.approx(1, abs=1e-5)
        odds = np.exp(rows["score"] - rows["score"].max())
        np.testing.assert_allclose(rows["probability"], odds / odds.sum(), rtol=1e-4)
    top = recommend(run_id, events, 3, home=home)
    pd.testing.assert_frame_equal(top, frame[frame["rank"] <= 3].reset_index(drop=True))


def test_pandas_and_polars_give_the_same_and_order_in_the_file_does_not_matter(
    world: tuple[Path, str, Dataset],
) -> None:
    home, run_id, data = world
    events = prefixes(data)[0].filter(pl.col("session_id") < "s0005")
    first = recommend(run_id, events, 5, home=home)
    pd.testing.assert_frame_equal(recommend(run_id, events.to_pandas(), 5, home=home), first)
    shuffled = events.sample(fraction=1.0, shuffle=True, seed=1)
    again = recommend(run_id, shuffled, 5, home=home).sort_values(["session", "rank"], ignore_index=True)
    pd.testing.assert_frame_equal(again, first.sort_values(["session", "rank"], ignore_index=True), rtol=1e-4)


def test_a_session_of_unknown_items_gets_the_most_popular(world: tuple[Path, str, Dataset]) -> None:
    home, run_id, data = world
    known = data.items["item"][0]
    events = pd.DataFrame({"session_id": ["x", "y", "y"], "item_id": [10**6, known, 10**6], "timestamp": [1, 1, 2]})
    frame = recommend(run_id, events, 4, home=home)
    popular = data.items.sort("count", descending=True, maintain_order=True)["item"].to_list()[:4]
    assert frame[frame["session"] == "x"]["item"].tolist() == popular
    alone = recommend(run_id, events[events["item_id"] == known], 4, home=home)
    assert frame[frame["session"] == "y"]["item"].tolist() == alone["item"].tolist()


def test_what_is_left_out_is_counted_and_said(world: tuple[Path, str, Dataset]) -> None:
    home, run_id, data = world
    known = data.items["item"][0]
    events = pd.DataFrame({"session_id": ["x", "y", "y"], "item_id": [10**6, known, 10**6], "timestamp": [1, 1, 2]})
    events["purchase"] = 1
    left_out = LeftOut(**recommend(run_id, events, 4, home=home).attrs["left_out"])
    assert left_out == LeftOut(events=2, of=3, sessions=1, short=0, values={})
    assert left_out.words == (
        "2 of 3 events have items that the run doesn't know and are left out; 1 session has no other: it gets the most "
        "popular"
    )
    assert LeftOut(**recommend(run_id, prefixes(data)[0], 4, home=home).attrs["left_out"]).words == ""


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home and a run on events with a price and a color."""
    root = tmp_path_factory.mktemp("priced")
    rows = [
        (s, (s * 3 + i) % 7, 60 * s + i, (s + i) % 5 + 0.5, "rgb"[(s + i * i) % 3]) for s in range(40) for i in range(4)
    ]
    events = pl.DataFrame(rows, ["session_id", "item_id", "timestamp", "price", "color"], orient="row")
    prepare(events, root / "d", PrepareOptions())
    return root / "home", run.run(small_spec(root / "d"), home=root / "home", on_report=silent).run_id


NEW = pl.DataFrame(
    {
        "session_id": [1, 1, 2],
        "item_id": [3, 6, 1],
        "timestamp": [9, 10, 9],
        "price": [1.5, 2.5, 0.5],
        "color": [*"rgb"],
    }
)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (NEW.select(sorted(NEW.columns)), ""),
        (NEW.with_columns(shop=1), ""),
        (NEW.select("item_id"), ""),
        (NEW.drop("price"), "column price of the training data is missing"),
        (NEW.rename({"price": "Price", "color": "color "}), "columns price, color of the training data are missing"),
        (NEW.drop("session_id"), "column session_id of the training data is missing"),
        (NEW.with_columns(price=pl.Series(["1,5", "2.5", "NA"])), "1 value of price is unknown"),
        (NEW.with_columns(price=pl.date(2026, 1, 1)), "3 values of price are unknown"),
        (NEW.with_columns(price=pl.concat_list("price", "price")), "3 values of price are unknown"),
    ],
)
def test_what_new_sessions_lack_is_said(events: pl.DataFrame, words: str, priced: tuple[Path, str]) -> None:
    home, run_id = priced
    assert LeftOut(**recommend(run_id, events, 2, home=home).attrs["left_out"]).words == words


def test_columns_that_the_run_does_not_read_are_not_missed(priced: tuple[Path, str]) -> None:
    home, _ = priced
    spec = small_spec(home.parent / "d", name="colors", model__inputs__features={"item_id": {}, "color": {}})
    run_id = run.run(spec, home=home, on_report=silent).run_id
    events = NEW.drop("color", "session_id").with_columns(price=pl.lit("free"))
    left_out = LeftOut(**recommend(run_id, events, 2, home=home).attrs["left_out"])
    assert (left_out.columns, left_out.values) == (("session_id", "color"), {})
    gone = LeftOut(**recommend(run_id, NEW.drop("price"), 2, home=home).attrs["left_out"])
    assert gone.words == ""


def test_seen_items_fill_no_place(world: tuple[Path, str, Dataset]) -> None:
    """A shorter list, and none for a session that has seen everything; the others stay as they are."""
    home, run_id, data = world
    recommender, catalog = Recommender.open(run_id, home=home), data.items["item"].to_list()
    recommender.spec = recommender.spec.override({"evaluation.filter_seen": True})
    seen = {"all": catalog, "most": catalog[:-3], "one": catalog[:1]}
    events = pl.DataFrame(
        [(s, i) for s, items in seen.items() for i in items], schema=["session_id", "item_id"], orient="row"
    )
    frame = recommender.top(recommender.vocabulary.encode(events), 10)
    lists = {s: rows["item"].tolist() for s, rows in frame.groupby("session")}
    assert {s: len(items) for s, items in lists.items()} == {"most": 3, "one": 10}
    assert set(lists["most"]) == set(catalog[-3:])
    assert catalog[0] not in lists["one"]
    assert np.isfinite(frame["score"]).all()
    assert frame.groupby("session")["rank"].apply(list).map(lambda r: r == list(range(1, len(r) + 1))).all()
    assert frame.attrs["left_out"]["short"] == 2


def test_sessions_without_the_item_column_are_refused(world: tuple[Path, str, Dataset]) -> None:
    home, run_id, _ = world
    with pytest.raises(InputError, match="column 'item_id' is missing"):
        recommend(run_id, pd.DataFrame({"session_id": [1], "thing": [2]}), home=home)
    with pytest.raises(InputError, match="k: 0 is less than 1"):
        recommend(run_id, pd.DataFrame({"item_id": [2]}), 0, home=home)


@pytest.mark.parametrize(
    "name", ["model/model.safetensors", "model/spec.json", "model/schema.json", "data/items.parquet"]
)
def test_a_changed_file_of_a_run_is_refused(world: tuple[Path, str, Dataset], name: str) -> None:
    """One bit is enough."""
    home, run_id, _ = world
    path = tracking.artifacts(home, run_id) / name
    sums, content = path.with_name("checksums.json"), path.read_bytes()
    written = sums.read_bytes()
    flipped = bytearray(content)
    flipped[-9] ^= 1
    try:
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=rf"{path.name}: is corrupt .*; .*train the run again"):
            Recommender.open(run_id, home=home)
        path.write_bytes(content)
        sums.write_text("{")
        with pytest.raises(InputError, match=r"checksums\.json"):
            Recommender.open(run_id, home=home)
        sums.unlink()
        with pytest.raises(InputError, match=r"checksums\.json: is missing; .*train the run again"):
            Recommender.open(run_id, home=home)
        sums.write_bytes(written)
        assert Recommender.open(run_id, home=home)
    finally:
        path.write_bytes(content)
        sums.write_bytes(written)


def test_a_run_without_a_model_says_how_to_get_one(world: tuple[Path, str, Dataset]) -> None:
    home, _, data = world
    stopped = run.run(small_spec(data.path, name="half"), home=home, on_report=silent, should_stop=lambda: True)
    with pytest.raises(InputError, match=f"has no model; resume it with `t4r-lab train --resume {stopped.run_id[:8]}`"):
        recommend("half", pd.DataFrame({"item_id": [2]}), home=home)
