"""The way to MLflow: an SQLite file under the home, or the server that ``MLFLOW_TRACKING_URI`` names.

While it is locked or out of reach, who reads is told so, and a run that is written waits for it, so that no metric
is lost.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.base.retries import Away, patiently
from t4r_lab.base.urls import shown
from t4r_lab.tracking import record_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "t4r-lab"
PAGE = 1000
"""Of what is searched for, so much comes at once."""
PASSING = (408, 425, 429, 502, 503, 504)
"""Answers of a server that is busy, or of what stands before one that is away."""
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # 15 s; its own 7 keep a reader waiting for minutes
}
"""Of MLflow, where the user has none."""


def server() -> str:
    """The address of the server that ``MLFLOW_TRACKING_URI`` names; empty for the file under the home."""
    return os.environ.get("MLFLOW_TRACKING_URI", "")


def database(home: Path) -> str:
    """The tracking URI: the server, else SQLite under `home`."""
    return server() or homes.sqlite_url(record_file.database_file(home))


def is_empty(home: Path) -> bool:
    """Whether nothing was ever recorded: then there is nothing to read, and nothing is made for it."""
    return not server() and not record_file.database_file(home).exists()


def gone(home: Path) -> InputError | None:
    """What to say where the record, which was opened, isn't there any more; None of a server's."""
    return None if server() else record_file.gone(home)


@lru_cache(maxsize=8)
def _client(home: Path, uri: str) -> tuple[MlflowClient, str]:
    """A client and the id of the experiment; both are made at the first use."""
    if not server():
        record_file.check(home)  # before anything that takes time
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name, level in (("mlflow", "WARNING"), ("alembic", "WARNING"), ("mlflow.store.db.utils", "CRITICAL")):
        logging.getLogger(name).setLevel(level)  # what the last one logs is raised too, and said in a line by `_told`
    from mlflow import MlflowClient

    def make() -> MlflowClient:
        return cast("MlflowClient", _Client(lambda: MlflowClient(tracking_uri=uri), home, uri))

    if server():
        return _opened(make(), None)
    with record_file.only_one(home), record_file.made_whole(home):
        record_file.bring_along(home, EXPERIMENT)
        return _opened(make(), record_file.artifact_root(home).as_uri())


def _opened(client: MlflowClient, place: str | None) -> tuple[MlflowClient, str]:
    """The client with the id of the experiment, which is made, with its artifacts at `place`, if need be."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return client, experiment.experiment_id
    kind = {"mlflow.experimentKind": "custom_model_development"}  # else its pages offer tools for chat models first
    try:
        return client, client.create_experiment(EXPERIMENT, artifact_location=place, tags=kind)
    except Exception:
        if (experiment := client.get_experiment_by_name(EXPERIMENT)) is None:
            raise
        return client, experiment.experiment_id  # another machine was quicker


class _Client:
    """An `MlflowClient` whose refusals that the user can fix are said in a line, instead of in SQL."""

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
    said, path = str(error), record_file.database_file(home)
    if homes.disk_is_full(error):
        return InputError(home, "the disk is full", "free some space and try again")
    if "database is locked" in said:
        return Away(shown(uri) if server() else path, "another program keeps it locked", "close that and try again")
    if server():
        return _answered(said, shown(uri))
    if refusal := record_file.gone(home):
        return refusal
    if "readonly database" in said or "unable to open database file" in said:
        return InputError(path, "cannot be written", f"fix its permissions, or set {homes.VARIABLE}")
    return record_file.of_another_mlflow(said, path, uri) or record_file.damaged(said, path)


def _answered(said: str, uri: str) -> InputError | None:
    """The refusal of a server, by MLflow's words of what it answered; None where these are no refusal."""
    found = re.search(r"too many (\d{3}) error responses|(\d{3}) (?:Client|Server) Error|error code (\d{3})\b", said)
    if found is None:
        away = "Max retries exceeded" in said or "failed with exception" in said or "timeout exception" in said
        return Away(uri, "no MLflow server answers", "start it, or unset MLFLOW_TRACKING_URI") if away else None
    status = int(found[1] or found[2] or found[3])
    if status in (401, 403):
        how = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        return InputError(uri, f"the MLflow server refuses this user ({status})", how)
    if "mlflow-artifacts" in said and status not in PASSING:
        how = "fix what its log says (a full disk, no right to write?), then go on"
        return InputError(uri, f"the MLflow server can't keep or give files (it answers {status})", how)
    busy = status in PASSING or status >= 500
    return Away(uri, f"the MLflow server answers {status}", "see its log, then try again") if busy else None


def refused_upload(error: Away) -> InputError | None:
    """What the server has against a file whose upload broke off; None where it is away, or would take the file now.

    It may refuse a file before it has read it all, and the connection breaks with its answer unread. So nothing is
    put in the file's place, which it answers in peace; the upload, which is made again, writes over it.
    """
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    said = str(error.__cause__)
    found = re.search(r"request to (.+?)(/api/2\.0/mlflow-artifacts/artifacts/.+?) failed with", said)
    if found is None or not re.search(r"Connection aborted|Connection reset|Broken pipe", said):
        return None
    try:
        creds = get_default_host_creds(found[1])
        answer = http_request(creds, found[2], "PUT", max_retries=0, raise_on_status=False, data=b"")
    except Exception:
        return None
    if answer.status_code < 400:
        return None
    return _answered(f"{found[2]}: error code {answer.status_code}", shown(server()))


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
