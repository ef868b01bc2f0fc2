"""One knob as one labeled control, made from the spec's metadata."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.documents import read_yaml
from t4r_lab.base.errors import InputError
from t4r_lab.families.knobs import label
from t4r_lab.lab.parts.text import escape
from t4r_lab.spec import Knob

LABEL_WIDTH = "8.5rem"
LONG = 90
"""A note with more characters stands beneath its control instead of beside it."""
LARGEST = 2**53
"""Upper bound of knobs without one: the largest integer that a browser represents exactly."""


OnEdit = Callable[[str, object], None]
"""Called with the path and the new value of a knob."""
Options = Sequence[tuple[str, object]]
"""Text and value of each choice of a drop-down."""
NOTHING = ""
"""Stands for None in a drop-down: ipywidgets shows a value of None as no choice at all."""


def offered(options: Options) -> tuple[tuple[str, object], ...]:
    """`options` with None replaced by `NOTHING`, so that it can be chosen."""
    return tuple((text, NOTHING if value is None else value) for text, value in options)


def as_text(value: object) -> str:
    """A value as text of a field: lists without brackets, empty for None."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(str(v) for v in value)
    return str(value)


def from_text(text: str, knob: Knob) -> object:
    """The typed text as a plain value; text that can't be parsed stays text, and the spec refuses it."""
    if not text.strip() and (knob.optional or knob.type not in (list, tuple)):
        return None if knob.optional else text
    if knob.type is str:
        return text
    try:
        return read_yaml(f"[{text}]" if knob.type in (list, tuple) else text, knob.path)
    except InputError:
        return text


def control(knob: Knob, options: Options | None = None) -> w.ValueWidget:
    """The widget that fits a knob: drop-down, tick, slider, number or text."""
    common: dict[str, object] = {
        "description": label(knob.path),
        "style": {"description_width": LABEL_WIDTH},
        "layout": {"width": "auto"},
        "tooltip": f"{knob.path}: {knob.help}",
    }
    if options is not None or knob.choices:
        pairs = list(options) if options is not None else [(str(c), c) for c in knob.choices]
        if knob.optional and options is None:
            pairs.insert(0, ("default", None))
        return w.Dropdown(options=offered(pairs), value=NOTHING if knob.value is None else knob.value, **common)
    if knob.type is bool:
        return w.Checkbox(value=knob.value, **common)
    if knob.type is int and not knob.optional:
        low, high = knob.low, knob.high
        return w.BoundedIntText(
            value=knob.value,
            min=int(-LARGEST if low is None else low),
            max=int(LARGEST if high is None else high),
            **common,
        )
    if knob.type is float and not knob.optional:
        return _float(knob, common)
    return w.Text(
        value=as_text(knob.value), placeholder="none" if knob.optional else "", continuous_update=False, **common
    )


def _float(knob: Knob, common: dict[str, object]) -> w.ValueWidget:
    """A slider if its steps reach every sensible value, else a number field."""
    low, high = knob.low, knob.high
    if low is None or high is None:
        return w.FloatText(value=knob.value, **common)
    if knob.search.get("log") and low > 0 and high / low <= 1e4:
        exponents = {"min": math.log10(low), "max": math.log10(high), "step": 0.05}
        return w.FloatLogSlider(
            value=knob.value, base=10, readout_format=".3g", continuous_update=False, **exponents, **common
        )
    if high - low <= 1 and (low == 0 or low >= 0.01) and not knob.search.get("log"):
        return w.FloatSlider(
            value=knob.value, min=low, max=high, step=0.01, readout_format=".2f", continuous_update=False, **common
        )
    return w.BoundedFloatText(value=knob.value, min=low, max=high, **common)


class Field(w.VBox):
    """A control with its help beside it, replaced by the error if the spec refuses the value."""

    error = tr.Unicode("")
    help = tr.Unicode("")

    def __init__(
        self,
        knob: Knob,
        on_edit: OnEdit,
        options: Options | None = None,
        help: str | None = None,
    ) -> None:
        self.knob, self._on_edit, self._quiet = knob, on_edit, False
        self.control = control(knob, options)
        self._note = w.HTML(layout={"margin": "0"})
        super().__init__([self.control, self._note])
        self.add_class("t4r-field")
        self.control.observe(self._edited, "value")
        self.help = knob.help if help is None else help
        self._show_note()

    @property
    def value(self) -> object:
        """The value as the spec takes it."""
        raw = self.control.value
        if isinstance(self.control, w.Dropdown):
            return None if raw == NOTHING else raw
        return from_text(raw, self.knob) if isinstance(self.control, w.Text) else raw

    def show(self, value: object, options: Options | None = None) -> None:
        """Show `value` (and `options`) of the spec, without reporting an edit."""
        self._quiet = True
        try:
            if isinstance(self.control, w.Text):
                if self.value != value:  # an equal value keeps its typed form
                    self.control.value = as_text(value)
                return
            if isinstance(self.control, w.Dropdown):
                if options is not None and offered(options) != tuple(self.control.options):
                    self.control.options = offered(options)
                value = NOTHING if value is None else value
                if value not in dict(self.control.options).values():
                    return  # a refused value that isn't among the choices
            if self.control.value != value:
                self.control.value = value
        finally:
            self._quiet = False

    def _edited(self, change: tr.Bunch) -> None:
        if not self._quiet:
            self._on_edit(self.knob.path, self.value)

    @tr.observe("error", "help")
    def _show_note(self, change: tr.Bunch | None = None) -> None:
        (self.add_class if len(self.error or self.help) > LONG else self.remove_class)("t4r-long")
        if self.error:
            self.add_class("t4r-refused")
            self._note.value = f'<div class="t4r-help t4r-error" role="alert">Error: {escape(self.error)}</div>'
        else:
            self.remove_class("t4r-refused")
            self._note.value = f'<div class="t4r-help">{escape(self.help)}</div>'
