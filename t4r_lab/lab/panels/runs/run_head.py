"""The head of a run's page: name, notes and tags as fields, and how what is typed there is written."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.errors import InputError, shortened
from t4r_lab.lab.parts.text import message


@dataclass(frozen=True)
class Edit:
    """What a person has written into one field of a run's page."""

    run_id: str
    field: str
    before: str
    """the text that it replaces"""
    text: str


class RunHead(w.VBox):
    """Name, notes and tags of a run, as fields. State: `error`.

    Each field is saved alone, as a change of what it showed: a name that is refused keeps no note from being written,
    and what another program has written beside it stays.
    """

    error = tr.Unicode("")

    def __init__(self, save: Callable[[Edit], None]) -> None:
        common = {"style": {"description_width": "4.5rem"}, "continuous_update": False}
        self.name = w.Text(description="run name", tooltip="name of the run", layout={"width": "22rem"}, **common)
        self.tags = w.Text(
            description="tags",
            placeholder="key: value, key: value",
            tooltip="your tags, as key: value with commas between",
            layout={"width": "22rem"},
            **common,
        )
        self.notes = w.Textarea(
            description="notes",
            placeholder="what this run is for, what it showed",
            tooltip="notes on the run, also shown by MLflow",
            rows=3,
            layout={"width": "auto"},
            **common,
        )
        self._message = w.HTML()
        line = w.HBox([self.name, self.tags])
        line.add_class("t4r-actions-bar")
        super().__init__([line, self.notes, self._message])
        self.add_class("t4r-run-head")
        self._fields = {"name": self.name, "tags": self.tags, "notes": self.notes}
        self._save = save
        self._run_id = ""
        self._recorded: dict[str, str] = {}
        """field → its text in the record, as far as known; a field with another text has an edit that isn't saved"""
        self._showing = False
        for name, field in self._fields.items():
            field.observe(lambda _, name=name: self._changed(name), "value")

    def show(self, run_id: str, name: str, notes: str, tags: Mapping[str, str]) -> None:
        """Show what is recorded, which is no edit; edits of the same run that aren't saved yet stay."""
        texts = {"name": name, "tags": tags_text(tags), "notes": notes}
        kept = [field for field in texts if run_id == self._run_id and self._is_edited(field)]
        self._run_id, self._showing = run_id, True
        try:
            for field in texts.keys() - kept:
                self._recorded[field] = self._fields[field].value = texts[field]
        finally:
            self._showing = False

    def saved(self, edit: Edit) -> None:
        """The edit is in the record now."""
        if edit.run_id == self._run_id:
            self._recorded[edit.field] = edit.text

    def _is_edited(self, field: str) -> bool:
        return str(self._fields[field].value) != self._recorded.get(field)

    def _changed(self, field: str) -> None:
        if self._showing or not self._run_id:
            return
        self.error = ""
        if self._is_edited(field):
            self._save(Edit(self._run_id, field, self._recorded[field], self._fields[field].value))

    @tr.observe("error")
    def _show_error(self, change: tr.Bunch) -> None:
        self._message.value = message("error", self.error)


def tags_text(tags: Mapping[str, str]) -> str:
    """Tags as they are typed; one with a comma or quotes is quoted as a whole.

    >>> print(tags_text({"team": "search", "seen": "Mon, Tue"}))
    team: search, "seen: Mon, Tue"
    """
    entries = [f"{key}: {value}" for key, value in tags.items()]
    return ", ".join('"' + entry.replace('"', '""') + '"' if {",", '"'} & set(entry) else entry for entry in entries)


def tags_of(text: str) -> dict[str, str]:
    """Tags as typed.

    >>> tags_of('team: search, "seen: Mon, Tue"'), tags_of(" ")
    ({'team': 'search', 'seen': 'Mon, Tue'}, {})
    """
    remedy = "write key: value, with commas between; one with a comma in double quotes as a whole"
    try:
        entries = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error:
        raise InputError("tags", "a double quote has no partner", remedy) from None
    tags = {}
    for entry in filter(str.strip, entries):
        key, colon, value = entry.partition(":")
        if not colon or not key.strip():
            raise InputError("tags", f"{shortened(entry)} has no colon", remedy)
        tags[key.strip()] = value.strip()
    return tags


def tag_changes(before: str, after: str) -> dict[str, str | None]:
    """The tags to set, and with None those to take away, where typed tags have changed.

    >>> tag_changes("a: 1, b: 2", "b: 3, c: 4")
    {'a': None, 'b': '3', 'c': '4'}
    """
    old, new = tags_of(before), tags_of(after)
    return {key: new.get(key) for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)}


def write(home: Path, edit: Edit) -> None:
    """Write an edit into the record."""
    from t4r_lab import tracking

    row = tracking.find(home, edit.run_id)
    if edit.field == "name":
        tracking.annotate(home, row, name=edit.text)
    elif edit.field == "notes":
        tracking.annotate(home, row, notes=edit.text, notes_before=edit.before)
    else:
        tracking.annotate(home, row, tags=tag_changes(edit.before, edit.text))
