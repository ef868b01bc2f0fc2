"""Pretrained vectors from files, brought into the order of the ids."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.errors import InputError, first_line
from t4r_lab.data.prepared.vocabulary import Vocabulary
from t4r_lab.data.read.frames import REFUSALS, read_parquet
from t4r_lab.spec import InputsSpec, ModelSpec, TowerSpec, VectorsSpec
from t4r_lab.spec.input_columns import PATH, Feature, resolve, vectors_of

Vectors = NDArray[np.float32]


def read_vectors(inputs: InputsSpec, vocabulary: Vocabulary, d_model: int) -> dict[str, Vectors]:
    """Read the pretrained vectors of features: name → (size, W), row i for id i, row 0 (padding) zero.

    Raises
    ------
    InputError
        for a file that can't be read, has another length or width, or lacks ids.
    """
    resolved = resolve(inputs, vocabulary.schema, d_model)
    return {
        name: _read_feature(f"{PATH}.{name}", feature, feature.vectors, name, vocabulary)
        for name, feature in resolved.items()
        if feature.vectors is not None
    }


def read_all_vectors(model: ModelSpec, vocabulary: Vocabulary) -> dict[str, Vectors]:
    """As `read_vectors`, for the model and every tower; features of the same name must have the same vectors."""
    by_feature: dict[str, Vectors] = {}
    files: dict[str, VectorsSpec] = {}
    parts: list[ModelSpec | TowerSpec] = [model, *model.towers]
    for number, part in enumerate(parts):
        where = f"model.towers.{number - 1}.inputs" if number else "model.inputs"
        features = part.inputs.features or {}
        named = {name: vectors for name, f in features.items() if (vectors := vectors_of(f)) is not None}
        for name, vectors in named.items():
            if files.setdefault(name, vectors) != vectors:
                raise InputError(
                    f"{where}.features.{name}.vectors",
                    "another tower has other vectors by this name",
                    "give the second feature another name",
                )
        try:
            by_feature |= read_vectors(part.inputs, vocabulary, part.body.d_model)
        except InputError as error:
            raise error.at(where + error.path.removeprefix("model.inputs")) from None
    return by_feature


def _read_feature(path: str, feature: Feature, spec: VectorsSpec, name: str, vocabulary: Vocabulary) -> Vectors:
    of_items = name not in vocabulary.schema or vocabulary.schema[name].role == "item"
    column = vocabulary.schema.item if of_items else vocabulary.schema[name]
    where = f"{path}.vectors.path"
    if not Path(spec.path).is_file():
        raise InputError(where, f"{spec.path}: no such file", "check the path")
    if spec.path.endswith(".npy"):
        vectors = _read_numpy(where, spec.path, column.size)
    elif spec.path.endswith(".parquet"):
        if of_items:
            raw_ids, ids, look_up = vocabulary.items["item"], vocabulary.items["item_id"], vocabulary.item_ids
        else:
            values = vocabulary.values(name)
            raw_ids, ids, look_up = values["value"], values["id"], partial(vocabulary.value_ids, column)
        usual = {column.source, column.name, "item" if of_items else "value"}
        vectors = _read_parquet_vectors(where, spec, usual, raw_ids, ids, look_up, column.size)
    else:
        raise InputError(where, f"{spec.path}: unknown ending", "use .parquet or .npy")
    if not np.isfinite(vectors).all():
        row = int(np.argmin(np.isfinite(vectors).all(1)))
        raise InputError(where, f"{spec.path}: the vector of id {row} holds NaN or infinity", "fix the file")
    if not feature.encoder.reads_vectors and vectors.shape[1] != feature.dim:
        raise InputError(
            f"{path}.dim",
            f"is {feature.dim}, but the vectors of {spec.path} have {vectors.shape[1]} numbers",
            f"set dim to {vectors.shape[1]}",
        )
    if not feature.encoder.reads_vectors and len(vectors) != feature.size:
        raise InputError(
            f"{path}.vectors",
            f"are of {len(vectors) - 1} ids, but its table {feature.table!r} has {feature.size - 1}",
            f"give them to the feature with the most ids, or {name} a table of its own",
        )
    return _normalize(vectors, spec.normalization)


def _read_numpy(where: str, path: str, size: int) -> Vectors:
    """Read an array of a row per id, with or without a row for padding."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(where, f"{path}: not an array of numbers ({error})", "save it with numpy.save") from None
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.shape[1] or len(array) not in (size, size - 1):
        raise InputError(
            where,
            f"{path}: has shape {array.shape}, but there are ids 1 to {size - 1}",
            f"give ({size - 1}, width), or ({size}, width) with a first row for padding",
        )
    vectors = np.zeros((size, array.shape[1]), np.float32)
    vectors[1:] = array[-(size - 1) :]
    return vectors


