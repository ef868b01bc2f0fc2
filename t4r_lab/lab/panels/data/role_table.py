"""The columns of raw events with their roles and kinds, each row editable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import get_args

import ipywidgets as w

from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError
from t4r_lab.data.pipeline.inspection import KEYS, ColumnReading
from t4r_lab.lab.parts.text import error_text, escape
from t4r_lab.spec.preparation import Kind

LISTED = {"label": "targets", "ignore": "ignore"}
"""Role → the option with the list of its columns."""
ROLES = (*KEYS, "feature", *LISTED)
MOST = 60
"""Number of columns shown; the others keep their inferred settings."""
WORDS = {"multi": "several values"}
OF = {"event": "the event", "item": "the item", "session": "the session"}
UNKNOWN = ""


def scopes(reading: ColumnReading) -> tuple[str, ...]:
    """The choices of what the column depends on: lists belong to the item, labels never do."""
    if reading.of == UNKNOWN or reading.kind == "multi":
        return (reading.of,)
    return ("event", "session") if reading.role == "label" else tuple(OF)


def with_role(options: Document, column: str, role: str) -> Document:
    """Prepare options in which `column` has `role`; it loses its former role, and another column loses this one.

    What it depends on is inferred again.

    >>> with_role({"item": "sku", "targets": ["bought"]}, "bought", "item")
    {'item': 'bought'}
    >>> with_role({"item": "sku"}, "sku", "ignore")
    {'ignore': ['sku']}
    """
    new = {key: value for key, value in options.items() if key not in KEYS or value != column}
    if remaining := {name: scope for name, scope in new.pop("scopes", {}).items() if name != column}:
        new["scopes"] = remaining
    for option in LISTED.values():
        if left := [name for name in new.pop(option, []) if name != column]:
            new[option] = left
    if role in KEYS:
        new[role] = column
    elif role in LISTED:
        new[LISTED[role]] = [*new.get(LISTED[role], []), column]
    return new


def with_of(options: Document, option: str, column: str, value: str) -> Document:
    """Prepare options in which `option` (kinds, scopes) maps `column` to `value`.

    >>> with_of({"kinds": {"age": "continuous"}}, "kinds", "size", "categorical")
    {'kinds': {'age': 'continuous', 'size': 'categorical'}}
    """
    return {**options, option: {**options.get(option, {}), column: value}}


class ColumnRow(w.VBox):
    """One column: its name, role, kind, what it depends on, and a note or error."""

    def __init__(
        self, reading: ColumnReading, on_role: Callable[[str, str], None], on_of: Callable[[str, str, str], None]
    ):
        name, self._quiet = reading.name, True
        self._name = w.HTML(f'<span class="t4r-column-name">{escape(name)}</span>')
        wide = {"layout": {"width": "auto"}}
        self.role = w.Dropdown(options=ROLES, description=f"role of {name}", tooltip=f"what {name} is", **wide)
        self.kind = w.Dropdown(description=f"kind of {name}", tooltip=f"how the values of {name} are read", **wide)
        self.scope = w.Dropdown(
            description=f"what {name} depends on",
            tooltip=f"event: {name} differs from event to event; item: an attribute of the item, held once; "
            "session: context such as user or device",
            **wide,
        )
        self._note = w.HTML()
        line = w.HBox([self._name, self.role, self.kind, self.scope, self._note])
        line.add_class("t4r-column-line")
        super().__init__([line])
        self.show(reading)
        edits = ((self.role, on_role), (self.kind, partial(on_of, "kinds")), (self.scope, partial(on_of, "scopes")))
        for control, report in edits:
            control.observe(lambda change, report=report: self._edited(report, change["new"]), "value")

    def _edited(self, report: Callable[[str, str], None], value: str) -> None:
        if not self._quiet:
            report(self.reading.name, value)

    def show(self, reading: ColumnReading) -> None:
        """Show the inferred or edited `reading`, without reporting an edit."""
        self.reading, self._quiet = reading, True
        try:
            self.role.value = reading.role
            kinds = [reading.kind] if reading.kind not in get_args(Kind) else list(get_args(Kind))
            _offer(self.kind, WORDS, kinds, reading.kind)
            _offer(self.scope, OF, scopes(reading), reading.of)
        finally:
            self._quiet = False
        self.mark("")

    def mark(self, error: str) -> None:
        """Show the error of the column; if it is empty, the note of the reading."""
        if error:
            self._note.value = f'<div class="t4r-help t4r-error" role="alert">Error: {escape(error)}</div>'
        else:
            self._note.value = f'<div class="t4r-help">{escape(self.reading.note)}</div>'
        self._note.layout.display = "" if error or self.reading.note else "none"
        (self.add_class if error else self.remove_class)("t4r-refused")


def _offer(control: w.Dropdown, words: Mapping[str, str], values: Sequence[str], value: str) -> None:
    """Offer `values` by their `words`, with `value` chosen; a single one disables the control."""
    options = tuple((words.get(each, each) or "–", each) for each in values)
    if control.options != options:
        control.options = options
    control.value, control.disabled = value, len(options) == 1


class ColumnRoles(w.VBox):
    """State: the `rows`, one a column, by its name. Edits are reported as column and role, or option, column, value."""

    def __init__(self, on_role: Callable[[str, str], None], on_of: Callable[[str, str, str], None]) -> None:
        self._on_role, self._on_of = on_role, on_of
        self.rows: dict[str, ColumnRow] = {}
        super().__init__([])
        self.add_class("t4r-features")

    def show(self, readings: tuple[ColumnReading, ...]) -> None:
        """Show a row for each of the columns; rows are kept if the names are the same."""
        shown = readings[:MOST]
        if [r.name for r in shown] == list(self.rows):
            for reading in shown:
                self.rows[reading.name].show(reading)
            return
        self.rows = {r.name: ColumnRow(r, self._on_role, self._on_of) for r in shown}
        head = w.HTML(
            '<div class="t4r-column-line t4r-feature-head"><span>column</span><span>role</span><span>kind</span>'
            "<span>depends on</span></div>"
        )
        more = len(readings) - len(shown)
        rest = [w.HTML(f'<div class="t4r-help">{more:,} more columns keep their guessed roles</div>')] if more else []
        self.children = [head, *self.rows.values(), *rest] if shown else []

    def mark(self, error: InputError | None) -> None:
        """Show `error` beside the columns it concerns; None clears them."""
        for name, row in self.rows.items():
            row.mark(error_text(error) if error and name in error.columns else "")
