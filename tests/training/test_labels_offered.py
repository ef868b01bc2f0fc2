"""The heads that prepared data allow for each of their labels: what is offered is what a training takes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.data.pipeline.prepare_events import prepare
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.spec import RunSpec
from t4r_lab.spec.head_specs import LABEL_HEADS
from t4r_lab.spec.preparation import PrepareOptions
from t4r_lab.training.experiment import Experiment
from t4r_lab.training.label_evaluation import heads_by_label

EVENTS = pl.DataFrame(
    [
        {
            "session": s,
            "item": (s + t) % 9,
            "time": s * 100 + t,
            "bought": s % 2,
            "share": s % 2 / 1,
            "stars": s % 5 / 2,
            "color": ["red", "green", "blue"][(s + t) % 3],
            "same": "one",
            "gone": None if s < 55 else 1.5,
        }
        for s in range(60)
        for t in range(4)
    ],
    infer_schema_length=None,
)
LABELS = ["bought", "share", "stars", "color", "same", "gone"]
KINDS = {"bought": "categorical", "share": "continuous", "stars": "continuous", "gone": "continuous"}
OFFERED = {
    "bought": ("binary", "categorical"),
    "share": ("binary", "regression"),
    "stars": ("regression",),
    "color": ("categorical",),
    "same": (),
    "gone": (),  # missing in the training part
}


@pytest.mark.parametrize("split", ["time", "leave_one_out"])
def test_every_head_that_is_offered_can_be_trained_and_no_other(split: str, tmp_path: Path) -> None:
    options = PrepareOptions.parse({"targets": LABELS, "kinds": KINDS, "split": split})
    data = Dataset.open(prepare(EVENTS, tmp_path / "shop", options).path)
    offered = heads_by_label(data)
    of_sessions = {c.name for c in data.schema.targets if c.scope == "session"}
    if split == "time":
        assert offered == OFFERED
    else:  # a session, with its label, is in every part
        assert of_sessions >= {"bought", "stars"}
        assert {label for label, kinds in offered.items() if not kinds} >= of_sessions
        assert offered["color"] == ("categorical",)
    for label in LABELS:
        for kind in LABEL_HEADS:
            content = {"data": {"path": str(data.path)}, "model": {"heads": [{"kind": kind, "column": label}]}}
            if kind in offered[label]:
                Experiment.open(RunSpec.parse(content))
            else:
                with pytest.raises(InputError):
                    Experiment.open(RunSpec.parse(content))
