"""The columns that the model, or a further tower, reads, with their encodings: one row a feature."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError
from t4r_lab.families.custom import is_custom
from t4r_lab.families.encoders.encoder_table import ENCODERS, encodings_for
from t4r_lab.families.knobs import Knob, Part, walk
from t4r_lab.lab.parts.fields import NOTHING, Field, OnEdit, as_text, offered
from t4r_lab.lab.parts.text import escape, field_text
from t4r_lab.lab.state.draft import Draft, inputs_of
from t4r_lab.schema.columns import Column
from t4r_lab.spec import BodySpec, FeatureSpec, InputsSpec, ModelSpec, TowerSpec, VectorsSpec
from t4r_lab.spec.input_columns import resolve

HEAD = (
    '<div class="t4r-feature-head"><span>column</span><span>encoding</span><span>width</span><span>table</span></div>'
)
VECTORS, ABSENT = "vectors", "absent"
"""Features that are no column of the data: pre-trained vectors of the items, and columns these data lack."""
IN_LINE = ("encoding", "dim", "table")
"""Knobs of a feature in its row; the others open beneath it."""


class FeatureEditor(w.VBox):
    """Rows of tick, encoding, width and table; empty fields follow the defaults of the schema.

    `prefix` is the path of the input block. Pre-trained vectors of the items have rows too, named by the user.
    """

    def __init__(self, draft: Draft, edit: OnEdit, prefix: str = "model.inputs") -> None:
        self.draft, self._edit, self.prefix = draft, edit, prefix
        self.path = f"{prefix}.features"
        self.rows: dict[str, FeatureRow] = {}
        self.name = w.Text(
            placeholder="name, for example text",
            description="further vectors",
            layout={"width": "auto"},
            style={"description_width": "8.5rem"},
            tooltip="a name for pre-trained vectors of the items, such as embeddings of their texts or pictures",
        )
        self.add = w.Button(description="Add vectors", tooltip="add pre-trained vectors of the items under this name")
        self.add.on_click(lambda _: self._add())
        self.foot = w.HBox([self.name, self.add])
        self.foot.add_class("t4r-adder")
        super().__init__()
        self.add_class("t4r-features")
        draft.observe(self._show, "revision")
        self._show()

    @property
    def _block(self) -> tuple[InputsSpec, BodySpec] | None:
        """The input block and its body; None if its tower was removed."""
        model, number = self.draft.spec.model, list(inputs_of(self.draft.spec))
        if self.prefix not in number:
            return None
        towers: list[ModelSpec | TowerSpec] = [model, *model.towers]
        part = towers[number.index(self.prefix)]
        return part.inputs, part.body

    def _show(self, change: tr.Bunch | None = None) -> None:
        schema, block = self.draft.schema, self._block
        if schema is None or block is None:
            return
        inputs, body = block
        features = self._chosen_features()
        self._make_rows(features or {})
        try:
            widths = {name: f.dim for name, f in resolve(inputs, schema, body.d_model).items()}
        except InputError:
            widths = {}
        for name, row in self.rows.items():
            chosen = features is None or name in features or row.item
            prefix = f"{self.path}.{name}"
            errors = self.draft.errors.items()
            error = next((e for path, e in errors if path == prefix or path.startswith(f"{prefix}.")), None)
            row.show(chosen, (features or {}).get(name) or {}, widths.get(name), field_text(error))

    def _make_rows(self, features: Document) -> None:
        """Make a row for each feature of the schema, and for each of `features` that isn't in the schema."""
        schema = self.draft.schema
        columns: dict[str, Column | str] = {c.name: c for c in schema.features} if schema else {}
        for name, feature in features.items():
            columns.setdefault(name, VECTORS if (feature or {}).get("vectors") else ABSENT)
        if {name: row.of for name, row in self.rows.items()} != columns:
            unchanged = {name: row for name, row in self.rows.items() if columns.get(name) == row.of}
            self.rows = {name: unchanged.get(name) or FeatureRow(name, c, self._changed) for name, c in columns.items()}
            self.children = (w.HTML(HEAD), *self.rows.values(), self.foot)

    def _changed(self) -> None:
        """Edit the spec's features by the rows; None if every row has its default."""
        chosen = {name: row.choice for name, row in self.rows.items() if row.ticked}
        plain = len(chosen) == len(self.rows) and not any(chosen.values())
        self._edit(self.path, None if plain else chosen)

    def _add(self) -> None:
        name = self.name.value.strip()
        if not name or name in self.rows:
            return
        self.name.value = ""
        chosen = {n: row.choice for n, row in self.rows.items() if row.ticked}
        self._edit(self.path, {**chosen, name: {"vectors": {"path": ""}}})
        if name in self.rows:
            self.rows[name].more.value = True

    def _chosen_features(self) -> Document | None:
        """The features of the latest edit, as in the spec; None if every feature is read by default."""
        block = self._block
        recorded = block[0].model_dump(mode="json")["features"] if block else None
        features: Document | None = self.draft.pending.get(self.path, recorded)
        return features


