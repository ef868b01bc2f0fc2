"""Studies in MLflow: a run of the study with a child run of each trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t4r_lab.tracking.client import PAGE, writer_of
from t4r_lab.tracking.names import DATA, LOOKS, NOTE, PARENT, REASON, STUDY
from t4r_lab.tracking.run_record import Record, data_input

TRIAL = "t4r.trial"
SOURCE = {"mlflow.source.name": "t4r-lab"}


@dataclass(frozen=True)
class TrialRow:
    """A finished trial for the record.

    `note` states the values tried; `curve` has the metrics of each epoch, by their recorded names.
    """

    number: int
    status: str
    reason: str
    note: str
    began: float
    ended: float
    parameters: dict[str, Any]
    metrics: dict[str, float]
    curve: list[dict[str, float]]


def start_study(
    home: Path, name: str, path: str, digest: str, parameters: Mapping[str, object], storage: str, note: str
) -> Record:
    """Open the run of a study on the data at `path`, the parent of its trials; `note` states its aim."""
    from mlflow.entities import Param

    client, experiment = writer_of(home)
    tags = {STUDY: name, DATA: digest, LOOKS: "0", "t4r.storage": storage, NOTE: note, **SOURCE}
    run = client.create_run(experiment, tags=tags, run_name=name)
    client.log_batch(run.info.run_id, params=[Param(key, str(value)[:6000]) for key, value in parameters.items()])
    client.log_inputs(run.info.run_id, [data_input(path, digest)])
    return Record(home, run.info.run_id)


def recorded_trials(home: Path, parent: str) -> set[int]:
    """Numbers of the recorded trials; unfinished ones, whose process was killed while it wrote, are deleted."""
    client, experiment = writer_of(home)
    numbers: set[int] = set()
    token = None
    while True:
        page = client.search_runs([experiment], f"tags.`{PARENT}` = '{parent}'", max_results=PAGE, page_token=token)
        for run in page:
            if run.info.status == "RUNNING" and TRIAL in run.data.tags:
                client.delete_run(run.info.run_id)
            elif TRIAL in run.data.tags:
                numbers.add(int(run.data.tags[TRIAL]))
        token = page.token
        if not token:
            return numbers


def write_trial(home: Path, parent: str, study: str, digest: str, row: TrialRow) -> None:
    """Record a finished trial as a child run of its study."""
    from mlflow.entities import Metric, Param

    client, experiment = writer_of(home)
    tags = {PARENT: parent, STUDY: study, TRIAL: str(row.number), REASON: row.reason[:500], NOTE: row.note, **SOURCE}
    began, ended = int(row.began * 1000), int(row.ended * 1000)
    run = client.create_run(experiment, began, tags, f"{row.number} · {study}")  # MLflow's page truncates long names
    metrics = [Metric(key, value, ended, 0) for key, value in row.metrics.items()]
    for epoch, values in enumerate(row.curve, 1):
        metrics += [Metric(key, value, ended, epoch) for key, value in values.items()]
    client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in row.parameters.items()])
    if path := row.parameters.get("data.path"):  # a trial whose spec fits no model has no data
        client.log_inputs(run.info.run_id, [data_input(path, digest)])
    for start in range(0, len(metrics), PAGE):
        client.log_batch(run.info.run_id, metrics=metrics[start : start + PAGE])
    client.set_terminated(run.info.run_id, row.status, ended)


def set_parent(home: Path, run_id: str, parent: str) -> None:
    """Make a run a child of its study's run."""
    writer_of(home)[0].set_tag(run_id, PARENT, parent)
