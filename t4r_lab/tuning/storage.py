"""Where studies are kept: one SQLite file under the home, or a PostgreSQL server for several machines."""

from __future__ import annotations

import hashlib
import math
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import optuna

from t4r_lab import homes
from t4r_lab.errors import InputError
from t4r_lab.files import locked
from t4r_lab.tuning.address import shown

HEARTBEAT, GRACE = 5, 30
"""Seconds between two signs of life of a running trial, and without one until its worker counts as dead."""
TRIES, PAUSE = 4, 1.0
"""How often a storage that can't be reached is tried, and the seconds before the second time; doubled each time."""
T = TypeVar("T")

warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
for _words in (
    "Heartbeat of storage is supposed", "PedAnovaImportanceEvaluator computes", "The number of trials is too small",
    "Target and region quantiles select", "Some regimes for parameter",
):  # fmt: skip
    warnings.filterwarnings("ignore", message=_words)  # all are said of what is done on purpose
optuna.logging.set_verbosity(optuna.logging.ERROR)


class Unreachable(InputError):
    """The storage can't be reached, after some tries."""


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

    @contextmanager
    def one_at_a_time(self, what: str) -> Iterator[None]:
        """Only one process at a time does `what`, such as to give out the trials of a study; a dead one lets go."""
        if self.folder is not None:
            with _locked(self.folder / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.lock"):
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
            while not ended.wait(HEARTBEAT):
                with suppress(Exception):  # a storage that is away for a moment is no reason to die
                    self.backend.record_heartbeat(trial_id)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def connect(url: str) -> Store:
    """Open the storage at a URL of `address`; made at the first use.

    Raises
    ------
    InputError
        if it can't be reached, after some tries.
    """
    path = homes.sqlite_path(url)
    arguments: dict[str, Any] = {"connect_timeout": 5} if path is None else {"timeout": 60, "factory": _File}
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        store = patiently(url, lambda: _open(url, arguments, path))
    except ModuleNotFoundError:
        raise InputError(f"storage {shown(url)}: its driver is missing; pip install 't4r-lab[postgresql]'") from None
    except OSError as error:
        where, how = shown(url) if path is None else path.parent, f"mend that, or set {homes.VARIABLE}"
        raise InputError(f"{where}: cannot be written ({error.strerror}); {how}") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"storage {shown(url)}: {error}; expected postgresql://user:password@host/database") from None
    return store


def _open(url: str, arguments: dict[str, Any], path: Path | None) -> Store:
    def made() -> optuna.storages.RDBStorage:
        return optuna.storages.RDBStorage(
            url, engine_kwargs={"connect_args": arguments, "pool_pre_ping": True},
            heartbeat_interval=HEARTBEAT, grace_period=GRACE,
        )  # fmt: skip

    if path is None:
        return Store(url, made(), None)
    with _locked(path.with_suffix(".lock")):  # two processes must not both make the tables
        return Store(url, made(), path.parent)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with locked(path, math.inf):
        yield


def patiently(url: str, call: Callable[[], T]) -> T:
    """What `call` returns, tried again while the storage can't be reached.

    Raises
    ------
    Unreachable
        if it still can't be after `TRIES`.
    """
    for attempt in range(TRIES):
        try:
            return call()
        except Exception as error:
            if not _is_of_storage(error):
                raise
            last = error
        if attempt + 1 < TRIES:
            time.sleep(PAUSE * 2**attempt)
    if homes.disk_is_full(last):
        raise Unreachable(f"{shown(url)}: the disk is full; free some space, then start the study again") from None
    why = str(last.__cause__ or last).strip().splitlines()[0]
    raise Unreachable(
        f"storage {shown(url)}: it can't be reached ({why}); what is finished is kept: start the server, then go on"
    ) from None


def _is_of_storage(error: Exception) -> bool:
    """Whether it is the storage that failed; SQLAlchemy's errors are told by name, since it is Optuna's dependency."""
    return isinstance(error, optuna.exceptions.StorageInternalError) or type(error).__name__ in (
        "OperationalError", "InterfaceError", "DBAPIError",
    )  # fmt: skip