class FeatureRow(w.VBox):
    """One feature: a tick if it is read, its encoding, width and table (empty: the default), and more beneath.

    It is `of` a column, or else `VECTORS` or `ABSENT`; the settings of an absent one are kept, for data that have it.
    """

    def __init__(self, name: str, of: Column | str, changed: Callable[[], None]) -> None:
        column = None if isinstance(of, str) else of
        self.of, self.column, self._changed, self._quiet = of, column, changed, False
        self._feature: Document = {}
        self._beneath: Document = {}
        """settings beneath the row: bins, vectors"""
        self.fields: dict[str, Field] = {}
        self._make_line(name, column.kind if column else str(of))
        self._more, self._error = w.VBox(), w.HTML()
        self._more.add_class("t4r-feature-more")
        line = w.HBox([self.tick, self.encoding, self.dim, self.table, self.more])
        line.add_class("t4r-feature-line")
        super().__init__([line, self._error, self._more])
        self.add_class("t4r-feature")
        for part in (self.tick, self.encoding, self.dim, self.table):
            part.observe(self._edited, "value")
        self.more.observe(self._open, "value")

    def _make_line(self, name: str, kind: str) -> None:
        """The widgets of the row's line, for the feature `name` of a `kind`."""
        column = self.column
        words = {VECTORS: "pre-trained vectors of the items", ABSENT: "which these data lack"}
        what = f"{kind}, by {column.scope}" if column else words[kind]
        self.tick = w.Checkbox(
            value=True,
            description=name,
            indent=False,
            disabled=self.item,
            tooltip="the item is always read" if self.item else f"whether the model reads {name} ({what})",
        )
        first, *others = encodings_for(kind) or (kind,)
        default = (f"{first} (default)" if column else first, None)
        self.encoding = w.Dropdown(
            options=offered([default, *((other, other) for other in others)]),
            value=NOTHING,
            disabled=not others,
            description=f"encoding of {name}",
            layout={"width": "auto"},
            tooltip=f"how {name} becomes a vector",
        )
        self.dim = _text(f"width of {name}", "default", f"width of the vector of {name}; empty: default")
        self.table = _text(f"table of {name}", "own", FeatureSpec.model_fields["table"].description or "")
        self.table.disabled = kind != "categorical"
        self.more = w.ToggleButton(
            description="more", disabled=self.of == ABSENT, tooltip=f"more of {name}: {self._further_settings()}"
        )

    @property
    def item(self) -> bool:
        """True for the row of the item column."""
        return self.column is not None and self.column.role == "item"

    @property
    def ticked(self) -> bool:
        """True if the column is a feature of the model."""
        return bool(self.tick.value)

    @property
    def choice(self) -> Document:
        """The settings that differ from the defaults, as the spec takes them."""
        if self.of == ABSENT:
            return self._feature
        dim = self.dim.value.strip()
        chosen = {
            "encoding": self.encoding.value or None,
            "dim": (int(dim) if dim.isdigit() else dim) or None,
            "table": self.table.value.strip() or None,
        }
        beneath = {name: value for name, value in self._beneath.items() if name in self._part.model_fields}
        return {**beneath, **{k: v for k, v in chosen.items() if v is not None}}

    def show(self, ticked: bool, feature: Document, width: int | None, error: str) -> None:
        """Show the `feature` of the spec, without reporting an edit."""
        self._quiet = True
        try:
            plain = FeatureSpec().model_dump()
            self._feature = feature
            self._beneath = {k: v for k, v in feature.items() if k not in IN_LINE and v != plain.get(k)}
            self.tick.value = ticked
            self._show_encoding(feature.get("encoding") or NOTHING)
            self.dim.value = as_text(feature.get("dim"))
            self.dim.placeholder = "default" if width is None else str(width)
            self.dim.disabled = not ticked or self.of == ABSENT
            self.table.value = as_text(feature.get("table"))
            for path, field in self.fields.items():
                field.show(self._value(path))
            self._error.value = (
                f'<div class="t4r-help t4r-error" role="alert">Error: {escape(error)}</div>' if error else ""
            )
        finally:
            self._quiet = False

    def _show_encoding(self, encoding: str) -> None:
        """Choose `encoding`; a custom one becomes a choice."""
        if is_custom(encoding) and encoding not in dict(self.encoding.options).values():
            self.encoding.options = (*self.encoding.options, (encoding, encoding))
            self.encoding.disabled = False
        if encoding in dict(self.encoding.options).values():
            self.encoding.value = encoding
        if self.more.value:
            self._open()

    @property
    def _part(self) -> type[Part]:
        """The part of a spec that holds the feature's knobs."""
        encoding = self.encoding.value
        return ENCODERS[encoding] if is_custom(encoding) else FeatureSpec

    def _knobs(self) -> list[Knob]:
        """The knobs beneath the row, of every encoding that may be chosen or is custom."""
        if self.of == ABSENT:
            return []
        if is_custom(self.encoding.value):
            return [knob for knob in walk(self._part.model_validate({})) if knob.path not in IN_LINE]
        kind = self.column.kind if self.column is not None else VECTORS
        encodings = encodings_for(kind) or (kind,)
        names = {name for encoding in encodings for name in ENCODERS[encoding].model_fields}.difference(IN_LINE)
        every = walk(FeatureSpec(vectors=VectorsSpec(path="-")))
        return [knob for knob in every if knob.path.partition(".")[0] in names]

    def _further_settings(self) -> str:
        return ", ".join(dict.fromkeys(knob.path.partition(".")[0] for knob in self._knobs()))

    def _open(self, change: tr.Bunch | None = None) -> None:
        """Show or hide the fields beneath the row; they are made when first shown."""
        knobs = self._knobs() if self.more.value else []
        if self.more.value and {knob.path for knob in knobs} != self.fields.keys():
            self.fields = {knob.path: Field(knob, self._set) for knob in knobs}
            for path, field in self.fields.items():
                field.show(self._value(path))
        self._more.children = tuple(self.fields.values()) if self.more.value else ()

    def _value(self, path: str) -> object:
        """The value of a knob beneath the row, such as ``vectors.path``."""
        part, _, name = path.partition(".")
        content = self._beneath.get(part)
        if not name:
            return self._part.model_fields[part].get_default() if content is None else content
        default = "" if name == "path" else VectorsSpec.model_fields[name].get_default()
        return (content or {}).get(name, default)

    def _set(self, path: str, value: object) -> None:
        part, _, name = path.partition(".")
        if name:
            value = {**(self._beneath.get(part) or {"path": ""}), name: value}
            if self.column is not None and not value["path"].strip():
                value = None  # a column has an embedding without vectors too
        self._beneath = {k: v for k, v in {**self._beneath, part: value}.items() if v is not None}
        self._changed()

    def _edited(self, change: tr.Bunch) -> None:
        if not self._quiet:
            self._changed()


def _text(description: str, placeholder: str, tooltip: str) -> w.Text:
    return w.Text(
        description=description,
        placeholder=placeholder,
        continuous_update=False,
        layout={"width": "auto"},
        tooltip=tooltip,
    )
