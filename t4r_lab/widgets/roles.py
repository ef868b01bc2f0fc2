"""The columns of raw events with their roles and kinds, to be corrected row by row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

import ipywidgets as w

from t4r_lab.data.inspection import KEYS, Reading
from t4r_lab.spec.prepare import Kind
from t4r_lab.widgets.text import escape

LISTED = {"label": "targets", "ignore": "ignore"}
"""Role → the option that lists its columns."""
ROLES = (*KEYS, "feature", *LISTED)
MOST = 60
"""Columns that are shown; the others keep what was found."""
WORDS = {"multi": "several values"}
OF = {"event": "the event", "item": "the item", "session": "the session (context)"}


def with_role(options: Mapping[str, Any], column: str, role: str) -> dict[str, Any]:
    """Prepare options in which `column` plays `role`; it gives up what it played, and takes it from another.

    >>> with_role({"item": "sku", "targets": ["bought"]}, "bought", "item")
    {'item': 'bought'}
    >>> with_role({"item": "sku"}, "sku", "ignore")
    {'ignore': ['sku']}
    """
    new = {key: value for key, value in options.items() if key not in KEYS or value != column}
    for option in LISTED.values():
        others = [name for name in new.pop(option, []) if name != column]
        if others:
            new[option] = others
    if role in KEYS:
        new[role] = column
    elif role in LISTED:
        new[LISTED[role]] = [*new.get(LISTED[role], []), column]
    return new


def with_kind(options: Mapping[str, Any], column: str, kind: str) -> dict[str, Any]:
    """Prepare options in which `column` is of `kind`."""
    return {**options, "kinds": {**options.get("kinds", {}), column: kind}}


class ColumnRow(w.VBox):
    """One column: its name, role, kind, and what it depends on or what is wrong with it."""

    def __init__(self, reading: Reading, on_role: Callable[[str, str], None], on_kind: Callable[[str, str], None]):
        name, self._quiet = reading.name, True
        self._name = w.HTML(f'<span class="t4r-column-name">{escape(name)}</span>')
        wide = {"layout": {"width": "auto"}}
        self.role = w.Dropdown(options=ROLES, description=f"role of {name}", tooltip=f"what {name} is", **wide)
        self.kind = w.Dropdown(description=f"kind of {name}", tooltip=f"how the values of {name} are read", **wide)
        self._note = w.HTML()
        line = w.HBox([self._name, self.role, self.kind, self._note])
        line.add_class("t4r-column-line")
        super().__init__([line])
        self.show(reading)
        for control, report in ((self.role, on_role), (self.kind, on_kind)):
            control.observe(lambda change, report=report: self._edited(report, change["new"]), "value")

    def _edited(self, report: Callable[[str, str], None], value: str) -> None:
        if not self._quiet:
            report(self.reading.name, value)

    def show(self, reading: Reading) -> None:
        """Take over what was found, without reporting an edit."""
        self.reading, self._quiet = reading, True
        try:
            self.role.value = reading.role
            kinds = [reading.kind] if reading.kind not in get_args(Kind) else list(get_args(Kind))
            options = tuple((WORDS.get(kind, kind) or "–", kind) for kind in kinds)
            if self.kind.options != options:
                self.kind.options = options
            self.kind.value, self.kind.disabled = reading.kind, len(kinds) == 1
        finally:
            self._quiet = False
        self.mark("")

    def mark(self, error: str) -> None:
        """Show what is wrong with the column; without an error, what it depends on or why it is left out."""
        if error:
            self._note.value = f'<div class="t4r-help t4r-error" role="alert">Error: {escape(error)}</div>'
        else:
            left_out = f"left out: {self.reading.note}" if self.reading.note else ""
            self._note.value = f'<div class="t4r-help">{escape(left_out or OF.get(self.reading.of, ""))}</div>'
        (self.add_class if error else self.remove_class)("t4r-refused")


class ColumnRoles(w.VBox):
    """State: the `rows`, one a column, by its name. Edits are reported as column and role, or column and kind."""

    def __init__(self, on_role: Callable[[str, str], None], on_kind: Callable[[str, str], None]) -> None:
        self._on_role, self._on_kind = on_role, on_kind
        self.rows: dict[str, ColumnRow] = {}
        super().__init__([])
        self.add_class("t4r-features")

    def show(self, readings: tuple[Reading, ...]) -> None:
        """A row for each of the columns; rows stay where their names do."""
        shown = readings[:MOST]
        if [r.name for r in shown] == list(self.rows):
            for reading in shown:
                self.rows[reading.name].show(reading)
            return
        self.rows = {r.name: ColumnRow(r, self._on_role, self._on_kind) for r in shown}
        head = w.HTML(
            '<div class="t4r-column-line t4r-feature-head"><span>column</span><span>role</span><span>kind</span>'
            "<span>depends on</span></div>"
        )
        more = len(readings) - len(shown)
        rest = [w.HTML(f'<div class="t4r-help">{more:,} more columns keep what was found</div>')] if more else []
        self.children = [head, *self.rows.values(), *rest] if shown else []

    def mark(self, refusal: str) -> None:
        """Show `refusal` beside the columns that it names."""
        named = re.findall(r"column '([^']*)'", refusal)
        for name, row in self.rows.items():
            row.mark(refusal if name in named else "")
