"""How long a trial takes, by the first seconds of one."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from t4r_lab import build
from t4r_lab.data.dataset import Dataset
from t4r_lab.report import Progress
from t4r_lab.runner import vectors_of
from t4r_lab.spec import RunSpec
from t4r_lab.train import fit

LOOK = 2.0
"""Seconds of training that are watched."""


def seconds_of(spec: RunSpec, dataset: Dataset) -> float:
    """About how many seconds all epochs of `spec` train, without their evaluation."""
    counts = dataset.part("train").item_counts(dataset.schema.n_items)
    model = build.build(spec, dataset.schema, dataset.item_table(), vectors_of(spec, dataset), counts)
    first, last, total = (0.0, 0), (0.0, 0), 1
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        for report in fit(model, dataset, spec, Path(folder), lambda: time.monotonic() - began > LOOK):
            if not isinstance(report, Progress):
                break  # an epoch is enough
            now = (time.monotonic() - began, report.done)
            first, last, total = (first if first[1] else now), now, report.total
    seconds, steps = (last[0] - first[0], last[1] - first[1]) if last[1] > first[1] else last
    return seconds / max(steps, 1) * total
