"""Runs that are deleted and brought back, as MLflow keeps both, and runs that are archived, by a tag."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from t4r_lab.tracking import record_file
from t4r_lab.tracking.client import client_of, is_empty, server, writer_of
from t4r_lab.tracking.names import STUDY
from t4r_lab.tracking.run_rows import recorded_runs

ARCHIVED = "t4r.archived"
"""Tag of a run that lists leave out."""


def delete_runs(home: Path, run_ids: Sequence[str]) -> None:
    """Take runs out of the record, whose files stay until `erase_files`; one that is out of it stays so."""
    _change(home, run_ids, "active", "delete_run")


def restore_runs(home: Path, run_ids: Sequence[str]) -> None:
    """Bring deleted runs back, with all that was recorded."""
    _change(home, run_ids, "deleted", "restore_run")


def _change(home: Path, run_ids: Sequence[str], stage: str, method: str) -> None:
    client, _ = writer_of(home)
    for run_id in run_ids:
        if client.get_run(run_id).info.lifecycle_stage == stage:
            getattr(client, method)(run_id)


def erase_files(home: Path, run_ids: Sequence[str]) -> None:
    """Remove the files of deleted runs for good; those on a server are left to its ``mlflow gc``."""
    if server():
        return
    client, _ = client_of(home)
    for run_id in run_ids:
        if client.get_run(run_id).info.lifecycle_stage == "deleted":
            shutil.rmtree(record_file.artifact_folder(home, run_id).parent, ignore_errors=True)


def archive(home: Path, run_id: str, archived: bool) -> None:
    """Leave a run out of lists, or show it again."""
    client, _ = writer_of(home)
    if archived:
        client.set_tag(run_id, ARCHIVED, "true")
    elif ARCHIVED in client.get_run(run_id).data.tags:
        client.delete_tag(run_id, ARCHIVED)


def runs_of_study(home: Path, name: str) -> list[str]:
    """Ids of the runs that record the study `name` and its trials."""
    return [] if is_empty(home) else [run.run_id for run in recorded_runs(home) if run.tags.get(STUDY) == name]
