"""From raw events to prepared sessions, against a plain-Python reading of the same events."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.prepared import folder
from t4r_lab.data.prepared.folder import VERSION
from t4r_lab.data.prepared.prepared_data import Dataset
from tests import ROOT

SHARED = ROOT.parent / "shared" / "data"
real = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the real data stands beside the project only where it is developed"
)


def events(n: int = 400, seed: int = 0) -> pl.DataFrame:
    """Random clicks of 60 sessions with item and event features, in no order."""
    rng = np.random.default_rng(seed)
    item = rng.integers(0, 30, n)
    session = rng.integers(0, 60, n)
    return pl.DataFrame(
        {
            "visit": session,
            "product": [f"p{i}" for i in item],
            "at": rng.permutation(n) * 1000.0 + 1e9,
            "brand": [f"brand {i % 5}" for i in item],
            "price": item * 1.5,
            "seconds": rng.normal(10, 3, n),
            "device": [("phone", "desktop")[s % 2] for s in session],
            "bought": session % 2,
        }
    )


ROLES = {"session": "visit", "item": "product", "time": "at"}


def sessions_of(frame: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    sessions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(frame.to_dicts(), key=lambda r: r["at"]):
        sessions[str(row["visit"])].append(row)
    return sessions


def own_items(data: Dataset, part: str) -> dict[str, list[str]]:
    sessions = data.part(part)
    return {
        str(key): data.own_ids(sessions.values["item_id"][a:b])
        for key, a, b in zip(sessions.ids, sessions.offsets[:-1], sessions.offsets[1:], strict=True)
    }


# ── splits ──────────────────────────────────────────────────────────────────────────────────────


def test_a_time_split_cuts_by_the_end_of_sessions(tmp_path: Path) -> None:
    frame = events()
    data = prepare(frame, tmp_path / "d", PrepareOptions(**ROLES, valid_share=0.2, test_share=0.25))
    wanted = {k: v for k, v in sessions_of(frame).items() if len(v) >= 2}
    ends = sorted(v[-1]["at"] for v in sessions_of(frame).values())
    test = ends[int(len(ends) * 0.75)]
    before = [e for e in ends if e < test]
    valid = before[int(len(before) * 0.8)]
    known = {r["product"] for v in wanted.values() if v[-1]["at"] < valid for r in v}
    for part, low, high in (("train", 0, valid), ("valid", valid, test), ("test", test, np.inf)):
        expected = {
            k: items
            for k, v in wanted.items()
            if low <= v[-1]["at"] < high and len(items := [r["product"] for r in v if r["product"] in known]) >= 2
        }
        assert own_items(data, part) == expected
    assert max(data.part("train").values["timestamp"]) < valid  # nothing in training is later than the cut


def test_leave_one_out_keeps_the_last_two_events_apart(tmp_path: Path) -> None:
    frame = events()
    data = prepare(frame, tmp_path / "d", PrepareOptions(**ROLES, split="leave_one_out"))
    wanted = {k: [r["product"] for r in v] for k, v in sessions_of(frame).items() if len(v) >= 3}
    short = {k: [r["product"] for r in v] for k, v in sessions_of(frame).items() if len(v) == 2}
    assert own_items(data, "test") == wanted
    assert own_items(data, "valid") == {k: v[:-1] for k, v in wanted.items()}
    assert own_items(data, "train") == {k: v[:-2] for k, v in wanted.items()} | short
    lengths = np.diff(data.part("test").offsets)
    assert data.part("test").target_start.tolist() == (lengths - 1).tolist()
    assert data.part("valid").target_start.tolist() == (lengths - 2).tolist()
    assert own_items(data, "train+valid") == own_items(data, "valid") | short
    count = Counter(i for v in [*short.values(), *(w[:-2] for w in wanted.values())] for i in v)
    every = {i for v in [*short.values(), *wanted.values()] for i in v}
    assert dict(data.items.select("item", "count").iter_rows()) == {i: count[i] for i in every}


def test_a_given_test_part_is_kept_apart_even_where_session_ids_are_the_same(tmp_path: Path) -> None:
    frame, later = events(), events(100, 1).with_columns(pl.col("at") + 1e6)
    options = PrepareOptions(**ROLES, valid_share=0.2, unseen_items="keep")
    data = prepare(frame, tmp_path / "d", options, test=later)
    expected = {k: [r["product"] for r in v] for k, v in sessions_of(later).items() if len(v) >= 2}
    assert own_items(data, "test") == expected
    assert len(data.part("train+valid")) == sum(len(v) >= 2 for v in sessions_of(frame).values())


@pytest.mark.parametrize(
    "cut", [{"test_from": "2001-09-13T14:00:00", "valid_from": "2001-09-13"}, {"test_days": 1, "valid_days": 0.5}]
)
def test_cuts_by_date_and_by_days(tmp_path: Path, cut: dict[str, Any]) -> None:
    profile = prepare(events(), tmp_path / "d", PrepareOptions(**ROLES, **cut)).profile
    last = max(r[-1]["at"] for r in sessions_of(events()).values())
    expected = {"test": 1000389600.0, "valid": 1000339200.0} if "test_from" in cut else {"test": last - 86400}
    for part, second in expected.items():
        assert profile["cuts"][part] == second


# ── columns ─────────────────────────────────────────────────────────────────────────────────────


def test_columns_are_stored_where_they_vary(tmp_path: Path) -> None:
    frame = events()
    data = prepare(frame, tmp_path / "d", PrepareOptions(**ROLES, targets=["bought"]))
    assert {c.name: (c.kind, c.scope, c.role) for c in data.schema if c.role in ("feature", "target")} == {
        "brand": ("categorical", "item", "feature"),
        "price": ("continuous", "item", "feature"),
        "seconds": ("continuous", "event", "feature"),
        "device": ("categorical", "session", "feature"),
        "bought": ("categorical", "session", "target"),
    }
    sessions, brands = data.part("train"), data.vocabulary.values("brand")
    name = dict(brands.iter_rows())
    table = data.item_table()
    for original, item in zip(data.items["item"], data.items["item_id"], strict=True):
        assert name[table["brand"][item]] == f"brand {int(original[1:]) % 5}"
    column = data.schema["seconds"]
    raw = sessions.values["seconds"] * column.std + column.mean
    expected = [r["seconds"] for k in sessions.ids for r in sessions_of(frame)[k]]
    np.testing.assert_allclose(raw, expected, atol=1e-4)
    assert abs(sessions.values["seconds"].mean()) < 1e-5  # standardized by the training part
    assert sessions.values["seconds"].std() == pytest.approx(1, abs=0.01)


def test_unseen_category_values_are_unknown(tmp_path: Path) -> None:
    frame = events().with_columns(
        pl.when(pl.col("at") > 1e9 + 3.8e5).then(pl.lit("new")).otherwise(pl.lit("old")).alias("era")
    )
    data = prepare(
        frame, tmp_path / "d", PrepareOptions(**ROLES, valid_from="2001-09-13", test_from="2001-09-13T14:00")
    )
    assert data.vocabulary.values("era")["value"].to_list() == ["old"]
    assert set(data.part("test").values["era"]) == {1, 2}


def test_kinds_can_be_set_and_columns_ignored(tmp_path: Path) -> None:
    options = PrepareOptions(**ROLES, ignore=["device"], kinds={"seconds": "categorical", "bought": "continuous"})
    schema = prepare(events(), tmp_path / "d", options).schema
    assert "device" not in schema
    assert (schema["seconds"].kind, schema["bought"].kind) == ("categorical", "continuous")


def test_usual_names_need_no_options(tmp_path: Path) -> None:
    frame = events().select(
        pl.col("visit").alias("SessionId"), pl.col("product").alias("ItemId"), pl.col("at").alias("Time")
    )
    data = prepare(frame.to_pandas(), tmp_path / "d")
    assert [c.source for c in data.schema] == ["ItemId", "Time", "SessionId"]


# ── sessions and filters ────────────────────────────────────────────────────────────────────────


def test_inactivity_cuts_a_users_events_into_sessions(tmp_path: Path) -> None:
    minutes = [0, 5, 40, 45, 50, 200, 201]
    frame = pl.DataFrame(
        {
            "user_id": ["a"] * 7 + ["b"] * 7,
            "item_id": [*range(1, 8), *range(1, 8)],
            "timestamp": [1e9 + m * 60 for m in minutes] + [1e9 + 86400 + m * 60 for m in minutes],
        }
    )
    options = PrepareOptions(gap_minutes=30, unseen_items="keep", valid_share=0.2, test_share=0.2)
    data = prepare(frame, tmp_path / "d", options)
    sessions = {k: v for part in ("train", "valid", "test") for k, v in own_items(data, part).items()}
    each = {"#1": [1, 2], "#2": [3, 4, 5], "#3": [6, 7]}
    assert sessions == {u + k: v for u in "ab" for k, v in each.items()}


def test_repeats_and_rare_items_and_short_sessions_are_left_out(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "session_id": [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6],
            "item_id": ["a", "a", "b", "a", "a", "rare", "b", "a", "b", "a", "a", "b", "a"],
            "timestamp": [float(10 + i) for i in range(13)],
        }
    )
    options = PrepareOptions(
        drop_repeats=True,
        min_item_support=2,
        time_format="seconds",
        test_from="1970-01-01T00:00:20",
        valid_from="1970-01-01T00:00:18",
    )
    data = prepare(frame, tmp_path / "d", options)
    assert own_items(data, "train") == {"1": ["a", "b", "a"], "3": ["b", "a"]}
    left = data.profile["left_out"]
    assert left["repeats"] == 1
    assert left["rare_item_events"] == 1
    assert left["short_sessions"] + left["short_later_sessions"] == 2


def test_events_of_the_same_time_keep_the_order_of_the_file(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": [1] * 6, "item_id": [3, 1, 2, 6, 5, 4], "timestamp": [5.0] * 6})
    data = prepare(frame, tmp_path / "d", PrepareOptions(split="leave_one_out"))
    assert own_items(data, "test") == {"1": [3, 1, 2, 6, 5, 4]}


# ── files ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_every_file_form_gives_the_same_data(tmp_path: Path, ending: str) -> None:
    frame, path = events(), tmp_path / f"events.{ending}"
    if ending == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="\t" if ending == "tsv" else ",")
    one = prepare(path, tmp_path / "a", PrepareOptions(**ROLES))
    two = prepare(frame, tmp_path / "b", PrepareOptions(**ROLES))
    assert own_items(one, "train") == own_items(two, "train")
    assert one.schema == two.schema


@pytest.mark.parametrize(
    "times",
    [
        ["2026-01-01 10:00:00", "2026-01-01T10:00:01Z", "2026-01-02T00:00:00"],
        [1767261600000, 1767261601000, 1767312000000],
        [1767261600, 1767261601, 1767312000],
    ],
)
def test_times_in_any_usual_form(tmp_path: Path, times: list[Any]) -> None:
    frame = pl.DataFrame({"session_id": [1] * 3 + [2] * 3, "item_id": [1, 2, 3] * 2, "time": times * 2})
    data = prepare(frame, tmp_path / "d", PrepareOptions(split="leave_one_out"))
    assert data.part("test").values["timestamp"].tolist()[:3] == [1767261600.0, 1767261601.0, 1767312000.0]


def test_recbole_files_bring_their_attributes(tmp_path: Path) -> None:
    (tmp_path / "x.inter").write_text(
        "user_id:token\titem_id:token\ttimestamp:float\n"
        + "".join(f"{u}\t{i}\t{i}\n" for u in "ab" for i in range(1, 6))
    )
    (tmp_path / "x.item").write_text(
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tToy Story\tFun Kids\n2\tAlien\tHorror\n"
    )
    (tmp_path / "x.user").write_text("user_id:token\tage:token\na\t24\nb\t53\n")
    data = prepare(tmp_path / "x.inter", tmp_path / "d", PrepareOptions(split="leave_one_out"))
    assert data.schema["class"].multi
    assert (data.schema["age"].scope, data.schema["age"].kind) == ("session", "categorical")
    assert data.titles([data.items.filter(pl.col("item") == i)["item_id"][0] for i in (1, 2, 3)]) == [
        "Toy Story",
        "Alien",
        "3",
    ]
    names = dict(data.vocabulary.values("class").iter_rows())
    row = data.items.filter(pl.col("item") == 1)["item_id"][0]
    assert [names[i] for i in data.item_table()["class"][row]] == ["Fun", "Kids"]


def test_a_user_and_its_items_a_line(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("1 10 20 30\n2 20 10 40 50\n")
    (tmp_path / "attributes.json").write_text('{"10": [1, 2], "20": [2]}')
    options = PrepareOptions(split="leave_one_out")
    data = prepare(tmp_path / "lines.txt", tmp_path / "d", options, items=tmp_path / "attributes.json")
    assert own_items(data, "test") == {"1": [10, 20, 30], "2": [20, 10, 40, 50]}
    assert data.schema["attributes"].multi


# ── new sessions ────────────────────────────────────────────────────────────────────────────────


def test_new_sessions_are_encoded_as_training_was(tmp_path: Path) -> None:
    frame = events()
    data = prepare(frame, tmp_path / "d", PrepareOptions(**ROLES))
    again = data.encode(frame.filter(pl.col("visit").cast(pl.String).is_in(data.part("train").ids.tolist())))
    by_id = {k: i for i, k in enumerate(again.ids)}
    rows = np.array([by_id[k] for k in data.part("train").ids])
    taken = again.take(rows)
    for name, values in data.part("train").values.items():
        if name != "timestamp":
            np.testing.assert_allclose(taken.values[name], values, atol=1e-5)
    np.testing.assert_array_equal(taken.context["device"], data.part("train").context["device"])


def test_unknown_items_are_dropped_and_counted_and_names_may_be_canonical(tmp_path: Path) -> None:
    data = prepare(events(), tmp_path / "d", PrepareOptions(**ROLES))
    new = pd.DataFrame({"session_id": ["s", "s", "t"], "item_id": ["p1", "nothing", "nothing"]})
    encoded = data.encode(new)
    assert (encoded.dropped, np.diff(encoded.offsets).tolist(), encoded.ids.tolist()) == (2, [1, 0], ["s", "t"])
    with pytest.raises(InputError, match="column 'product' is missing"):
        data.encode(pd.DataFrame({"session_id": [1], "thing": [2]}))


# ── the folder ──────────────────────────────────────────────────────────────────────────────────


def test_the_same_events_give_the_same_digest(tmp_path: Path) -> None:
    one, two = (prepare(events(), tmp_path / n, PrepareOptions(**ROLES)).digest for n in "ab")
    assert one == two
    assert prepare(events(seed=1), tmp_path / "c", PrepareOptions(**ROLES)).digest != one


@pytest.mark.parametrize("name", ["schema.json", "items.parquet", "test.arrow", "profile.json", "manifest.json"])
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    folder = prepare(events(), tmp_path / "d", PrepareOptions(**ROLES)).path
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-3] + b"xyz")
    with pytest.raises(InputError, match=name):
        Dataset.open(folder)
    path.unlink()
    with pytest.raises(InputError, match=name):
        Dataset.open(folder)


@pytest.mark.parametrize("version", [VERSION - 1, VERSION + 1])
def test_a_folder_of_another_format_is_refused(tmp_path: Path, version: int) -> None:
    manifest = prepare(events(), tmp_path / "d", PrepareOptions(**ROLES)).path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": version}))
    with pytest.raises(InputError, match=rf"format version {version}, this t4r-lab reads {VERSION}; prepare the data"):
        Dataset.open(tmp_path / "d")


def test_a_foreign_file_and_a_foreign_folder_are_refused(tmp_path: Path) -> None:
    folder = prepare(events(), tmp_path / "d", PrepareOptions(**ROLES)).path
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt: is not part of the prepared data"):
        Dataset.open(folder)
    with pytest.raises(InputError, match=r"notes\.txt"):
        prepare(events(), folder, PrepareOptions(**ROLES))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_text("x")
    with pytest.raises(InputError, match="is not empty and holds no prepared data"):
        prepare(events(), tmp_path / "mine", PrepareOptions(**ROLES))
    assert (tmp_path / "mine" / "photo.jpg").exists()


def test_a_full_disk_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = prepare(events(), tmp_path / "d", PrepareOptions(**ROLES)).digest
    open_file = pa.OSFile

    def full(path: str, mode: str) -> Any:
        if "valid" in path:
            raise OSError(28, "No space left on device")
        return open_file(path, mode)

    monkeypatch.setattr(pa, "OSFile", full)
    with pytest.raises(InputError, match="the disk is full"):
        prepare(events(seed=1), tmp_path / "d", PrepareOptions(**ROLES))
    assert Dataset.open(tmp_path / "d").digest == old
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


READS: list[Callable[[Dataset], object]] = [
    lambda data: data.part("train"),
    lambda data: data.part("train+valid"),
    lambda data: data.profile,
    lambda data: data.schema,
]


@pytest.mark.parametrize("read", READS)
def test_data_prepared_again_since_they_were_opened_are_refused(
    read: Callable[[Dataset], object], tmp_path: Path
) -> None:
    data = prepare(events(), tmp_path / "d", PrepareOptions(**ROLES))
    valid, n_valid = data.part("valid"), data.profile["parts"]["valid"]["sessions"]
    opened = Dataset.open(tmp_path / "d")
    prepare(events(), tmp_path / "d", PrepareOptions(**ROLES))
    read(Dataset.open(tmp_path / "d")), read(opened)  # the same data
    opened = Dataset.open(tmp_path / "d")
    prepare(events(seed=1), tmp_path / "d", PrepareOptions(**ROLES))
    with pytest.raises(InputError, match="prepared again since they were opened; open them again"):
        read(opened)
    read(Dataset.open(tmp_path / "d"))
    assert data.part("valid") is valid and len(valid) == n_valid  # what was read before stays
    assert all(0 < id <= 30 for id in valid.values["item_id"])


def test_a_vocabulary_reads_no_tables_of_other_data(tmp_path: Path) -> None:
    vocabulary = prepare(events(), tmp_path / "d", PrepareOptions(**ROLES)).vocabulary
    prepare(events(seed=1), tmp_path / "d", PrepareOptions(**ROLES))
    for read in (
        lambda: vocabulary.values("device"),
        lambda: vocabulary.encode(events()),
        lambda: vocabulary.copy_to(tmp_path / "copy"),
    ):
        with pytest.raises(InputError, match="prepared again since they were opened; open them again"):
            read()


def test_data_replaced_while_they_are_opened_are_the_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(events(), tmp_path / "d", PrepareOptions(**ROLES))
    new = prepare(events(seed=1), tmp_path / "new", PrepareOptions(**ROLES)).digest
    verify = folder.verify

    def replaced_meanwhile(*arguments: Any) -> None:
        if (tmp_path / "new").exists():
            shutil.rmtree(tmp_path / "d")
            (tmp_path / "new").rename(tmp_path / "d")
        verify(*arguments)

    monkeypatch.setattr(folder, "verify", replaced_meanwhile)
    data = Dataset.open(tmp_path / "d")
    assert data.digest == new and len(data.part("train")) == data.profile["parts"]["train"]["sessions"]


def test_the_profile_is_small_and_counts(tmp_path: Path) -> None:
    data = prepare(events(), tmp_path / "d", PrepareOptions(**ROLES))
    profile = data.profile
    for part, sizes in profile["parts"].items():
        sessions = data.part(part)
        assert sizes["sessions"] == len(sessions)
        assert sizes["events"] == sessions.offsets[-1]
    assert sum(profile["lengths"]["histogram"].values()) == len(data.part("train"))
    assert profile["checks"]["training_events_after_the_valid_cut"] == 0
    assert len(json.dumps(profile)) < 50_000


def test_gini_of_the_profile_by_its_definition() -> None:
    from t4r_lab.data.pipeline.profile import _popularity

    count = np.random.default_rng(0).integers(0, 50, 40)
    differences = np.abs(count[:, None] - count[None]).sum()
    assert _popularity(count)["gini"] == pytest.approx(differences / (2 * len(count) * count.sum()), abs=1e-4)


# ── real data ───────────────────────────────────────────────────────────────────────────────────


@real
def test_yoochoose(tmp_path: Path) -> None:
    folder = SHARED / "yoochoose-100k"
    data = prepare(
        folder / "yoochoose-clicks-100k_train_full.txt",
        tmp_path / "d",
        PrepareOptions(valid_days=1, unseen_items="keep"),
        test=folder / "yoochoose-clicks-100k_test.txt",
    )
    assert (len(data.part("train+valid")), data.schema.n_items, len(data.part("test"))) == (17_794, 2_933, 3_416)
    assert data.part("train+valid").offsets[-1] == 70_278
    from t4r_lab.baselines.baseline_ranks import evaluate
    from t4r_lab.baselines.successors_baseline import Successors
    from t4r_lab.spec import EvaluationSpec

    metrics = evaluate(
        Successors(data.part("train+valid"), data.schema.n_items),
        data.part("test"),
        EvaluationSpec(cutoffs=[20], positions="all"),
    ).metrics()
    assert metrics["recall@20"] == pytest.approx(0.6468, abs=0.01)
    assert metrics["mrr@20"] == pytest.approx(0.3339, abs=0.01)


@real
def test_ml_100k_and_beauty(tmp_path: Path) -> None:
    options = PrepareOptions(split="leave_one_out")
    films = prepare(SHARED / "ml-100k" / "ml-100k.inter", tmp_path / "m", options)
    assert (len(films.part("test")), films.schema.n_items, films.part("test").offsets[-1]) == (943, 1_682, 100_000)
    beauty = prepare(SHARED / "beauty" / "Beauty.txt", tmp_path / "b", options)
    assert (len(beauty.part("test")), beauty.schema.n_items, beauty.part("test").offsets[-1]) == (
        22_363,
        12_101,
        198_502,
    )
