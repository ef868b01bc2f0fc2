"""One more body is one more file: put into a copy of the package, it is trained, chosen, searched and written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import t4r_lab
from t4r_lab.nn import make_body
from t4r_lab.spec import BODIES
from tests.support.pages import touched, use

PAGE = "add-a-body.md"

USE = """
import json, sys, tempfile
from pathlib import Path
import polars as pl
import torch
import t4r_lab
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.lab.panels.architecture.spec_form import SpecForm
from t4r_lab.lab.state.draft import Draft
from t4r_lab.nn import make_body
from t4r_lab.runs.script import to_python
from t4r_lab.spec.space import search_space, searchable
from t4r_lab.training.assembly import build

home = Path(sys.argv[1])
rows = {"session_id": [i // 5 for i in range(600)], "item_id": [(i * i + i // 5) % 11 for i in range(600)], "timestamp": list(range(600))}
t4r_lab.prepare(pl.DataFrame(rows), home / "data")
data = Dataset.open(home / "data")
spec = t4r_lab.RunSpec.parse({
    "data": {"path": str(home / "data"), "max_length": 6}, "train": {"epochs": 2, "learning_rate": 0.01},
    "model": {"body": {"kind": "running_mean", "d_model": 8, "n_layer": 1, "decay": 0.5}}, "evaluation": {"cutoffs": [3]},
})
hidden = torch.arange(8.0).expand(1, 3, 8) * torch.tensor([1.0, 2.0, 4.0])[None, :, None]
block = make_body(spec.model.body, 6)
torch.nn.init.eye_(block.layers[0].weight)
torch.nn.init.zeros_(block.layers[0].bias)
program, built = {}, build(spec, data.schema, data.item_table(), item_counts=data.part("train").item_counts(data.schema.n_items))
text = to_python(spec, data.schema)
exec(text.partition("with Console")[0], program)
refused = ""
try:
    spec.override({"model.masking.kind": "mlm"})
except t4r_lab.InputError as error:
    refused = str(error)
form = SpecForm(Draft(spec, data.schema))
result = t4r_lab.run(spec, home=home / "home")
print(json.dumps({
    "output": block(hidden)[0, :, 1].tolist(),
    "status": result.status, "metrics": result.valid,
    "choices": spec.knobs()["model.body.kind"].choices,
    "form": [value for _, value in form.fields["model.body.kind"].control.options],
    "field": "model.body.decay" in form.fields,
    "kinds": searchable(spec)["model.body.kind"].choices,
    "range": [getattr(searchable(spec)["model.body.decay"], end) for end in ("low", "high")],
    "reached": "model.body.decay" in search_space(spec.override({"model.body.kind": "gru"}), [], {"model.body.kind": None, "model.body.decay": None}),
    "script": text,
    "same": all(torch.equal(a, b) for a, b in zip(built.state_dict().values(), program["model"].state_dict().values(), strict=True)),
    "refused": refused,
}))
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process says that runs a copy of the package with the body of the page."""
    return use([PAGE], USE, tmp_path_factory.mktemp("package"))


def test_a_body_touches_one_file() -> None:
    assert touched(PAGE) == ["t4r_lab/families/bodies/native/running_mean.py"]


def test_a_new_body_is_built_and_trained(used: dict[str, Any]) -> None:
    torch.testing.assert_close(used["output"], [1.0, (2 + 0.5) / 1.5, (4 + 0.5 * 2 + 0.25) / 1.75])
    assert used["status"] == "FINISHED"
    assert 0 < used["metrics"]["recall@3"] <= 1


def test_a_new_body_is_chosen_and_searched(used: dict[str, Any]) -> None:
    assert used["choices"] == used["form"] == [*BODIES, "running_mean"]
    assert used["field"]
    assert set(used["kinds"]) == {kind for kind, body in BODIES.items() if "clm" in body.maskings} | {"running_mean"}
    assert used["range"] == [0.3, 1]
    assert used["reached"]
    assert "use clm with running_mean" in used["refused"]


def test_a_new_body_is_written_as_a_program(used: dict[str, Any]) -> None:
    assert "make_body(RunningMean(d_model=8, n_layer=1, decay=0.5), 6)" in used["script"]
    assert used["same"]


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_is_made_by_its_row(kind: str) -> None:
    """What a builder gives maps events of the width to events of the width, and carries the maskings of the row."""
    row = BODIES[kind]
    block: Any = make_body(row.knobs.model_validate({"d_model": 16, "n_layer": 1}), 7)
    assert (block.kind, block.maskings) == (kind, row.maskings)
    assert row.exports in t4r_lab.nn.__all__
