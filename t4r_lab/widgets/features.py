"""Which columns the model reads, and how: one row a feature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w

from t4r_lab.errors import InputError
from t4r_lab.schema import Column
from t4r_lab.spec import FeatureSpec
from t4r_lab.spec.features import ENCODINGS, resolve
from t4r_lab.widgets.draft import FEATURES, Draft
from t4r_lab.widgets.fields import NOTHING, as_text, offered
from t4r_lab.widgets.text import escape

HEAD = (
    '<div class="t4r-feature-head"><span>column</span><span>encoding</span><span>width</span><span>table</span></div>'
)


class FeatureEditor(w.VBox):
    """Rows of tick, encoding, width and table; what isn't chosen follows the defaults of the schema."""

    def __init__(self, draft: Draft, edit: Callable[[str, Any], None]) -> None:
        self.draft, self._edit = draft, edit
        self.rows: dict[str, FeatureRow] = {}
        super().__init__()
        self.add_class("t4r-features")
        draft.observe(self._show, "revision")
        self._show()

    def _show(self, change: Any = None) -> None:
        schema, spec = self.draft.schema, self.draft.spec
        columns = schema.features if schema else ()
        if [row.column for row in self.rows.values()] != list(columns):
            for row in self.rows.values():
                row.close()
            self.rows = {c.name: FeatureRow(c, self._changed) for c in columns}
            self.children = (w.HTML(HEAD), *self.rows.values())
        if schema is None:
            return
        asked = self.draft.pending.get(FEATURES, spec.to_dict()["model"]["inputs"]["features"])
        try:
            widths = {name: f.dim for name, f in resolve(spec.model.inputs, schema, spec.model.body.d_model).items()}
        except InputError:
            widths = {}
        for name, row in self.rows.items():
            chosen = asked is None or name in asked or row.column.role == "item"
            prefix = f"{FEATURES}.{name}"
            error = next(
                (text for path, text in self.draft.errors.items() if path == prefix or path.startswith(f"{prefix}.")),
                "",
            )
            row.show(chosen, (asked or {}).get(name) or {}, widths.get(name), error)

    def _changed(self) -> None:
        """Rows → the spec's dictionary; nothing at all where every row stands on its default."""
        chosen = {name: row.choice for name, row in self.rows.items() if row.ticked}
        plain = len(chosen) == len(self.rows) and not any(chosen.values())
        others = {name: f for name, f in self._asked().items() if name not in self.rows}  # pre-trained vectors
        self._edit(FEATURES, None if plain and not others else {**chosen, **others})

    def _asked(self) -> dict[str, Any]:
        """The spec's dictionary as it was last asked for; empty where there is none."""
        spec = self.draft.spec.to_dict()["model"]["inputs"]["features"]
        return self.draft.pending.get(FEATURES, spec) or {}


class FeatureRow(w.VBox):
    """One column: whether it is read, its encoding, width and embedding table (empty: the default)."""

    def __init__(self, column: Column, changed: Callable[[], None]) -> None:
        self.column, self._changed, self._quiet = column, changed, False
        self._kept: dict[str, Any] = {}
        """knobs of the feature that have no control here, such as bins"""
        item = column.role == "item"
        self.tick = w.Checkbox(
            value=True, description=column.name, indent=False, disabled=item,
            tooltip="the item is always read" if item else f"whether the model reads {column.name} ({column.kind}, by {column.scope})",
        )  # fmt: skip
        encodings = ENCODINGS[column.kind]
        default = encodings[0]
        self.encoding = w.Dropdown(
            options=offered([(f"{default} (default)", None), *((e, e) for e in encodings if e != default)]), value=NOTHING,
            disabled=len(encodings) == 1, description=f"encoding of {column.name}", layout={"width": "auto"},
            tooltip=f"how {column.name} becomes a vector",
        )  # fmt: skip
        self.dim = w.Text(
            description=f"width of {column.name}",
            placeholder="default",
            continuous_update=False,
            layout={"width": "auto"},
            tooltip=f"width of the vector of {column.name}; empty: default",
        )
        self.table = w.Text(
            description=f"table of {column.name}",
            placeholder="own",
            continuous_update=False,
            disabled=column.kind != "categorical",
            layout={"width": "auto"},
            tooltip=FeatureSpec.model_fields["table"].description,
        )
        self._error = w.HTML()
        line = w.HBox([self.tick, self.encoding, self.dim, self.table])
        line.add_class("t4r-feature-line")
        super().__init__([line, self._error])
        self.add_class("t4r-feature")
        for part in (self.tick, self.encoding, self.dim, self.table):
            part.observe(self._edited, "value")

    @property
    def ticked(self) -> bool:
        return bool(self.tick.value)

    @property
    def choice(self) -> dict[str, Any]:
        """What differs from the defaults, as the spec takes it."""
        dim = self.dim.value.strip()
        chosen = {
            "encoding": self.encoding.value or None,
            "dim": (int(dim) if dim.isdigit() else dim) or None,
            "table": self.table.value.strip() or None,
        }
        return {**self._kept, **{k: v for k, v in chosen.items() if v is not None}}

    def show(self, ticked: bool, asked: dict[str, Any], width: int | None, error: str) -> None:
        """Take over what the spec asks for, without reporting an edit."""
        self._quiet = True
        try:
            plain = FeatureSpec().model_dump()
            self._kept = {k: v for k, v in asked.items() if k not in ("encoding", "dim", "table") and v != plain.get(k)}
            self.tick.value = ticked
            encoding = asked.get("encoding") or NOTHING
            if encoding in dict(self.encoding.options).values():
                self.encoding.value = encoding
            self.dim.value = as_text(asked.get("dim"))
            self.dim.placeholder = "default" if width is None else f"default {width}"
            self.dim.disabled = not ticked
            self.table.value = as_text(asked.get("table"))
            self._error.value = (
                f'<div class="t4r-help t4r-error" role="alert">Error: {escape(error)}</div>' if error else ""
            )
        finally:
            self._quiet = False

    def _edited(self, change: Any) -> None:
        if not self._quiet:
            self._changed()
