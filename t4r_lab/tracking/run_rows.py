"""All runs of the record at once: from the tables of its SQLite file, or page by page from an MLflow server.

MLflow takes seconds to import, and builds an object of every metric and parameter: seconds for a thousand runs.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from t4r_lab.tracking import record_file
from t4r_lab.tracking.client import EXPERIMENT, PAGE, client_of, server

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Result = TypeVar("Result")
MIGRATIONS = "store/db_migrations/versions"
REVISION = re.compile(r"^(revision|down_revision)\b[^=\n]*= ?[\"'](\w+)[\"']", re.MULTILINE)
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
    rows = from_file(home, lambda base: _of_file(base, EXPERIMENT))
    return list(_of_client(*client_of(home))) if rows is None else rows


def from_file(home: Path, read: Callable[[sqlite3.Connection], Result]) -> Result | None:
    """What `read` gives of the record's file, without importing MLflow; None where MLflow has to be asked.

    That is for a record on a server, and for a file that is locked, damaged or of another version: MLflow's answer
    says which.
    """
    if server():
        return None
    try:
        _prepare(home)
        path = record_file.database_file(home)
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)) as base:
            base.execute("BEGIN")  # all tables at one moment
            (version,) = base.execute("SELECT version_num FROM alembic_version").fetchone()
            return read(base) if version in _present_versions() else None
    except sqlite3.Error:
        return None


@cache
def _present_versions() -> set[str]:
    """The version of the tables that the installed MLflow makes: the one that no other follows; read, not imported."""
    spec = find_spec("mlflow")
    folder = Path(spec.origin).parent / MIGRATIONS if spec is not None and spec.origin else Path()
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.py")]
    revisions = [dict(REVISION.findall(text)) for text in texts]
    return {each.get("revision", "") for each in revisions} - {each.get("down_revision", "") for each in revisions}


@lru_cache(maxsize=8)
def _prepare(home: Path) -> None:
    """Do what precedes the first reading of a home: refuse a damaged file, and update the paths of one that moved."""
    record_file.check(home)
    with record_file.opening_lock(home):
        record_file.update_paths(home, EXPERIMENT)


def _of_file(base: sqlite3.Connection, experiment: str) -> list[Recorded]:
    shown = "experiment_id = (SELECT experiment_id FROM experiments WHERE name = ?) AND lifecycle_stage = 'active'"
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
