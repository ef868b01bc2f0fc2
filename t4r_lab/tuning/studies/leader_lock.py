"""The lock of the one process that leads a study, which the system or the server frees when that process dies.

The leader is named in the storage while it leads: if it still is and the lock is free, the leader was killed, and the
next reader marks the record so.
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
from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError
from t4r_lab.base.files import LOCK_SECONDS, locked
from t4r_lab.base.retries import Unavailable
from t4r_lab.base.urls import shown
from t4r_lab.runs import processes
from t4r_lab.tuning.studies.open_study import load
from t4r_lab.tuning.studies.storage import Store
from t4r_lab.tuning.studies.study import LEADER, RECORD, Study

LOOK = 2.0
"""Seconds between two checks that a server still holds the lock."""
KEEPALIVE = ("tcp_keepalives_idle = 10", "tcp_keepalives_interval = 5", "tcp_keepalives_count = 3")
"""With these a server notices within half a minute that the machine of a leader is down."""


class AlreadyLed(InputError):
    """Another process leads the study."""


class Leader:
    """The lock of a study, while this process has it."""

    def __init__(self, store: Store, name: str, home: Path) -> None:
        self.store, self.name = store, name
        self.sign = {"host": homes.host(), "pid": os.getpid(), "home": str(home), "since": time.time()}
        self._connection: Any = None
        self._looked = 0.0

    def look(self) -> None:
        """Keep the lock, which a restart of the server frees; to be called continually.

        Raises
        ------
        AlreadyLed
            if another process has taken it.
        """
        if self.store.folder is None and time.monotonic() - self._looked > LOOK:
            self.store.patiently(self._take)
            self._looked = time.monotonic()

    def begin(self, study: Study) -> None:
        """Name this process as the leader in the storage."""
        study.set_attribute(LEADER, self.sign)

    def _take(self) -> None:
        """Acquire the lock of the server, unless it is held over a connection that still works."""
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
        if leader_of(self.store, self.name) == self.sign:  # the server hasn't noticed yet that the connection broke
            raise Unavailable(
                f"study {self.name!r}",
                f"{shown(self.store.url)} still holds the lock of a connection that broke",
                "try again in a while",
            )
        raise self.led()

    @contextmanager
    def held(self, seconds: float) -> Iterator[None]:
        """Hold the lock within the block, after waiting for it up to `seconds`."""
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
            except AlreadyLed:
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
        """Release the lock of a server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()  # ends the server's session, and the lock with it
            with suppress(Exception):
                connection.close()

    def led(self) -> AlreadyLed:
        """The error for another process that wants to lead."""
        leader = leader_of(self.store, self.name) or {}
        who = f"process {leader['pid']} on {leader['host'].split()[0]}" if leader else "another process"
        return AlreadyLed(
            f"study {self.name!r}",
            f"it is being led by {who}",
            f"`t4r-lab worker --study {self.name}` adds a worker, `t4r-lab studies stop {self.name}` ends it",
        )


def leader_of(store: Store, name: str) -> Document | None:
    """The leader named in the storage, which may be dead: its host, pid, home and start; None without one."""
    try:
        leader: Document | None = load(name, store).attribute(LEADER)
        return leader
    except InputError:  # the study is just being created
        return None


@contextmanager
def leading(store: Store, name: str, home: Path) -> Iterator[Leader]:
    """Lead the study `name` within the block, as the only process.

    Raises
    ------
    AlreadyLed
        if another process leads it.
    """
    leader = Leader(store, name, home)
    with leader.held(LOCK_SECONDS):
        yield leader
        with suppress(InputError):
            load(name, store).set_attribute(LEADER, None)


def mark_if_dead(study: Study, home: Path) -> None:
    """Mark the record KILLED if the leader of the study, in this home, was killed and no worker runs."""
    sign = study.attribute(LEADER)
    this_home = (homes.host(), str(home))
    if not sign or (sign["host"], sign["home"]) != this_home:  # the record is on another machine
        return
    with suppress(InputError, OSError):
        tracking.client_of(home)  # takes a second, which no other process should wait for
        with Leader(study.store, study.name, home).held(0):
            study.sweep()
            if study.attribute(LEADER) != sign or any(trial.state == "running" for trial in study.trials()):
                return  # its workers outlive it
            if run_id := study.attribute(RECORD):
                tracking.end(home, run_id, "KILLED", processes.DIED)
            study.set_attribute(LEADER, None)
