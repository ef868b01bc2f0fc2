"""Reuse of a recorded run: its spec for another run, its model for the registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.reports import OnReport
from t4r_lab.runs.evaluate import data_of, evaluate_run
from t4r_lab.spec import RunSpec

ALIAS = "champion"


def spec_to_repeat(run: str, *, home: str | Path | None = None) -> RunSpec:
    """The spec of a recorded run whose data are unchanged: training it again gives the same metrics.

    Raises
    ------
    InputError
        if there is no such run, or the data have changed or are gone.
    """
    home_path = homes.locate(home)
    row = tracking.find(home_path, run)
    spec = tracking.spec(home_path, row)
    data_of(row, spec)
    return spec


@dataclass(frozen=True)
class Promotion:
    """A run in the registry as version `version` of `model` under `alias`, with its score on the test part.

    `looks` counts how often the test part has been scored with this run, `baselines` has their metrics on the test
    part, `warnings` the warnings about the metrics, and `note` states what can load the version.
    """

    run_id: str
    model: str
    version: str
    alias: str
    test: dict[str, float]
    baselines: dict[str, dict[str, float]]
    looks: int
    warnings: list[str]
    note: str = tracking.VERSION_NOTE


def promote(
    run: str, alias: str = ALIAS, *, home: str | Path | None = None, on_report: OnReport | None = None
) -> Promotion:
    """Register the model of a run under an alias, which moves from the version that had it before.

    The test part is scored now, unless it was before. MLflow must allow the alias.

    Raises
    ------
    InputError
        if there is no such run or alias, it has no model, or its data have changed.
    """
    home_path = homes.ensure(home)
    row = tracking.find(home_path, run)
    tracking.check_alias(alias)
    if not row.test:
        evaluate_run(row.run_id, "test", home=home_path, on_report=on_report)
        row = tracking.find(home_path, row.run_id)
    model, version = tracking.register(home_path, row, alias)
    return Promotion(row.run_id, model, version, alias, row.test, row.baselines["test"], row.looks, row.all_warnings)
