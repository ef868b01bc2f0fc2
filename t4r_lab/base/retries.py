"""Retries for services that may be unavailable for a while: MLflow's record, and the storage of studies on a server.

Training and search wait and lose nothing; reading fails at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from t4r_lab.base.errors import InputError

SECONDS = 300.0
"""The time that work waits before it ends, to be resumed later."""
PAUSE, LONGEST = 0.25, 2.0
"""Seconds before the second try, doubled from then on, and the most between two tries."""
WARN_EVERY = 30.0
"""Seconds between two warnings during a wait."""
STOPPING = 5.0
"""The longest wait once the process must stop."""

T = TypeVar("T")
log = logging.getLogger(__name__)
_within: ContextVar[bool] = ContextVar("within", default=False)
hurry = threading.Event()
"""Set once this process must stop, as after Ctrl-C."""


class Unavailable(InputError):
    """A service is locked or out of reach, which may pass."""


def patiently(call: Callable[[], T], seconds: float | None = None) -> T:
    """Return the result of `call`, repeated while it raises `Unavailable`, for up to `seconds` (default `SECONDS`).

    A nested call doesn't wait: the outer one is repeated as a whole, since what it held, such as a lock on the server,
    is lost with the server.

    Raises
    ------
    Unavailable
        if it still is unavailable then.
    """
    if _within.get():
        return call()
    warned, pause = 0.0, PAUSE
    deadline = time.monotonic() + (SECONDS if seconds is None else seconds)
    stopping = False
    with at_once():
        while True:
            try:
                return call()
            except Unavailable as error:
                now = time.monotonic()
                if hurry.is_set() and not stopping:
                    stopping, deadline = True, min(deadline, now + STOPPING)
                if now >= deadline:
                    raise
                if not warned or now - warned >= WARN_EVERY:
                    warned = now
                    log.warning("%s; waiting for it, nothing is lost (%.0f s more at most)", error, deadline - now)
                time.sleep(min(pause, LONGEST, deadline - now))
                pause *= 2


@contextmanager
def at_once() -> Iterator[None]:
    """Disable waiting within the block."""
    token = _within.set(True)
    try:
        yield
    finally:
        _within.reset(token)
