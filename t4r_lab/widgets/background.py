"""Work off the kernel's callbacks: threads that read and compute, one lock under which panels change.

Widget callbacks may arrive on the kernel's main thread or on a subshell's, so asyncio tasks would land
on different loops; threads and one lock behave alike in both. Nothing slow happens under the lock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from t4r_lab.errors import InputError

log = logging.getLogger("t4r_lab.widgets")


def sentence(error: BaseException) -> str:
    """`error` as one line for a panel; what isn't the user's mistake goes to the log with its traceback."""
    if isinstance(error, InputError):
        return str(error)
    log.error("unexpected error in the front end", exc_info=error)
    line = " ".join(str(error).split()) or "no details"
    return f"{type(error).__name__}: {line}; the log console has the details"


class Background:
    """Runs slow work on daemon threads and applies its results under `lock`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._closed = threading.Event()
        self._wake = threading.Event()

    def run(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        """Call `work` on a thread, then `done(result)` or `failed(sentence)` under the lock."""
        threading.Thread(target=self._run, args=(work, done, failed), daemon=True, name="t4r-lab").start()

    def _run(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        try:
            result = work()
        except Exception as error:  # the thread has no caller: every failure must reach the panel
            text = sentence(error)
            self._apply(failed, text)
        else:
            self._apply(done, result)

    def _apply(self, change: Callable[[Any], None], value: Any) -> None:
        with self.lock:
            if self._closed.is_set():
                return
            try:
                change(value)
            except Exception:
                log.exception("a panel could not be updated")

    def repeat(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[str], None],
        pause: Callable[[], float],
    ) -> None:
        """As `run`, again and again with `pause()` seconds between, until `close`."""

        def loop() -> None:
            while not self._closed.is_set():
                self._run(work, done, failed)
                self._wake.wait(pause())
                self._wake.clear()

        threading.Thread(target=loop, daemon=True, name="t4r-lab-watch").start()

    def wake(self) -> None:
        """End the present pause of `repeat`."""
        self._wake.set()

    def close(self) -> None:
        self._closed.set()
        self._wake.set()
