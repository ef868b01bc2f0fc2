"""Where studies are kept: one SQLite file under the home, or a PostgreSQL server for several machines."""

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
from t4r_lab.base.retries import Away
from t4r_lab.base.urls import hushed, shown
from t4r_lab.tuning.studies.storage_address import FORM

HEARTBEAT, GRACE = 5, 30
"""Seconds between two signs of life of a running trial, and without one until its worker counts as dead."""
AGAIN = 0.5
"""Seconds until a sign of life that the storage didn't take is given again."""
T = TypeVar("T")

warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
for _words in (
    "Heartbeat of storage is supposed",
    "PedAnovaImportanceEvaluator computes",
    "The number of trials is too small",
    "Target and region quantiles select",
    "Some regimes for parameter",
):
    warnings.filterwarnings("ignore", message=_words)  # all are said of what is done on purpose
optuna.logging.set_verbosity(optuna.logging.ERROR)


class Unusable(InputError):
    """The storage refuses what is asked of it, until the user fixes that."""


class _File(sqlite3.Connection):
    """A connection to the file whose commits don't wait for the disk: a kill loses nothing, a power cut the last ones.

    Optuna commits about thirty times a trial, which took longer than all else it does.
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
    """where files are locked, of a storage that is one; a server has locks of its own"""
    seconds: float = 0.0
    """for which it is waited for while it is away; whoever only reads is told at once"""

    def waiting(self) -> Store:
        """The same for those who work, and wait for it."""
        return replace(self, seconds=retries.SECONDS)

    def patiently(self, call: Callable[[], T]) -> T:
        """What `call` returns, made again while the storage is away.

        Raises
        ------
        Away
            if it still is after `seconds`.
        Unusable
            if it refuses, which no waiting fixes.
        """
        return retries.patiently(lambda: _told(self.url, call), self.seconds)

    def lock_file(self, what: str) -> Path:
        """Of `what`, in a storage that is a file: beside the database."""
        assert self.folder is not None
        return self.folder / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.lock"

    @contextmanager
    def one_at_a_time(self, what: str) -> Iterator[None]:
        """Only one process at a time does `what`, such as to give out the trials of a study; a dead one lets go.

        A server that goes takes its locks with it: what is done within it is to be made `patiently` as a whole.
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
        """Give signs of life of a trial from a thread of their own."""
        ended = threading.Event()

        def beat() -> None:
            pause: float = HEARTBEAT
            while not ended.wait(pause):
                try:
                    self.backend.record_heartbeat(trial_id)
                    pause = HEARTBEAT
                except Exception:  # a storage that is away for a moment is no reason to die
                    pause = AGAIN  # when it is back, others soon look who is alive

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def connect(url: str, seconds: float = 0.0) -> Store:
    """Open the storage at a URL of `address`; made at the first use. It is waited for, now and later, for `seconds`.

    Raises
    ------
    InputError
        if it can't be reached or used.
    """
    path = homes.sqlite_path(url)
    arguments: dict[str, Any] = {"connect_timeout": 5} if path is None else {"timeout": 60, "factory": _File}
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        open_it = lambda: _told(url, lambda: _open(url, arguments, path))  # noqa: E731
        return replace(retries.patiently(open_it, seconds), seconds=seconds)
    except ModuleNotFoundError:
        raise InputError(
            f"storage {shown(url)}", "its driver is missing", "pip install 't4r-lab[postgresql]'"
        ) from None
    except OSError as error:
        where, how = shown(url) if path is None else path.parent, f"fix that, or set {homes.VARIABLE}"
        raise InputError(where, f"cannot be written ({error.strerror})", how) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"storage {shown(url)}", hushed(first_line(error), url), f"expected {FORM}") from None


def connect_to_read(url: str) -> Store:
    """The same for those who only read: of a file that can't be written a copy is opened, and nothing is made."""
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


