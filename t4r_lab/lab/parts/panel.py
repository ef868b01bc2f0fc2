"""A panel of the Lab, as its tabs list it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as w


@dataclass(frozen=True)
class Panel:
    """A tab.

    Parameters
    ----------
    title
        on the tab.
    make
        its widget, of the `Lab` that it stands in: ``lab.draft`` is the spec that is edited, ``lab.runs.runs`` are the
        recorded runs, ``lab.background.run(work, done, failed)`` does what takes time.
    """

    title: str
    make: Callable[[Any], w.Widget]
