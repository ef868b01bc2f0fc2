"""One patience for all that may be away for a while: MLflow's record, and the storage of studies on a server.

Whoever trains or searches waits for it, and loses nothing; whoever only reads is told at once.
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
"""For which work waits; then it ends, to be gone on with later."""
PAUSE, LONGEST = 0.25, 2.0
"""Seconds before the second try, doubled from then on, and those between two tries at most."""
SAID_AGAIN = 30.0
"""Seconds after which those who wait say again that they do."""
HURRIED = 5.0
"""Seconds for which work still waits once it has been asked to stop."""

T = TypeVar("T")
log = logging.getLogger(__name__)
_within: ContextVar[bool] = ContextVar("within", default=False)
hurry = threading.Event()
"""Set where this process has been asked to stop, as by Ctrl-C."""


class Away(InputError):
    """Locked or out of reach, which may pass."""


def patiently(call: Callable[[], T], seconds: float | None = None) -> T:
    """What `call` returns, which is made again while it raises `Away`, for so many `seconds` (`SECONDS`).

    A call within another one doesn't wait itself: the outer one is made again as a whole, since what it held, such
    as a lock on the server, is gone with the server.

    Raises
    ------
    Away
        if that is all it does.
    """
    if _within.get():
        return call()
    said, pause = 0.0, PAUSE
    deadline = time.monotonic() + (SECONDS if seconds is None else seconds)
    hurried = False
    with at_once():
        while True:
            try:
                return call()
            except Away as error:
                now = time.monotonic()
                if hurry.is_set() and not hurried:
                    hurried, deadline = True, min(deadline, now + HURRIED)
                if now >= deadline:
                    raise
                if not said or now - said >= SAID_AGAIN:
                    said = now
                    log.warning("%s; waiting for it, nothing is lost (%.0f s more at most)", error, deadline - now)
                time.sleep(min(pause, LONGEST, deadline - now))
                pause *= 2


@contextmanager
def at_once() -> Iterator[None]:
    """Within it nothing is waited for."""
    token = _within.set(True)
    try:
        yield
    finally:
        _within.reset(token)
