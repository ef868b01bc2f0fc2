"""Archive and delete the ticked runs, and undo it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.lab.parts.text import error_text, message
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.views import RunSummary

WORDS = {
    "archive": ("Archive", "leave the ticked runs out of this list; archived:yes in the filter shows them"),
    "delete": ("Delete", "take the ticked runs out of the record; Undo brings them back"),
    "undo": ("Undo", "bring back what was archived or deleted last"),
}
"""Action → its button's text and help."""


class RemovalBar(w.VBox):
    """State: how many runs are `ticked`, `doing`, `note` and `error` of the latest action, and whether it `can_undo`."""

    ticked = tr.Int(0)
    doing = tr.Unicode("")
    note = tr.Unicode("")
    error = tr.Unicode("")
    can_undo = tr.Bool(False)

    def __init__(self, ask: Callable[[str], None]) -> None:
        """`ask` gets an action of `WORDS`."""
        self.buttons = {key: w.Button(description=text, tooltip=help) for key, (text, help) in WORDS.items()}
        for action, button in self.buttons.items():
            button.on_click(lambda _, action=action: ask(action))
        self._message = w.HTML()
        bar = w.HBox(list(self.buttons.values()))
        bar.add_class("t4r-actions-bar")
        super().__init__([bar, self._message])
        self._show()

    @tr.observe("ticked", "doing", "note", "error", "can_undo")
    def _show(self, change: tr.Bunch | None = None) -> None:
        busy = bool(self.doing)
        for action, button in self.buttons.items():
            button.disabled = busy or (action != "undo" and not self.ticked)
        self.buttons["undo"].layout.display = "" if self.can_undo else "none"
        rest = message("loading", self.doing) if busy else message("note", self.note)
        self._message.value = message("error", self.error) if self.error else rest
        self.layout.display = "" if self.ticked or self.can_undo or self._message.value else "none"


class RemovalController:
    """Controller of a `RemovalBar`: works on threads, and remembers how to undo."""

    def __init__(
        self,
        home: Path,
        background: Background,
        ticked: Callable[[], Sequence[RunSummary]],
        on_change: Callable[[], None],
    ) -> None:
        self.home, self.background, self._ticked, self._on_change = home, background, ticked, on_change
        self._undo: list[Callable[[], object]] = []
        self.view = RemovalBar(self.ask)

    def ask(self, action: str) -> None:
        """Begin an action on the ticked runs."""
        runs = list(self._ticked())
        if self.view.doing or (action != "undo" and not runs):
            return
        count = f"{len(runs)} run{'s' if len(runs) != 1 else ''}"
        doing, work, note = {
            "archive": (f"Archiving {count} …", lambda: self._archive(runs), f"{count} archived."),
            "delete": (f"Deleting {count} …", lambda: self._delete(runs), f"{count} deleted."),
            "undo": ("Bringing back …", self._bring_back, ""),
        }[action]
        self.view.error, self.view.note, self.view.doing = "", "", doing
        self.background.run(work, lambda _: self._end(note), self._failed)

    def _archive(self, runs: Sequence[RunSummary]) -> None:
        from t4r_lab import tracking

        self._undo = []
        for run in runs:
            before = run.facts.get("archived") == "yes"
            tracking.archive(self.home, run.run_id, True)
            self._undo.append(lambda id=run.run_id, before=before: tracking.archive(self.home, id, before))  # type: ignore[misc]

    def _delete(self, runs: Sequence[RunSummary]) -> None:
        from t4r_lab.removal.trash import delete, restore

        self._undo = []
        for run in runs:  # those before one that is refused are deleted, and Undo brings them back
            entry = delete("run", run.run_id, home=self.home)
            self._undo.append(lambda id=entry.id: restore(id, home=self.home))  # type: ignore[misc]

    def _bring_back(self) -> None:
        while self._undo:
            self._undo[-1]()
            self._undo.pop()

    def _end(self, note: str) -> None:
        self.view.doing, self.view.note, self.view.can_undo = "", note, bool(self._undo)
        self._on_change()

    def _failed(self, error: InputError) -> None:
        self._end("")
        self.view.error = error_text(error)
