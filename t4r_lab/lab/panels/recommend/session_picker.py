"""The assembly of a session: items searched by title or id, and the session as chips in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import anywidget
import traitlets as tr

from t4r_lab.runs.recommend import Item

HERE = Path(__file__).parent


class Picker(anywidget.AnyWidget):
    """A search field sets `query`; its observer sets `matches`; chosen items are in `chips`.

    >>> picker = Picker()
    >>> picker.show_session([Item("7", "Red shoe")])
    >>> picker.chips, picker.session
    ([{'id': '7', 'title': 'Red shoe'}], [Item(id='7', title='Red shoe')])
    """

    _esm = HERE / "picker.js"

    query = tr.Unicode("").tag(sync=True)
    matches: tr.List[dict[str, str]] = tr.List().tag(sync=True)
    chips: tr.List[dict[str, str]] = tr.List().tag(sync=True)
    note = tr.Unicode("").tag(sync=True)
    """why there are no matches"""

    def show_session(self, items: Sequence[Item]) -> None:
        """Show `items` as the session's chips."""
        self.chips = [vars(item) for item in items]

    def show_matches(self, items: Sequence[Item]) -> None:
        """Show the items that match the query, or a note that none does."""
        self.matches = [vars(item) for item in items]
        self.note = "" if items or not self.query else "no such title or id"

    @property
    def session(self) -> list[Item]:
        """The items of the chips, oldest first."""
        return [Item(chip["id"], chip["title"]) for chip in self.chips]

    def on_query(self, answer: Callable[[str], None]) -> None:
        """Call `answer` with each new query."""
        self.observe(lambda change: answer(change["new"]), "query")
