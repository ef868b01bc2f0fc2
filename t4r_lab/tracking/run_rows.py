"""All runs of the record at once: from the tables of its SQLite file, or page by page from an MLflow server.

MLflow builds an object of every metric and parameter, which takes seconds for a thousand runs.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab.tracking import record_file
from t4r_lab.tracking.client import PAGE, client_of, server

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CHILDREN = {
    "tags": ("tags", "key, value"),
    "params": ("params", "key, value"),
    "metrics": ("latest_metrics", "key, CASE WHEN is_nan THEN NULL ELSE value END"),
}
"""Field of `Recorded` → MLflow's table, and its columns."""


@dataclass
class Recorded:
    """A run as MLflow keeps it; times in milliseconds since 1970, 0 for none."""

    run_id: str
    name: str
    status: str
    start: int
    end: int
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


def of_mlflow(run: Run) -> Recorded:
    """The same of an MLflow run."""
    info, data = run.info, run.data
    name, begin, end = info.run_name or "", info.start_time or 0, info.end_time or 0
    return Recorded(info.run_id, name, info.status, begin, end, data.tags, data.params, data.metrics)


def recorded_runs(home: Path) -> list[Recorded]:
    """Every run that isn't deleted, newest first, those of studies and trials too."""
    client, experiment = client_of(home)
    if not server():
        try:
            return _of_file(record_file.database_file(home), experiment)
        except sqlite3.Error:  # locked, damaged or of another version: MLflow's answer says which
            pass
    return list(_of_client(client, experiment))


def _of_file(path: Path, experiment: str) -> list[Recorded]:
    shown = "experiment_id = ? AND lifecycle_stage = 'active'"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)) as base:
        base.execute("BEGIN")  # all tables at one moment
        runs = base.execute(
            "SELECT run_uuid, coalesce(name, ''), status, coalesce(start_time, 0), coalesce(end_time, 0) "
            f"FROM runs WHERE {shown} ORDER BY start_time DESC, run_uuid",
            [experiment],
        )
        by_id = {row[0]: Recorded(*row) for row in runs}
        for name, (table, columns) in CHILDREN.items():
            chosen = f"SELECT run_uuid, {columns} FROM {table} JOIN runs USING (run_uuid) WHERE {shown}"
            for run_id, key, value in base.execute(chosen, [experiment]):
                getattr(by_id[run_id], name)[key] = math.nan if value is None else value
    return list(by_id.values())


def _of_client(client: MlflowClient, experiment: str) -> Iterator[Recorded]:
    token = None
    while True:
        page = client.search_runs(
            [experiment], max_results=PAGE, order_by=["attributes.start_time DESC"], page_token=token
        )
        yield from map(of_mlflow, page)
        token = page.token
        if not token:
            return
