"""Prepare form: a file of events, its columns with their roles, and how it becomes sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as w
import traitlets as tr

from t4r_lab.errors import InputError
from t4r_lab.spec.knobs import walk
from t4r_lab.spec.prepare import PrepareOptions
from t4r_lab.widgets.fields import LABEL_WIDTH, Field
from t4r_lab.widgets.text import escape, message
from t4r_lab.widgets.views import Preview

ROLES = ("session", "item", "time", "user", "title")
"""Options that name one column."""
OTHERS = (
    "gap_minutes", "min_item_support", "min_session_length", "drop_repeats", "targets", "ignore",
    "split", "valid_days", "test_days", "valid_share", "test_share",
)  # fmt: skip
"""The further options of the form; the rest stand on the command line and in Python."""


class PrepareForm(w.VBox):
    """State: `preview` of the file, `refusal` of what is asked for, `doing` while it is read or prepared."""

    preview = tr.Instance(Preview, allow_none=True)
    refusal = tr.Unicode("")
    doing = tr.Unicode("")

    def __init__(self, on_read: Callable[[str], None], on_prepare: Callable[[str, str, dict[str, Any]], None]) -> None:
        self._on_read = on_read
        self.options: dict[str, Any] = {}
        """what differs from the defaults, as `PrepareOptions` takes it"""
        style: dict[str, Any] = {
            "style": {"description_width": LABEL_WIDTH}, "layout": {"width": "auto"}, "continuous_update": False
        }  # fmt: skip
        self.source = w.Text(
            description="events", placeholder="path of a CSV, TSV, Parquet or RecBole file",
            tooltip="path of a file with one row per event", **style,
        )  # fmt: skip
        self.name = w.Text(
            description="save as", placeholder="name of the prepared data", tooltip="its folder under data/", **style
        )
        self.fields = {
            k.path: Field(k, self.edit, [("automatic", None)] if k.path in ROLES else None)
            for k in walk(PrepareOptions())
            if k.path in (*ROLES, *OTHERS)
        }
        self.button = w.Button(description="Prepare", button_style="primary", tooltip="turn the file into sessions")
        self.button.on_click(
            lambda _: on_prepare(self.source.value.strip(), self.name.value.strip(), dict(self.options))
        )
        self._table, self._message = w.HTML(), w.HTML()
        self.source.observe(self._chosen, "value")
        foot = w.HBox([self._message, self.button])
        foot.add_class("t4r-foot")
        super().__init__([self.source, self.name, self._table, *self.fields.values(), foot])
        self.add_class("t4r-prepare")
        self._show()

    def _chosen(self, change: Any) -> None:
        path = change["new"].strip()
        if path:
            self.name.value = self.name.value or Path(path).stem
            self._on_read(path)

    def edit(self, path: str, value: Any) -> None:
        """Set one option; a value that is wrong in itself is refused beside its field at once."""
        if value in (None, "", []):
            self.options.pop(path, None)
        else:
            self.options[path] = value
        for field in self.fields.values():
            field.error = ""
        self.refusal = ""
        try:
            PrepareOptions.parse(self.options)
        except InputError as error:
            at, _, text = str(error).partition(": ")
            at = at.split(".")[0]
            if at in self.fields:
                self.fields[at].error = text
            else:
                self.refusal = str(error)

    @tr.observe("preview")
    def _offer_columns(self, change: Any) -> None:
        """Every column of the file for every role; the one found by its usual name comes first."""
        columns = self.preview.columns if self.preview else ()
        found = self.preview.roles if self.preview else {}
        for role in ROLES:
            if self.options.get(role) not in (None, *columns):
                self.options.pop(role)  # a column of another file
            automatic = f"automatic: {found[role]}" if role in found else "automatic: none" if columns else "automatic"
            self.fields[role].show(self.options.get(role), [(automatic, None), *((c, c) for c in columns)])

    @tr.observe("preview", "refusal", "doing")
    def _show(self, change: Any = None) -> None:
        self.button.disabled = bool(self.doing)
        self._table.value = rows(self.preview) if self.preview else ""
        if self.refusal:
            self._message.value = message("error", self.refusal)
        elif self.doing:
            self._message.value = message("loading", self.doing)
        elif self.preview:
            self._message.value = message("note", "Correct the roles of the columns where need be, then prepare.")
        else:
            self._message.value = message(
                "note", "Give the path of a file; its columns are read, and their roles found."
            )


def rows(preview: Preview) -> str:
    """The first rows as an HTML table that scrolls by itself; every text of the file is escaped."""
    by_column = {column: role for role, column in preview.roles.items()}
    head = "".join(
        f'<th scope="col">{escape(c)}<div class="t4r-under">{escape(by_column.get(c, ""))}</div></th>'
        for c in preview.columns
    )
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in preview.rows)
    return (
        f'<div class="t4r-scroll" tabindex="0" role="region" aria-label="first rows of the file"><table class="t4r-plain">'
        f"<caption>First rows of {preview.events:,}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
