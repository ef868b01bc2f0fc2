"""The knobs of the block that is chosen in the picture."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as w

from t4r_lab.base.errors import InputError
from t4r_lab.lab.panels.architecture.feature_table import FeatureEditor
from t4r_lab.lab.panels.architecture.list_edits import element_of, removable
from t4r_lab.lab.panels.architecture.spec_form import SpecForm
from t4r_lab.lab.parts.text import escape, field_text
from t4r_lab.lab.state.draft import Draft, inputs_of
from t4r_lab.pictures.drawing import Block, Row, cost_of
from t4r_lab.pictures.model_picture import blocks
from t4r_lab.pictures.short_numbers import megabytes
from t4r_lab.spec.sections import HEADS, TOWERS
from t4r_lab.training.estimate import Cost, Estimate

LOSS = ("loss", "temperature", "fit_temperature", "weight")
"""Knobs of a head that stand at its loss."""
WORDS = {
    "data": "How much of a session the model reads. The data themselves are chosen in Data.",
    "projection": "A linear layer from the width of the features to that of the body. It has no knobs.",
    "add model.inputs.features": "Columns that the model doesn't read yet, and pre-trained vectors of the items.",
    "add model.heads": "Another target to predict.",
    "add model.towers": "Another body, with its own features, beside the first.",
}
"""Last part of a block's key, or its key → what stands above its knobs."""


def belongs(path: str, key: str) -> bool:
    """True if the knob at `path` is one of the block with that `key`.

    >>> belongs("model.heads.0.loss.label_smoothing", "model.heads.0.loss"), belongs("model.heads.0.dropout", "model.heads.0")
    (True, True)
    >>> belongs("model.heads.0.temperature", "model.heads.0"), belongs("model.inputs.features.a.dim", "model.inputs")
    (False, False)
    """
    if path.startswith(f"{HEADS}."):
        number, _, rest = path.removeprefix(f"{HEADS}.").partition(".")
        end = ".loss" if rest.partition(".")[0] in LOSS else ""
        return key == f"{HEADS}.{number}{end}"
    if key == "data":
        return path.startswith("data.")
    if key.endswith(".inputs"):
        return path.startswith(f"{key}.") and not path.startswith(f"{key}.features")
    return path == key or path.startswith(f"{key}.")


def block_at(path: str, rows: list[Row]) -> str:
    """Key of the block that shows the knob or part at `path`; empty if none does."""
    owners = [b.key for b in blocks(rows) if belongs(path, b.key) or path in b.paths]
    return max(owners, key=len, default="")


def refusals(errors: dict[str, InputError], rows: list[Row]) -> dict[str, str]:
    """Key of a block → what is wrong with it."""
    marks: dict[str, str] = {}
    for path, error in errors.items():
        key = block_at(path, rows)
        marks.setdefault(key, field_text(error))
    return marks


def _cost_words(cost: Cost | None, step: float) -> list[str]:
    if cost is None:
        return []
    words = [f"{cost.parameters:,} parameters", f"{megabytes(cost.memory)} in training"]
    return [*words, f"{cost.seconds / step:.0%} of a step's time"] if step else words