def _read_parquet_vectors(
    where: str,
    spec: VectorsSpec,
    usual: set[str],
    raw_ids: pl.Series,
    ids: pl.Series,
    look_up: Callable[[pl.Series], NDArray[np.int32]],
    size: int,
) -> Vectors:
    """Read a row per raw id, without rows of unknown ids. `look_up` maps raw ids to ids."""
    keys, lists = _keys_and_lists(where, spec.path, usual)
    row = np.full(size, -1, np.int64)
    row[look_up(keys)] = np.arange(len(keys))
    row = row[ids.to_numpy()]
    has_vector = row >= 0
    if spec.missing == "refuse" and not has_vector.all():
        raise InputError(
            where,
            f"{spec.path}: {int((~has_vector).sum()):,} of {len(raw_ids):,} have no vector, the first "
            f"{raw_ids.filter(pl.Series(~has_vector))[0]!r}",
            "add them, or set vectors.missing to zero",
        )
    table = lists.explode().to_numpy().reshape(len(keys), -1)
    vectors = np.zeros((size, table.shape[1]), np.float32)
    vectors[ids.to_numpy()[has_vector]] = table[row[has_vector]]
    return vectors


def _keys_and_lists(where: str, path: str, usual: set[str]) -> tuple[pl.Series, pl.Series]:
    """The raw ids of a Parquet file, each once, and their vectors as lists of equal length; drops rows with nulls.

    `usual` are the names by which the column of ids is recognized among several.
    """
    try:
        frame = read_parquet(path)
    except (OSError, *REFUSALS) as error:
        raise InputError(where, f"{path}: not a Parquet file ({first_line(error)})", "save it as Parquet") from None
    lists = [n for n, t in frame.schema.items() if isinstance(t, (pl.List, pl.Array))]
    rest = [n for n in frame.columns if n not in lists]
    keys = [n for n in rest if n in usual] or rest
    if len(lists) != 1 or len(keys) != 1:
        raise InputError(
            where,
            f"{path}: needs one column of ids and one of lists, has {', '.join(frame.columns)}",
            f"call the ids {sorted(usual)[0]!r} and keep one column of vectors",
        )
    held = frame.select(keys[0], pl.col(lists[0]).cast(pl.List(pl.Float32), strict=False)).drop_nulls()
    key, vectors = held[keys[0]], held[lists[0]]
    if key.is_duplicated().any():
        twice = key.filter(key.is_duplicated())[0]
        raise InputError(where, f"{path}: {twice!r} has two vectors", "keep one a row")
    widths = vectors.list.len().unique().to_list()
    if len(widths) != 1 or not widths[0]:
        words = ", ".join(map(str, sorted(widths))) or "no"
        raise InputError(where, f"{path}: vectors have {words} numbers", "give all the same length")
    return key, vectors


def _normalize(vectors: Vectors, how: str) -> Vectors:
    """Normalize rows; zero rows (padding, ids without a vector) stay zero."""
    nonzero = vectors.any(1)
    if how == "l2":
        vectors[nonzero] /= np.linalg.norm(vectors[nonzero], axis=1, keepdims=True)
    elif how == "standardize" and nonzero.any():
        std = vectors[nonzero].std(0)
        vectors[nonzero] = (vectors[nonzero] - vectors[nonzero].mean(0)) / np.where(std > 0, std, 1.0)
    return vectors
