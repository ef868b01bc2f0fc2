"""Who leads a study: one process at a time, by a lock that the system, or the server, frees when it dies.

While it leads, that stands in the storage: where it still does and nobody has the lock, the leader died without a
word, and whoever reads next says so in the record.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.base.files import LOCK_SECONDS, locked
from t4r_lab.base.retries import Away
from t4r_lab.base.urls import shown
from t4r_lab.runs import guard
from t4r_lab.tuning.studies.open_study import load
from t4r_lab.tuning.studies.storage import Store
from t4r_lab.tuning.studies.study import LEADER, RECORD, Study

LOOK = 2.0
"""Seconds between two looks at whether a server still keeps the lock."""
KEEPALIVE = ("tcp_keepalives_idle = 10", "tcp_keepalives_interval = 5", "tcp_keepalives_count = 3")
"""A server learns of a leader whose machine is gone within half a minute."""


class Led(InputError):
    """Another process leads the study."""


class Leader:
    """The lock of a study, while this process has it."""

    def __init__(self, store: Store, name: str, home: Path) -> None:
        self.store, self.name = store, name
        self.sign = {"host": homes.host(), "pid": os.getpid(), "home": str(home), "since": time.time()}
        self._connection: Any = None
        self._looked = 0.0

    def look(self) -> None:
        """Make sure of the lock, which goes with a server that is started again. Call it all the time.

        Raises
        ------
        Led
            if another process has it by now.
        """
        if self.store.folder is None and time.monotonic() - self._looked > LOOK:
            self.store.patiently(self._take)
            self._looked = time.monotonic()

    def begin(self, study: Study) -> None:
        """Say in the storage who leads."""
        study.keep(LEADER, self.sign)

    def _take(self) -> None:
        """Ask the server for the lock, unless it is held over a connection that still stands."""
        if self._connection is not None:
            try:
                self._connection.exec_driver_sql("SELECT 1")
                return
            except Exception:
                self.release()
        connection = self.store.backend.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            for setting in KEEPALIVE:
                connection.exec_driver_sql(f"SET {setting}")
            taken = connection.exec_driver_sql("SELECT pg_try_advisory_lock(hashtext(%s))", (self._lock,)).scalar()
        except BaseException:
            connection.close()
            raise
        if taken:
            self._connection = connection
            return
        connection.close()
        if leader_of(self.store, self.name) == self.sign:  # the server doesn't know yet that the connection broke
            raise Away(
                f"study {self.name!r}",
                f"{shown(self.store.url)} still keeps the lock of a connection that broke",
                "try again in a while",
            )
        raise self.led()

    @contextmanager
    def held(self, seconds: float) -> Iterator[None]:
        """Have the lock, waiting for so many `seconds` for it."""
        if self.store.folder is not None:
            try:
                with locked(self.store.lock_file(self._lock), seconds):
                    yield
            except BlockingIOError:
                raise self.led() from None
            return
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.store.patiently(self._take)
                break
            except Led:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOCK_SECONDS / 5)
        try:
            yield
        finally:
            self.release()

    @property
    def _lock(self) -> str:
        return f"{self.name}, leader"

    def release(self) -> None:
        """Give a server's lock back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()  # ends the server's session, and the lock with it
            with suppress(Exception):
                connection.close()

    def led(self) -> Led:
        """What to say to whoever wants to lead too."""
        found = leader_of(self.store, self.name) or {}
        who = f"process {found['pid']} on {found['host'].split()[0]}" if found else "another process"
        return Led(
            f"study {self.name!r}",
            f"it is being led by {who}",
            f"`t4r-lab worker --study {self.name}` adds a worker, `t4r-lab studies stop {self.name}` ends it",
        )


def leader_of(store: Store, name: str) -> dict[str, Any] | None:
    """Who leads, or led when it died, by the storage."""
    try:
        found: dict[str, Any] | None = load(name, store).attribute(LEADER)
        return found
    except InputError:  # it is just being begun
        return None


@contextmanager
def leading(store: Store, name: str, home: Path) -> Iterator[Leader]:
    """Be the only process that leads the study `name`.

    Raises
    ------
    Led
        if another one does.
    """
    leader = Leader(store, name, home)
    with leader.held(LOCK_SECONDS):
        yield leader
        with suppress(InputError):
            load(name, store).keep(LEADER, None)


def mark_if_dead(study: Study, home: Path) -> None:
    """Where the study's leader, in this home, died without a word and nobody works any more, the record says KILLED."""
    sign = study.attribute(LEADER)
    here = (homes.host(), str(home))
    if not sign or (sign["host"], sign["home"]) != here:  # the record of another machine is its own affair
        return
    with suppress(InputError, OSError):
        tracking.client_of(home)  # takes a second, which nobody should wait for
        with Leader(study.store, study.name, home).held(0):
            study.sweep()
            if study.attribute(LEADER) != sign or any(trial.state == "running" for trial in study.trials()):
                return  # its workers outlive it
            if run_id := study.attribute(RECORD):
                tracking.end(home, run_id, "KILLED", guard.DIED)
            study.keep(LEADER, None)
