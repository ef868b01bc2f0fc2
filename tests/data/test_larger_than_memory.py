"""Data that don't fit into memory: a process that may hold a quarter of them trains on them and evaluates."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from t4r_lab.baselines.successors_baseline import Successors
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.synthetic import Generator
from t4r_lab.data.prepared.folder import MANIFEST, read_sessions, write_atomically, write_sessions
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.data.sessions import arrays as module
from t4r_lab.data.sessions.arrays import Sessions, Texts
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec import RunSpec
from tests import ROOT

MEGABYTE = 2**20
ROOM = 256 * MEGABYTE
"""What a limited process may hold beside its libraries."""
SESSIONS, LENGTH, FEATURES = 20_000, 50, 128


def big_dataset(folder: Path) -> Dataset:
    """A gigabyte of training events: one item column and many continuous ones, written from mapped files."""
    small = prepare(Generator().events(600), folder / "small", PrepareOptions(features=[]))
    events, rng = SESSIONS * LENGTH, np.random.default_rng(0)
    values: dict[str, Any] = {"item_id": rng.integers(1, small.schema.n_items + 1, events, dtype=np.int32)}
    features = [f"x{number}" for number in range(FEATURES)]
    for name in features:
        values[name] = np.memmap(folder / name, np.float64, "w+", shape=events)
        values[name][:] = rng.standard_normal(events)
    offsets = np.arange(SESSIONS + 1, dtype=np.int64) * LENGTH
    ids = np.arange(SESSIONS).astype(str)
    train = Sessions(values, offsets, np.ones(SESSIONS, np.int32), {}, ids)
    columns = tuple(Column(name=name, kind="continuous") for name in features)
    with write_atomically(folder / "big", "time") as out:
        for path in [p for p in small.path.iterdir() if p.name != MANIFEST]:
            (shutil.copytree if path.is_dir() else shutil.copy)(path, out / path.name)
        Schema(columns=(small.schema.item, *columns)).save(out / "schema.json")
        write_sessions(train, out / "train.arrow")
        for part in ("valid", "test"):
            write_sessions(train.take(np.arange(300)), out / f"{part}.arrow")
    for name in features:
        (folder / name).unlink()
    return Dataset.open(folder / "big")


LIMITED = """
import json, resource, sys
from pathlib import Path
import mlflow.tracking, torch, transformers.models.gpt2.modeling_gpt2
import t4r_lab as t4r
from t4r_lab.training import evaluation, trainer
from t4r_lab.base.reports import silent

small, spec, home, room = json.loads(sys.argv[1])
t4r.run(t4r.RunSpec.parse(small), home=home, on_report=silent)  # whatever is loaded or set up for it is there now
status = Path("/proc/self/status").read_text()
libraries = 1024 * next(int(l.split()[1]) for l in status.splitlines() if l.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (libraries + room, libraries + room))
result = t4r.run(t4r.RunSpec.parse(spec), home=home, on_report=silent)
try:
    part = t4r.Dataset.open(spec["data"]["path"]).part("train")
    copies = [column.copy() for column in part.values.values()]
    held = True
except MemoryError:
    held = False
print(json.dumps([result.valid, held]))
"""


def limited(*arguments: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", LIMITED, json.dumps(arguments)], env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_DATA") or sys.platform != "linux", reason="counts mappings on Linux")
def test_a_run_on_four_times_the_memory_it_may_hold(tmp_path: Path) -> None:
    data = big_dataset(tmp_path)
    assert data.manifest.files["train.arrow"][0] > 3.9 * ROOM

    def spec(path: Path, features: list[str]) -> dict[str, Any]:
        return RunSpec.parse(
            {
                "data": {"path": str(path), "max_length": 10},
                "model": {
                    "inputs": {"features": {"item_id": {}, **{name: {} for name in features}}},
                    "body": {"kind": "gpt2", "d_model": 16, "n_layer": 1, "n_head": 1},
                },
                "train": {"epochs": 1, "device": "cpu", "batch_size": 256},
            }
        ).to_dict()

    arguments = spec(tmp_path / "small", []), spec(data.path, ["x0", "x127"]), str(tmp_path / "home"), ROOM
    done = limited(*arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    valid, held = json.loads(done.stdout)
    assert 0 < valid["recall@20"] < 1
    assert not held, "the limit holds nothing back"


def test_a_part_is_mapped_and_comes_back_as_it_was(tmp_path: Path) -> None:
    data = prepare(Generator().events(300), tmp_path / "d", PrepareOptions(targets=["purchase"]))
    train = data.part("train")
    for column in (*train.values.values(), *train.context.values(), train.offsets, train.target_start):
        assert not column.flags.owndata and not column.flags.writeable
    write_sessions(train, tmp_path / "again.arrow")
    assert (tmp_path / "again.arrow").read_bytes() == (data.path / "train.arrow").read_bytes()
    again = read_sessions(tmp_path / "again.arrow")
    for name, column in train.values.items():
        np.testing.assert_array_equal(again.values[name], column)


def test_ids_are_made_when_asked_for(tmp_path: Path) -> None:
    ids = prepare(Generator().events(300), tmp_path / "d", PrepareOptions()).part("train").ids
    whole = ids.tolist()
    assert isinstance(ids, Texts) and len(ids) == len(whole)
    assert ids[3] == whole[3] and list(ids) == whole
    assert ids[np.array([5, 2])].tolist() == [whole[5], whole[2]]
    assert ids[:4].tolist() == whole[:4]
    assert np.asarray(ids).tolist() == pl.Series(ids).to_list() == whole


@pytest.mark.parametrize("slab", [1, 7, 10**9])
def test_counts_of_slabs_are_those_of_the_whole(slab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import t4r_lab.baselines.successors_baseline

    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 9, 40))]).astype(np.int64)
    ids = rng.integers(1, 12, offsets[-1]).astype(np.int32)
    sessions = Sessions({"item_id": ids}, offsets, np.ones(40, np.int32), {}, np.arange(40).astype(str))
    for each in (module, t4r_lab.baselines.successors_baseline):
        monkeypatch.setattr(each, "SLAB", slab)
    np.testing.assert_array_equal(sessions.item_counts(12), [(ids == item).sum() for item in range(1, 13)])
    weight: dict[tuple[int, int], float] = {}
    for begin, end in pairwise(offsets.tolist()):
        for at in range(begin, end):
            for later in range(at + 1, min(at + 4, end)):
                pair = int(ids[at]), int(ids[later])
                weight[pair] = weight.get(pair, 0.0) + 1 / (later - at)
    counts = Successors(sessions, 12)
    item = np.repeat(np.arange(13), np.diff(counts.rows))
    pairs = zip(item.tolist(), counts.successor.tolist(), strict=True)
    assert dict(zip(pairs, counts.weight, strict=True)) == pytest.approx(weight)
