"""One more encoder, masking, loss or sampler is one more file: put into a copy of the package, they are trained and chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from t4r_lab.families.encoders.encoder_table import ENCODERS
from t4r_lab.families.samplers.sampler_table import SAMPLERS
from t4r_lab.spec import LOSSES, MASKINGS
from tests.support.pages import touched, use

FILES = {
    "add-an-encoder.md": "encoders/perceptron.py",
    "add-a-masking.md": "maskings/tail.py",
    "add-a-loss.md": "losses/hinge.py",
    "add-a-sampler.md": "samplers/power.py",
}
"""Page → the one file that it shows."""
USE = """
import json, sys
from pathlib import Path
import polars as pl
import torch
import t4r_lab
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.lab.panels.architecture.feature_table import FeatureEditor
from t4r_lab.lab.panels.architecture.spec_form import SpecForm
from t4r_lab.lab.state.draft import Draft
from t4r_lab.nn import Batch
from t4r_lab.runs.script import to_python
from t4r_lab.spec.space import searchable
from t4r_lab.training.assembly import build

home, loss = Path(sys.argv[1]), "model.heads.0.loss"
rows = {"session_id": [i // 5 for i in range(600)], "item_id": [(i * i + i // 5) % 11 for i in range(600)], "timestamp": list(range(600)), "price": [(i * 7 % 13) / 4 for i in range(600)]}
t4r_lab.prepare(pl.DataFrame(rows), home / "data")
data = Dataset.open(home / "data")
spec = t4r_lab.RunSpec.parse({
    "data": {"path": str(home / "data"), "max_length": 6}, "train": {"epochs": 2, "learning_rate": 0.01},
    "model": {"inputs": {"features": {"item_id": {}, "price": {"encoding": "perceptron", "units": 3, "dim": 4}}},
        "masking": {"kind": "tail", "events": 1}, "body": {"kind": "bert", "d_model": 8, "n_layer": 1},
        "heads": [{"loss": {"kind": "hinge", "margin": 0.5, "negatives": 4, "sampler": "power"}}]},
    "evaluation": {"cutoffs": [3]},
})
counts = data.part("train").item_counts(data.schema.n_items)
program, built = {}, build(spec, data.schema, data.item_table(), item_counts=counts)
text = to_python(spec, data.schema)
exec(text.partition("with Console")[0], program)
masked = spec.model.masking.training(Batch({"item_id": torch.tensor([[4, 5, 6], [7, 8, 0]])}, torch.tensor([3, 2])))
head = spec.model.heads[0].loss
pair = head.pair_loss(torch.tensor([1.0]), torch.tensor([[0.8, 0.0, 9.0]]), torch.tensor([[False, False, True]]), 11)
form, knobs = SpecForm(Draft(spec, data.schema)), spec.knobs()
price = "model.inputs.features.price"
encoder = built.heads[0].body.inputs.encoders["price"]
row = FeatureEditor(Draft(spec, data.schema), print).rows["price"]
row.more.value = True
paths = {"encoder": f"{price}.encoding", "masking": "model.masking.kind", "loss": f"{loss}.kind", "sampler": f"{loss}.sampler"}
refused = ""
try:
    spec.override({"model.body.kind": "gpt2"})
except t4r_lab.InputError as error:
    refused = str(error)
result = t4r_lab.run(spec, home=home / "home")
print(json.dumps({
    "labels": masked.labels.tolist(), "pair": float(pair), "status": result.status, "metrics": result.valid,
    "choices": {family: list(knobs[path].choices) for family, path in paths.items()},
    "fields": [path in form.fields for path in (*list(paths.values())[1:], "model.masking.events", f"{loss}.margin")],
    "row": [list(row.fields), row.encoding.value, row.fields["units"].control.value],
    "encoded": encoder(torch.tensor([0.5, -2.0])).tolist(), "weights": [p.tolist() for p in encoder.parameters()],
    "range": [searchable(spec)[f"{price}.units"].high, searchable(spec)["model.masking.events"].high, searchable(spec)[f"{loss}.margin"].high],
    "script": text, "refused": refused,
    "same": all(torch.equal(a, b) for a, b in zip(built.state_dict().values(), program["model"].state_dict().values(), strict=True)),
}))
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process prints that runs a copy of the package with the file of each page."""
    return use(list(FILES), USE, tmp_path_factory.mktemp("package"))


def test_a_member_touches_one_file() -> None:
    assert {page: touched(page) for page in FILES} == {
        page: [f"t4r_lab/families/{file}"] for page, file in FILES.items()
    }


def test_new_members_are_built_and_trained(used: dict[str, Any]) -> None:
    assert used["labels"] == [6, 8]
    first, one, second, two = map(np.array, used["weights"])
    assert used["encoded"] == pytest.approx(np.maximum(np.array([[0.5], [-2.0]]) @ first.T + one, 0) @ second.T + two)
    assert used["pair"] == pytest.approx((0.5 - 1.0 + 0.8 + 0.0) / 2)
    assert used["status"] == "FINISHED" and 0 < used["metrics"]["recall@3"] <= 1


def test_new_members_are_chosen_and_searched(used: dict[str, Any]) -> None:
    encodings = [word for word, encoder in ENCODERS.items() if encoder.takes]
    expected = {
        "encoder": [*encodings, "perceptron"],
        "masking": [*MASKINGS, "tail"],
        "loss": [*LOSSES, "hinge"],
        "sampler": [*SAMPLERS, "power"],
    }
    assert used["choices"] == expected
    assert all(used["fields"]) and used["range"] == [64, 4, 2]
    assert used["row"] == [["bins", "units"], "perceptron", 3]
    assert "masking 'tail' is not for body 'gpt2'" in used["refused"]


def test_new_members_are_written_as_a_program(used: dict[str, Any]) -> None:
    assert 'encoding="perceptron", dim=4, units=3' in used["script"]
    assert "Tail(events=1)" in used["script"] and 'sampler="power"' in used["script"] and "Hinge(" in used["script"]
    assert used["same"]
