"""Time that a test may take, so measured that neither the machine's load nor what other tests left in memory counts."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

YARDSTICK = 0.004
"""Seconds of the processor that `yardstick` takes on the machine for which limits are given (3 GHz, Python 3.11)."""


def yardstick() -> float:
    """Seconds of the processor, in this thread, of a fixed piece of work such as callbacks do: objects, dicts, text."""
    began = time.thread_time()
    for number in range(40):
        rows = [{"name": f"row {i}", "value": i * number, "choices": [str(i)] * 3} for i in range(40)]
        json.loads(json.dumps(sorted(rows, key=lambda row: str(row["value"]))))
    return time.thread_time() - began


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """The block takes so many seconds of the processor, in this thread; on a slower machine as many more as it is slower.

    Load slows the processor too (shared caches and cores), so its speed is measured on both sides of the block.
    """
    gc.disable()  # which would go over what all tests before have left
    try:
        speeds = [yardstick()]
        began = time.thread_time()
        yield
        took = time.thread_time() - began
        speeds.append(yardstick())
    finally:
        gc.enable()
    limit = seconds * max(1.0, max(speeds) / YARDSTICK)
    assert took < limit, f"{took:.2f} s, not {limit:.2f} s"
