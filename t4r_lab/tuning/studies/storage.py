"""The storage of studies: one SQLite file under the home, or a PostgreSQL server for several machines."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import sqlite3
import tempfile
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import optuna

from t4r_lab.base import homes, retries
from t4r_lab.base.errors import InputError, first_line
from t4r_lab.base.files import locked
from t4r_lab.base.retries import Unavailable
from t4r_lab.base.urls import hushed, shown
from t4r_lab.tuning.studies.storage_address import FORM

HEARTBEAT, GRACE = 5, 30
"""Seconds between two heartbeats of a running trial, and without one until its worker counts as dead."""
RETRY = 0.5
"""Seconds until a heartbeat that failed is sent again."""
T = TypeVar("T")

warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
for _words in (
    "Heartbeat of storage is supposed",
    "PedAnovaImportanceEvaluator computes",
    "The number of trials is too small",
    "Target and region quantiles select",
    "Some regimes for parameter",
):
    warnings.filterwarnings("ignore", message=_words)  # all warn of things done on purpose
optuna.logging.set_verbosity(optuna.logging.ERROR)


class Unusable(InputError):
    """The storage refuses a request, until the user fixes the cause."""


class _File(sqlite3.Connection):
    """A connection to the file whose commits don't wait for the disk: only a power cut can lose the last ones.

    Optuna commits about thirty times a trial, which took longer than everything else it does.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


@dataclass(frozen=True)
class Store:
    """An open storage."""

    url: str
    backend: optuna.storages.RDBStorage
    folder: Path | None
    """of the lock files, if the storage is a file; None for a server, which has its own locks"""
    seconds: float = 0.0
    """that a call waits for a storage that is unavailable; 0 for readers, which fail at once"""

    def waiting(self) -> Store:
        """The same storage for workers, which wait while it is unavailable."""
        return replace(self, seconds=retries.SECONDS)

    def patiently(self, call: Callable[[], T]) -> T:
        """Return the result of `call`, repeated while the storage is unavailable.

        Raises
        ------
        Unavailable
            if it still is after `seconds`.
        Unusable
            if it refuses the request, so that waiting would not help.
        """
        return retries.patiently(lambda: _translated(self.url, call), self.seconds)

    def lock_file(self, what: str) -> Path:
        """The lock file of `what` beside the database, for a storage that is a file."""
        assert self.folder is not None
        return self.folder / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.lock"

    @contextmanager
    def one_at_a_time(self, what: str) -> Iterator[None]:
        """A lock named `what`, such as a study whose trials are assigned; the death of its holder frees it.

        A server that stops frees its locks, so the whole block must be repeated: call it within `patiently`.
        """
        if self.folder is not None:
            with _locked(self.lock_file(what)):
                yield
            return
        with self.backend.engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext(%s))", (what,))
            yield

    @contextmanager
    def heartbeat(self, trial_id: int) -> Iterator[None]:
        """Send heartbeats of a trial from a thread of their own while the block runs."""
        ended = threading.Event()

        def beat() -> None:
            pause: float = HEARTBEAT
            while not ended.wait(pause):
                try:
                    self.backend.record_heartbeat(trial_id)
                    pause = HEARTBEAT
                except Exception:  # a storage that is unavailable for a moment is no reason to stop
                    pause = RETRY  # once it is back, others soon check which workers live

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def connect(url: str, seconds: float = 0.0) -> Store:
    """Open the storage at a URL of `address`, created at its first use; waits for it, now and later, up to `seconds`.

    Raises
    ------
    InputError
        if it can't be reached or used.
    """
    path = homes.sqlite_path(url)
    arguments: dict[str, object] = {"connect_timeout": 5} if path is None else {"timeout": 60, "factory": _File}
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        open_it = lambda: _translated(url, lambda: _open(url, arguments, path))  # noqa: E731
        return replace(retries.patiently(open_it, seconds), seconds=seconds)
    except ModuleNotFoundError:
        raise InputError(
            f"storage {shown(url)}", "its driver is missing", "pip install 't4r-lab[postgresql]'"
        ) from None
    except OSError as error:
        where, remedy = shown(url) if path is None else path.parent, f"fix that, or set {homes.VARIABLE}"
        raise InputError(where, f"cannot be written ({error.strerror})", remedy) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"storage {shown(url)}", hushed(first_line(error), url), f"expected {FORM}") from None


def connect_to_read(url: str) -> Store:
    """Open the storage to read it: a file that can't be written is copied first, and nothing is created."""
    path = homes.sqlite_path(url)
    if path is None:
        return connect(url)
    with suppress(OSError), tempfile.TemporaryFile(dir=path.parent):
        if path.exists():
            return connect(url)
    scratch = Path(tempfile.mkdtemp(prefix="t4r-lab-"))
    for file in path.parent.glob(f"{path.name}*"):  # with what SQLite has written beside it
        shutil.copyfile(file, scratch / file.name)
    store = connect(homes.sqlite_url(scratch / path.name))
    weakref.finalize(store.backend, shutil.rmtree, scratch, ignore_errors=True)
    return replace(store, url=url, folder=path.parent)


