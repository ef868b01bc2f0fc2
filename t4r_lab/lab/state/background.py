"""Background work: threads that read and compute, one lock under which panels change.

Widget callbacks may arrive on the kernel's main thread or on a subshell's, so asyncio tasks would land
on different loops; threads and one lock behave alike in both. Nothing slow happens under the lock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from t4r_lab.base.errors import InputError

log = logging.getLogger("t4r_lab.lab")
Result = TypeVar("Result")
REST = 2.0
"""Seconds between two repetitions if a panel's own pause fails."""


def explained(error: BaseException) -> InputError:
    """`error` as an `InputError` for a panel; anything but a user's mistake is logged with its traceback."""
    if isinstance(error, InputError):
        return error
    log.error("unexpected error in the front end", exc_info=error)
    line = " ".join(str(error).split()) or "no details"
    return InputError("", f"{type(error).__name__}: {line}", "the log console has the details")


class Background:
    """Runs slow work on daemon threads and applies its results under `lock`."""

    lock = threading.RLock()
    """The lock of all front ends in this process: its holder sees no panel in the middle of a change."""

    def __init__(self, tell: Callable[[InputError], None] = log.error) -> None:
        """`tell` receives errors that no panel could show."""
        self._tell = tell
        self._closed = threading.Event()
        self._wakes: list[threading.Event] = []

    def run(
        self, work: Callable[[], Result], done: Callable[[Result], None], failed: Callable[[InputError], None]
    ) -> None:
        """Call `work` on a thread, then `done(result)` or `failed(error)` under the lock."""
        threading.Thread(target=self._run, args=(work, done, failed), daemon=True, name="t4r-lab").start()

    def _run(
        self, work: Callable[[], Result], done: Callable[[Result], None], failed: Callable[[InputError], None]
    ) -> None:
        try:
            result = work()
        except BaseException as error:  # the thread has no caller, and a panic of polars is no Exception
            self._apply(explained(error), failed, self._tell)
        else:
            self._apply(result, done, failed, self._tell)

    def _apply(self, value: Result, change: Callable[[Result], None], *else_tell: Callable[[InputError], None]) -> None:
        """Call `change(value)`; if that fails, pass the error to the first of `else_tell` that can show it."""
        with self.lock:
            if self._closed.is_set():
                return
            try:
                change(value)
            except BaseException as error:
                failure = explained(error)
                if else_tell:
                    where = ": ".join(filter(None, ("a panel could not be updated", failure.path)))
                    self._apply(failure.at(where), *else_tell)

    def repeat(
        self,
        work: Callable[[], Result],
        done: Callable[[Result], None],
        failed: Callable[[InputError], None],
        pause: Callable[[], float],
    ) -> None:
        """Repeat `run` with `pause()` seconds between, until `close`."""

        wake = threading.Event()
        self._wakes.append(wake)

        def loop() -> None:
            while not self._closed.is_set():
                self._run(work, done, failed)
                try:
                    seconds = pause()
                except BaseException as error:  # keep watching, whatever state a panel is in
                    seconds = REST
                    self._apply(explained(error), failed, self._tell)
                wake.wait(seconds)
                wake.clear()

        threading.Thread(target=loop, daemon=True, name="t4r-lab-watch").start()

    def wake(self) -> None:
        """End the current pauses of `repeat`."""
        for wake in self._wakes:
            wake.set()

    def close(self) -> None:
        """Stop the threads at their next repetition."""
        self._closed.set()
        self.wake()
