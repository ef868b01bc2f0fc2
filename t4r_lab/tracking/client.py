"""MLflow clients: of an SQLite file in the home, or of the server that ``MLFLOW_TRACKING_URI`` names.

While the record is locked or unreachable, reading raises `Unavailable`, and writing waits, so that no metric is lost.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.base.retries import Unavailable, patiently
from t4r_lab.base.urls import shown
from t4r_lab.tracking import record_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

Result = TypeVar("Result")
EXPERIMENT = "t4r-lab"
PAGE = 1000
"""Results of a search per page, and metrics per batch."""
PASSING = (408, 425, 429, 502, 503, 504)
"""Status codes of a busy server, or of a proxy whose server is unreachable."""
UNREACHABLE = ("Max retries exceeded", "failed with exception", "timeout exception")
"""Words of MLflow about a server that doesn't answer."""
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # 15 s; MLflow's default of 7 takes minutes
}
"""Environment variables of MLflow; the user's take precedence."""


def server() -> str:
    """The address of the server that ``MLFLOW_TRACKING_URI`` names; empty for the file under the home."""
    return os.environ.get("MLFLOW_TRACKING_URI", "")


def database(home: Path) -> str:
    """The tracking URI: the server, else SQLite under `home`."""
    return server() or homes.sqlite_url(record_file.database_file(home))


def is_empty(home: Path) -> bool:
    """True if nothing was ever recorded: then readers return early and create no database."""
    return not server() and not record_file.database_file(home).exists()


def missing_home(home: Path) -> InputError | None:
    """The refusal of a record that was deleted, moved or unmounted after it was opened; None if it exists."""
    return None if server() else record_file.missing_home(home)


@lru_cache(maxsize=8)
def _client(home: Path, uri: str) -> tuple[MlflowClient, str]:
    """A client and the id of the experiment, which is created if missing."""
    if not server():
        record_file.check(home)  # before anything that takes time
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name, level in (("mlflow", "WARNING"), ("alembic", "WARNING"), ("mlflow.store.db.utils", "CRITICAL")):
        logging.getLogger(name).setLevel(level)  # the errors that the last one logs are also raised
    from mlflow import MlflowClient

    def make() -> MlflowClient:
        return cast("MlflowClient", _Client(lambda: MlflowClient(tracking_uri=uri), home, uri))

    if server():
        return _with_experiment(make(), None)
    with record_file.opening_lock(home), record_file.created_completely(home):
        record_file.update_paths(home, EXPERIMENT)
        return _with_experiment(make(), record_file.artifact_root(home).as_uri())


def _with_experiment(client: MlflowClient, artifact_location: str | None) -> tuple[MlflowClient, str]:
    """The client with the id of the experiment, which is created with `artifact_location` if missing."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return client, experiment.experiment_id
    kind = {"mlflow.experimentKind": "custom_model_development"}  # else the MLflow UI shows tools for chat models first
    try:
        return client, client.create_experiment(EXPERIMENT, artifact_location=artifact_location, tags=kind)
    except Exception:
        if (experiment := client.get_experiment_by_name(EXPERIMENT)) is None:
            raise
        return client, experiment.experiment_id  # another machine was quicker


class _Client:
    """An `MlflowClient` that raises an `InputError` for failures that the user can fix."""

    def __init__(self, make: Callable[[], MlflowClient], home: Path, uri: str) -> None:
        self._home, self._uri = home, uri
        self._client = self._translated(make)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *args, **named: self._translated(lambda: method(*args, **named))

    def _translated(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except Exception as error:
            if refusal := _refusal(error, self._home, self._uri):
                raise refusal from error
            raise


def _refusal(error: Exception, home: Path, uri: str) -> InputError | None:
    message, path = str(error), record_file.database_file(home)
    if reason := homes.no_room(error):
        problem, remedy = reason
        return InputError(home, problem, f"{remedy} and try again")
    if "database is locked" in message:
        return Unavailable(
            shown(uri) if server() else path, "another program keeps it locked", "close that and try again"
        )
    if server():
        return _server_refusal(message, shown(uri))
    if refusal := record_file.missing_home(home):
        return refusal
    if "readonly database" in message or "unable to open database file" in message:
        return InputError(path, "cannot be written", f"fix its permissions, or set {homes.VARIABLE}")
    return record_file.of_another_mlflow(message, path, uri) or record_file.damaged(message, path)


def _server_refusal(message: str, uri: str) -> InputError | None:
    """The refusal for MLflow's message about a failed request to the server; None for any other message."""
    match = re.search(r"too many (\d{3}) error responses|(\d{3}) (?:Client|Server) Error|error code (\d{3})\b", message)
    if match is None:
        is_away = any(words in message for words in UNREACHABLE)
        return (
            Unavailable(uri, "no MLflow server answers", "start it, or unset MLFLOW_TRACKING_URI") if is_away else None
        )
    status = int(match[1] or match[2] or match[3])
    if status in (401, 403):
        remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        return InputError(uri, f"the MLflow server refuses this user ({status})", remedy)
    if "mlflow-artifacts" in message and status not in PASSING:
        remedy = "fix what its log says (a full disk, no right to write?), then resume"
        return InputError(uri, f"the MLflow server can't keep or give files (it answers {status})", remedy)
    is_busy = status in PASSING or status >= 500
    return Unavailable(uri, f"the MLflow server answers {status}", "see its log, then try again") if is_busy else None


def refused_upload(error: Unavailable) -> InputError | None:
    """The server's refusal of a file whose upload was cut off; None if it is unreachable or would accept the file.

    A server may refuse a file before it has read all of it, which breaks the connection before its response is read.
    So an empty file is uploaded, whose response can be read; the next upload of the file overwrites it.
    """
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    message = str(error.__cause__)
    match = re.search(r"request to (.+?)(/api/2\.0/mlflow-artifacts/artifacts/.+?) failed with", message)
    if match is None or not re.search(r"Connection aborted|Connection reset|Broken pipe", message):
        return None
    try:
        creds = get_default_host_creds(match[1])
        answer = http_request(creds, match[2], "PUT", max_retries=0, raise_on_status=False, data=b"")
    except Exception:
        return None
    if answer.status_code < 400:
        return None
    return _server_refusal(f"{match[2]}: error code {answer.status_code}", shown(server()))


class _Patient:
    """A client whose calls are repeated until the record is reachable, as each is done completely or not at all."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *args, **named: patiently(lambda: method(*args, **named))


def client_of(home: Path) -> tuple[MlflowClient, str]:
    """A client for reading, and the id of the experiment that holds all runs."""
    return _client(home, database(home))


def writer_of(home: Path) -> tuple[MlflowClient, str]:
    """A client for writing, whose calls wait for an unreachable record, and the id of the experiment."""
    client, experiment = patiently(lambda: client_of(home))
    return cast("MlflowClient", _Patient(client)), experiment
