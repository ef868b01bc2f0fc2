"""A panel of the Lab, as listed in its tabs."""

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
        text of the tab.
    make
        function from the `Lab` to the panel's widget: ``lab.draft`` is the spec being edited, ``lab.runs.runs`` are the
        recorded runs, ``lab.background.run(work, done, failed)`` runs slow work.
    """

    title: str
    make: Callable[[Any], w.Widget]