def _open(url: str, arguments: dict[str, object], path: Path | None) -> Store:
    def create() -> optuna.storages.RDBStorage:
        return optuna.storages.RDBStorage(
            url,
            engine_kwargs={"connect_args": arguments, "pool_pre_ping": True},
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
        )

    if path is not None:
        with _locked(path.with_suffix(".lock")):  # two processes must not both create the tables
            return Store(url, create(), path.parent)
    try:
        return Store(url, create(), None)
    except Exception as error:
        if _state(error) not in ("42P07", "42710", "23505"):
            raise
    return Store(url, create(), None)  # another process was creating the tables


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with locked(path, math.inf):
        yield


# ── errors of a storage ─────────────────────────────────────────────────────────────────────────

REFUSALS = {
    "28P01": ("it refuses this user or password", "fix them in the address (an @ in them is written %40)"),
    "28000": (
        "it does not admit this user from this machine",
        "ask its administrator to add both (CREATE ROLE, pg_hba.conf)",
    ),
    "3D000": ("there is no such database", "create it (CREATE DATABASE), or fix its name"),
    "42501": (
        "this user may not do that",
        "ask its administrator to GRANT ALL ON SCHEMA public TO the user (of a database: GRANT CONNECT ON DATABASE)",
    ),
    "53300": (
        "it takes no more connections",
        "start fewer workers, or raise the limit (ALTER ROLE … CONNECTION LIMIT, max_connections)",
    ),
    "53100": ("its disk is full", "free some space on it, then continue"),
    "25006": ("it can only be read", "give the address of the main server"),
}
"""SQLSTATE → problem and remedy."""
FAILURES = (
    "OperationalError",
    "InterfaceError",
    "InternalError",
    "DatabaseError",
    "DBAPIError",
    "TimeoutError",
    "PendingRollbackError",
    "InvalidRequestError",
    "ResourceClosedError",
    "StorageInternalError",
)
"""Errors of an unavailable storage; all others are errors of the call."""
WORDS = {
    "password authentication failed|no password supplied": "28P01",
    'role ".*" does not exist|no pg_hba.conf entry|is not permitted to log in|authentication failed': "28000",
    'database ".*" does not exist': "3D000",
    "permission denied": "42501",
    "too many connections|too many clients|remaining connection slots": "53300",
}
"""Messages of a server during the connection, for which the driver has no SQLSTATE → that SQLSTATE."""


def _translated(url: str, call: Callable[[], T]) -> T:
    """Return the result of `call`; an error of the storage becomes an `InputError`."""
    try:
        return call()
    except Exception as error:
        if not _is_of_storage(error):
            raise
        raise _refusal(url, error) from None


def _is_of_storage(error: Exception) -> bool:
    """True if the storage failed rather than the call; decided by class names, since Optuna imports the drivers."""
    if _state(error) in REFUSALS:
        return True
    while isinstance(error, optuna.exceptions.StorageInternalError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    module, name = type(error).__module__.partition(".")[0], type(error).__name__
    return name in FAILURES and module in ("sqlalchemy", "psycopg", "sqlite3", "optuna")


def _refusal(url: str, error: BaseException) -> InputError:
    cause, where = hushed(first_line(_origin(error)), url), f"storage {shown(url)}"
    if reason := homes.no_room(error):
        problem, remedy = reason
        return Unusable(where, problem, f"{remedy}, then start the study again")
    if refusal := REFUSALS.get(_state(error)):
        problem, remedy = refusal
        return Unusable(where, f"{problem} ({cause})", remedy)
    if url.startswith("sqlite"):
        if "readonly" in cause or "unable to open" in cause:
            return Unusable(where, "it can't be written", f"fix its permissions, or set {homes.VARIABLE}")
        if "not a database" in cause or "malformed" in cause:
            return Unusable(where, f"it is damaged ({cause})", "move it away, then start the studies again")
        return Unavailable(where, f"it can't be reached ({cause})", "close the program that locks it, then try again")
    return Unavailable(
        where, f"it can't be reached ({cause})", "finished trials are safe: start the server, then continue"
    )


def _origin(error: BaseException) -> BaseException:
    """The error that the driver raised."""
    while (cause := getattr(error, "orig", None) or error.__cause__) is not None:
        error = cause
    return error


def _state(error: BaseException) -> str:
    origin = _origin(error)
    if state := getattr(origin, "sqlstate", None):
        return str(state)
    return next((state for words, state in WORDS.items() if re.search(words, str(origin))), "")