def _open(url: str, arguments: dict[str, Any], path: Path | None) -> Store:
    def made() -> optuna.storages.RDBStorage:
        return optuna.storages.RDBStorage(
            url,
            engine_kwargs={"connect_args": arguments, "pool_pre_ping": True},
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
        )

    if path is not None:
        with _locked(path.with_suffix(".lock")):  # two processes must not both make the tables
            return Store(url, made(), path.parent)
    try:
        return Store(url, made(), None)
    except Exception as error:
        if _state(error) not in ("42P07", "42710", "23505"):
            raise
    return Store(url, made(), None)  # another process was making the tables


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with locked(path, math.inf):
        yield


# ── what a storage says ─────────────────────────────────────────────────────────────────────────

REFUSALS = {
    "28P01": ("it refuses this user or password", "fix them in the address (an @ in them is written %40)"),
    "28000": (
        "it lets this user not in from here",
        "let its administrator add both (CREATE ROLE, pg_hba.conf)",
    ),
    "3D000": ("there is no such database", "create it (CREATE DATABASE), or fix its name"),
    "42501": (
        "this user may not do that",
        "let its administrator GRANT ALL ON SCHEMA public TO the user (of a database: GRANT CONNECT ON DATABASE)",
    ),
    "53300": (
        "it takes no more connections",
        "start fewer workers, or raise the limit (ALTER ROLE … CONNECTION LIMIT, max_connections)",
    ),
    "53100": ("its disk is full", "free some space there, then go on"),
    "25006": ("it can only be read", "give the address of the main server"),
}
"""SQLSTATE → what it means here, and what to do."""
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
"""Errors of a storage that is away; others are of what is asked of it."""
WORDS = {
    "password authentication failed|no password supplied": "28P01",
    'role ".*" does not exist|no pg_hba.conf entry|is not permitted to log in|authentication failed': "28000",
    'database ".*" does not exist': "3D000",
    "permission denied": "42501",
    "too many connections|too many clients|remaining connection slots": "53300",
}
"""What a server says while it is connected to, of which the driver keeps no SQLSTATE."""


def _told(url: str, call: Callable[[], T]) -> T:
    """What `call` returns; where the storage refuses, that is said in a line."""
    try:
        return call()
    except Exception as error:
        if not _is_of_storage(error):
            raise
        raise _refusal(url, error) from None


def _is_of_storage(error: Exception) -> bool:
    """Whether the storage failed, and not a call; told by names, since SQLAlchemy and drivers are Optuna's."""
    if _state(error) in REFUSALS:
        return True
    while isinstance(error, optuna.exceptions.StorageInternalError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    module, name = type(error).__module__.partition(".")[0], type(error).__name__
    return name in FAILURES and module in ("sqlalchemy", "psycopg", "sqlite3", "optuna")


def _refusal(url: str, error: BaseException) -> InputError:
    why, where = hushed(first_line(_origin(error)), url), f"storage {shown(url)}"
    if homes.disk_is_full(error):
        return Unusable(where, "the disk is full", "free some space, then start the study again")
    if refusal := REFUSALS.get(_state(error)):
        problem, remedy = refusal
        return Unusable(where, f"{problem} ({why})", remedy)
    if url.startswith("sqlite"):
        if "readonly" in why or "unable to open" in why:
            return Unusable(where, "it can't be written", f"fix its permissions, or set {homes.VARIABLE}")
        if "not a database" in why or "malformed" in why:
            return Unusable(where, f"it is damaged ({why})", "move it away, then begin the studies anew")
        return Away(where, f"it can't be reached ({why})", "close what keeps it locked, then go on")
    return Away(where, f"it can't be reached ({why})", "what is finished is kept: start the server, then go on")


def _origin(error: BaseException) -> BaseException:
    """What the driver raised."""
    while (cause := getattr(error, "orig", None) or error.__cause__) is not None:
        error = cause
    return error


def _state(error: BaseException) -> str:
    origin = _origin(error)
    if state := getattr(origin, "sqlstate", None):
        return str(state)
    return next((state for words, state in WORDS.items() if re.search(words, str(origin))), "")
