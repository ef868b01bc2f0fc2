"""Vectors from files: brought into the order of our ids, and refused by name where they don't fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from t4r_lab import tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import silent
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.data.prepared.vectors import read_vectors
from t4r_lab.runs import evaluate, run
from t4r_lab.spec import InputsSpec
from tests.support.small import small_data, small_spec


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.open(small_data(tmp_path_factory.mktemp("data") / "d"))


def own_vectors(data: Dataset, width: int = 3) -> pl.DataFrame:
    """A vector for each of the user's own ids, made of the id, in another order than ours; and one of another item."""
    items = data.items["item"].to_list()
    rows = [{"item": item, "vector": [1.0 + hash((item, i)) % 97 for i in range(width)]} for item in items]
    other = {"item": items[0] * 0 + 987_654 if isinstance(items[0], int) else "another", "vector": [1.0] * width}
    return pl.DataFrame([*reversed(rows), other])


def read(data: Dataset, path: Path, feature: str = "blog", dim: int | None = None, **vectors: Any) -> np.ndarray:
    features = {feature: {"dim": dim, "vectors": {"path": str(path), **vectors}}}
    return read_vectors(InputsSpec.model_validate({"features": features}), data.vocabulary, 8)[feature]


def test_vectors_are_found_by_the_users_own_ids(data: Dataset, tmp_path: Path) -> None:
    frame = own_vectors(data)
    frame.write_parquet(tmp_path / "v.parquet")
    vectors = read(data, tmp_path / "v.parquet")
    by_item = dict(frame.iter_rows())
    assert vectors.shape == (data.schema.item.size, 3) and not vectors[0].any()
    for number in range(1, len(vectors)):
        assert vectors[number].tolist() == by_item[data.own_ids([number])[0]]
    arrays = frame.with_columns(pl.col("vector").cast(pl.Array(pl.Float64, 3))).rename({"item": "whatever"})
    arrays.write_parquet(tmp_path / "a.parquet")
    assert np.array_equal(read(data, tmp_path / "a.parquet"), vectors)


def test_an_array_has_a_row_per_id(data: Dataset, tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(data.schema.n_items, 4))
    np.save(tmp_path / "v.npy", array)
    vectors = read(data, tmp_path / "v.npy")
    assert np.allclose(vectors[1:], array) and not vectors[0].any()
    np.save(tmp_path / "p.npy", np.concatenate([np.ones((1, 4)), array]))
    assert np.array_equal(read(data, tmp_path / "p.npy"), vectors)


def test_a_category_starts_from_vectors_of_its_values(data: Dataset, tmp_path: Path) -> None:
    column = next(c for c in data.schema.features if c.kind == "categorical" and c.role == "feature")
    values = data.vocabulary.values(column.name)
    frame = pl.DataFrame({"value": values["value"], "vector": [[float(i), 0.0] for i in values["id"]]})
    frame.write_parquet(tmp_path / "v.parquet")
    vectors = read(data, tmp_path / "v.parquet", column.name, dim=2, missing="zero")
    assert vectors[:, 0].tolist() == [0, 0, *range(2, column.size)]  # neither padding nor unknown has one


def test_normalization_leaves_what_has_no_vector_at_zero(data: Dataset, tmp_path: Path) -> None:
    frame = own_vectors(data)[2:]
    frame.write_parquet(tmp_path / "v.parquet")
    plain, length, standard = (
        read(data, tmp_path / "v.parquet", missing="zero", normalization=n) for n in ("none", "l2", "standardize")
    )
    given = plain.any(1)
    assert int((~given).sum()) == 3  # padding and the two that were cut off
    assert not length[~given].any() and not standard[~given].any()
    assert np.allclose(length[given], plain[given] / np.linalg.norm(plain[given], axis=1)[:, None])
    assert np.allclose(standard[given].mean(0), 0, atol=1e-6) and np.allclose(standard[given].std(0), 1, atol=1e-6)


def test_what_does_not_fit_is_refused(data: Dataset, tmp_path: Path) -> None:
    frame, size = own_vectors(data), data.schema.item.size
    cases: dict[str, tuple[pl.DataFrame | np.ndarray, str]] = {
        "short.npy": (np.ones((5, 3)), rf"blog.vectors.path: .*shape \(5, 3\), but there are ids 1 to {size - 1}"),
        "flat.npy": (np.ones(size), "shape"),
        "nan.npy": (np.full((size, 2), np.nan), "the vector of id 1 holds NaN"),
        "missing.parquet": (frame[3:], f"3 of {size - 1} have no vector, the first .*set vectors.missing to zero"),
        "twice.parquet": (pl.concat([frame, frame[:1]]), "has two vectors"),
        "ragged.parquet": (
            frame.with_columns(
                pl.when(pl.int_range(pl.len()) == 1).then(pl.lit([1.0])).otherwise("vector").alias("vector")
            ),
            "vectors have 1, 3 numbers",
        ),
        "no_lists.parquet": (frame.select("item"), "needs one column of ids and one of lists, has item"),
    }
    for name, (content, words) in cases.items():
        path = tmp_path / name
        np.save(path, content) if isinstance(content, np.ndarray) else content.write_parquet(path)
        with pytest.raises(InputError, match=words):
            read(data, path)
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    for name, words in (("broken.npy", "not an array"), ("gone.npy", "no such file"), ("short.csv", "no such file")):
        with pytest.raises(InputError, match=words):
            read(data, tmp_path / name)
    frame.write_parquet(tmp_path / "v.parquet")
    with pytest.raises(InputError, match=r"item_id.dim: is 8, but the vectors of .* have 3 numbers; set dim to 3"):
        read(data, tmp_path / "v.parquet", "item_id")


def test_a_recorded_model_needs_the_file_no_more(data: Dataset, tmp_path: Path) -> None:
    own_vectors(data, 5).write_parquet(tmp_path / "v.parquet")
    features = {"item_id": {}, "blog": {"vectors": {"path": str(tmp_path / "v.parquet"), "normalization": "l2"}}}
    spec = small_spec(data.path, model__inputs__features=features)
    result = run.run(spec, home=tmp_path / "home", on_report=silent)
    wanted = read(data, tmp_path / "v.parquet", normalization="l2")
    (tmp_path / "v.parquet").unlink()
    model, *_ = evaluate.load_model(tmp_path / "home", tracking.find(tmp_path / "home", result.run_id))
    assert torch.equal(model.head.body.inputs.item_table_blog, torch.as_tensor(wanted))
    again = evaluate.evaluate_run(result.run_id, home=tmp_path / "home", on_report=silent)
    assert again.valid == result.valid
    with pytest.raises(InputError, match="no such file"):
        run.run(spec, home=tmp_path / "other", on_report=silent)
    assert not tracking.runs(tmp_path / "other")