class Inspector(w.VBox):
    """Name, costs and error of the chosen block, its knobs, and what can be done with it.

    Shows the fields of the `form`, so that both have one state. `ask` gets ``move`` or ``remove`` with keys.
    """

    def __init__(self, draft: Draft, form: SpecForm, ask: Callable[[str, str, str], None]) -> None:
        self.draft, self.form, self._ask = draft, form, ask
        self._head, self._foot = w.HTML(), w.HBox()
        self.remove = w.Button(description="Remove")
        self.earlier = w.Button(description="Move before", tooltip="move it one place toward the beginning of its list")
        self.later = w.Button(description="Move after", tooltip="move it one place toward the end of its list")
        self.take_back = w.Button(description="Take back", tooltip="give up the value that isn't taken")
        self.key = ""
        self._rows: list[Row] = []
        self.remove.on_click(lambda _: self._ask("remove", self.key, ""))
        self.earlier.on_click(lambda _: self._move(-1))
        self.later.on_click(lambda _: self._move(1))
        self.take_back.on_click(lambda _: self._ask("take back", self.key, ""))
        self._body = w.VBox()
        super().__init__([self._head, self._body, self._foot])
        self.add_class("t4r-inspector")
        self._foot.add_class("t4r-inspector-foot")

    def show(self, key: str, rows: list[Row], estimate: Estimate | None) -> None:
        """Show the block with that `key` of the picture's `rows`."""
        self.key, self._rows = key, rows
        block = self._block(key)
        self._head.value = self._heading(key, block, estimate)
        parts = self.knobs(key)
        if tuple(parts) != self._body.children:
            self._body.children = parts
        waits = any(belongs(path, key) for path in self.draft.pending)
        shown = {
            self.take_back: waits,
            self.earlier: self._neighbor(-1) is not None,
            self.later: self._neighbor(1) is not None,
            self.remove: removable(self.draft.spec, self.draft.schema, key),
        }
        if block is not None:
            self.remove.tooltip = f"remove {block.name}"
        buttons = tuple(button for button, visible in shown.items() if visible)
        if buttons != self._foot.children:
            self._foot.children = buttons

    def knobs(self, key: str) -> list[w.Widget]:
        """The controls of the block."""
        what, _, path = key.partition(" ")
        if what == "add":
            return self._adder(path)
        element = element_of(key)
        if element is not None and element[0] not in (HEADS, TOWERS):
            row = self._editor(element[0]).rows.get(element[1])
            return [row] if row is not None else []
        return [field for path, field in self.form.fields.items() if belongs(path, key)]

    def _adder(self, path: str) -> list[w.Widget]:
        if path in (HEADS, TOWERS):
            return [self.form.adders[path]]
        editors = [self.form.features, *(self.form.towers[n] for n in range(len(self.draft.spec.model.towers)))]
        parts: list[w.Widget] = []
        for number, editor in enumerate(editors):
            if len(editors) > 1:
                parts.append(w.HTML(f'<div class="t4r-heading">tower {number + 1}</div>'))
            parts += [row.tick for row in editor.rows.values() if not row.ticked]
            parts.append(editor.foot)
            parts += [row for name, row in editor.rows.items() if row.ticked and not self._is_drawn(editor, name)]
        return parts

    def _is_drawn(self, editor: FeatureEditor, name: str) -> bool:
        """True if the feature is in the picture: one that isn't taken yet, such as vectors without a path, isn't."""
        features = inputs_of(self.draft.spec)[editor.prefix].features
        return features is None or name in features or editor.rows[name].item

    def _editor(self, path: str) -> FeatureEditor:
        number = path.removeprefix(f"{TOWERS}.").partition(".")[0]
        return self.form.towers[int(number)] if path.startswith(TOWERS) else self.form.features

    def _block(self, key: str) -> Block | None:
        return next((block for block in blocks(self._rows) if block.key == key), None)

    def _heading(self, key: str, block: Block | None, estimate: Estimate | None) -> str:
        if block is None:
            adds = next((row.what for row in self._rows if key == f"add {row.adds}"), "")
            title, line = f"Add {adds}", ""
        else:
            costs = {cost.path: cost for cost in estimate.costs} if estimate else {}
            words = _cost_words(cost_of(block, costs), sum(cost.seconds for cost in costs.values()))
            title, line = block.name, " · ".join(part for part in (block.shape, *words) if part)
        text = WORDS.get(key, WORDS.get(key.rpartition(".")[2], ""))
        error = refusals(self.draft.errors, self._rows).get(key, "")
        return (
            f'<div class="t4r-block-title">{escape(title)}</div><div class="t4r-help">{escape(line)}</div>'
            + (f'<div class="t4r-help">{escape(text)}</div>' if text else "")
            + (f'<div class="t4r-message t4r-error" role="alert">{escape(error)}</div>' if error else "")
        )

    def _siblings(self) -> list[str]:
        block = self._block(self.key)
        if block is None or not block.of:
            return []
        return [other.key for other in blocks(self._rows) if other.of == block.of]

    def _neighbor(self, step: int) -> str | None:
        keys = self._siblings()
        neighbor = keys.index(self.key) + step if self.key in keys else -1
        return keys[neighbor] if 0 <= neighbor < len(keys) else None

    def _move(self, step: int) -> None:
        to = self._neighbor(step)
        if to is not None:
            self._ask("move", self.key, to)
