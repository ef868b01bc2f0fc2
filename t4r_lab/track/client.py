"""The way to MLflow: an SQLite file under the home, or the server that ``MLFLOW_TRACKING_URI`` names.

While it is locked or out of reach, who reads is told so, and a run that is written waits for it, so that no metric
is lost.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from t4r_lab import homes
from t4r_lab.errors import InputError
from t4r_lab.files import locked
from t4r_lab.patience import Away, patiently
from t4r_lab.urls import shown

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "t4r-lab"
PAGE = 1000
"""Of what is searched for, so much comes at once."""


def database(home: Path) -> str:
    """The tracking URI: a server where ``MLFLOW_TRACKING_URI`` names one, else SQLite under `home`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}"


@lru_cache(maxsize=8)
def _client(home: Path, uri: str) -> tuple[MlflowClient, str]:
    """A client and the id of the experiment; both are made at the first use."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # 15 s; its own 7 keep a reader waiting for minutes
    for name, level in (("mlflow", "WARNING"), ("alembic", "WARNING"), ("mlflow.store.db.utils", "CRITICAL")):
        logging.getLogger(name).setLevel(level)  # what the last one logs is raised too, and said in a line by `_told`
    from mlflow import MlflowClient

    local = not os.environ.get("MLFLOW_TRACKING_URI")
    with _only_one(home), _made_whole(home) if local else nullcontext():
        client = cast("MlflowClient", _Client(lambda: MlflowClient(tracking_uri=uri), home, uri))
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return client, experiment.experiment_id
        place = (home / "artifacts").as_uri() if local else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # else its pages offer tools for chat models first
        return client, client.create_experiment(EXPERIMENT, artifact_location=place, tags=kind)


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Two processes must not both create the tables."""
    with locked(home / ".mlflow.lock", math.inf):
        yield


@contextmanager
def _made_whole(home: Path) -> Iterator[None]:
    """The database is made in hundreds of steps; one that was left halfway can't be opened, and is made anew."""
    making, path = home / ".mlflow.making", home / "mlflow.db"
    if making.exists():
        path.unlink(missing_ok=True)
    elif not path.exists():
        making.touch()
    yield
    making.unlink(missing_ok=True)


class _Client:
    """An `MlflowClient` whose refusals that the user can mend are said in a line, instead of in SQL."""

    def __init__(self, make: Callable[[], MlflowClient], home: Path, uri: str) -> None:
        self._home, self._uri = home, uri
        self._client = self._told(make)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *args, **named: self._told(lambda: method(*args, **named))

    def _told(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            if refusal := _refusal(error, self._home, self._uri):
                raise refusal from error
            raise


def _refusal(error: Exception, home: Path, uri: str) -> InputError | None:
    said = str(error)
    if homes.disk_is_full(error):
        return InputError(f"{home}: the disk is full; free some space and try again")
    if "database is locked" in said:
        return Away(f"{home / 'mlflow.db'}: another program keeps it locked; close that and try again")
    if "readonly database" in said or "unable to open database file" in said:
        return InputError(f"{home / 'mlflow.db'}: cannot be written; mend its permissions, or set {homes.VARIABLE}")
    if "Max retries exceeded" in said or "failed with exception" in said or "failed with timeout" in said:
        return Away(f"{shown(uri)}: no MLflow server answers; start it, or unset MLFLOW_TRACKING_URI")
    return None


class _Patient:
    """A client whose calls wait for a record that is away. Each can be made again: it was done whole or not at all."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *args, **named: patiently(lambda: method(*args, **named))


def client_of(home: Path) -> tuple[MlflowClient, str]:
    """A client that reads, and the id of the experiment that holds all runs."""
    return _client(home, database(home))


def writer_of(home: Path) -> tuple[MlflowClient, str]:
    """The same, waiting for a record that is away."""
    client, experiment = patiently(lambda: client_of(home))
    return cast("MlflowClient", _Patient(client)), experiment
