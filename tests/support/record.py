"""The record's database, made once: MLflow makes its tables by dozens of migrations, a second for every new home."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from t4r_lab.base import homes
from t4r_lab.tracking import record_file

made_by_mlflow = record_file.created_completely
"""What `made_from_copy` stands in for; tests of the making itself put it back."""


@cache
def empty_database(folder: Path) -> Path:
    """An SQLite file with MLflow's tables and nothing recorded."""
    from mlflow import MlflowClient

    path = folder / "empty.db"
    MlflowClient(tracking_uri=homes.sqlite_url(path))
    return path


@contextmanager
def made_from_copy(home: Path, folder: Path) -> Iterator[None]:
    """A new home begins with a copy of the empty database, which is kept in `folder`."""
    with made_by_mlflow(home):
        path = record_file.database_file(home)
        if not path.exists():
            shutil.copyfile(empty_database(folder), path)
        yield
