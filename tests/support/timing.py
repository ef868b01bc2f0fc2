"""Time that a test may take, so measured that neither the machine's load nor what other tests left in memory counts."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """The block takes so many seconds of the processor, in this thread."""
    gc.disable()  # which would go over what all tests before have left
    try:
        began = time.thread_time()
        yield
        took = time.thread_time() - began
    finally:
        gc.enable()
    assert took < seconds, f"{took:.2f} s"
