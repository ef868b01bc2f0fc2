"""Architecture panel: the picture of the model as its editor, the chosen block's knobs beside it, and the spec as text."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.lab.panels.architecture.canvas import Canvas
from t4r_lab.lab.panels.architecture.diff import diff
from t4r_lab.lab.panels.architecture.feature_table import FeatureEditor
from t4r_lab.lab.panels.architecture.inspector import Inspector, belongs, refusals
from t4r_lab.lab.panels.architecture.list_edits import element_of, moved, removed
from t4r_lab.lab.panels.architecture.preset_cards import PresetCards
from t4r_lab.lab.panels.architecture.spec_form import SpecForm
from t4r_lab.lab.panels.architecture.spec_loader import SpecLoader
from t4r_lab.lab.parts.clipboard import CopyText
from t4r_lab.lab.parts.fields import Field
from t4r_lab.lab.parts.text import escape, field_text, message
from t4r_lab.lab.state.cost import CostEstimate
from t4r_lab.lab.state.draft import Draft, name_of_part
from t4r_lab.pictures.drawing import Row
from t4r_lab.pictures.model_picture import blocks, draw, layers, picture_file
from t4r_lab.runs.script import to_python
from t4r_lab.spec import RunSpec
from t4r_lab.spec.sections import HEADS, TOWERS

BLOCK, KNOBS, PRESETS, YAML, PYTHON, LOAD = "block", "all knobs", "presets", "YAML", "Python", "load"
VIEWS = {
    BLOCK: "the knobs of the block that is chosen in the picture",
    KNOBS: "every knob of the spec",
    PRESETS: "published models to start from",
    YAML: "the spec as a file for the command line",
    PYTHON: "a program that builds the same model block by block and trains it",
    LOAD: "a spec from a text, a file or an upload",
}
"""What stands beside the picture, with its help."""


class ArchitecturePanel(w.VBox):
    """The picture on the left; beside it the chosen block, all knobs, presets or the spec as text; Train beneath.

    State: `draft`, and `cost_estimate` for its costs. `on_load` gets a spec from elsewhere with its name, `on_start`
    the name of a preset.
    """

    def __init__(
        self,
        draft: Draft,
        edit: Callable[[str, Any], None],
        on_train: Callable[[], None],
        on_load: Callable[[RunSpec, str], None] | None = None,
        on_start: Callable[[str], None] | None = None,
        cost_estimate: CostEstimate | None = None,
        on_drop: Callable[[], None] | None = None,
    ) -> None:
        self.draft, self.cost_estimate, self._edit = draft, cost_estimate, edit
        self._unfolded: set[str] = set()
        self._rows: list[Row] = []
        self.canvas = Canvas(self.request)
        self._make_views(on_load or draft.clone, on_start or draft.start)
        self._make_foot(on_train, on_drop or draft.drop)
        super().__init__(self._arrange())
        self.add_class("t4r-panel")
        self.canvas.chosen = "model.body"
        self.canvas.observe(self._chosen, "chosen")
        self.view.observe(self._show_view, "value")
        draft.observe(self._show, "revision")
        if cost_estimate is not None:
            cost_estimate.observe(self._show_costs, ["estimate", "doing", "error"])
        self._show()

    def _make_views(self, on_load: Callable[[RunSpec, str], None], on_start: Callable[[str], None]) -> None:
        """Make everything that can stand beside the picture, and the choice of it."""
        self.form = SpecForm(self.draft, self._edit, FeatureEditor(self.draft, self._edit))
        self.features = self.form.features
        self.inspector = Inspector(self.draft, self.form, self.request)
        self.presets, self.loader, self.text = PresetCards(on_start), SpecLoader(on_load), CopyText()
        self.view = w.ToggleButtons(
            options=list(VIEWS),
            tooltips=list(VIEWS.values()),
            style={"button_width": "auto"},
        )
        self.view.add_class("t4r-views")
        self.side = w.VBox()
        self.side.add_class("t4r-side")

    def _make_foot(self, on_train: Callable[[], None], on_drop: Callable[[], None]) -> None:
        """Make the lines above and beneath the picture."""
        self.name = Field(self.draft.spec.knobs()["name"], self._edit, help="")
        self.undo = w.Button(description="Undo", tooltip="undo the latest edit (Ctrl+Z in the picture)")
        self.redo = w.Button(description="Redo", tooltip="make the undone edit again (Ctrl+Shift+Z in the picture)")
        self.train = w.Button(description="Train", button_style="primary", tooltip="start a job that trains this spec")
        self.drop = w.Button(layout={"width": "auto"})
        self.undo.on_click(lambda _: self.request("undo"))
        self.redo.on_click(lambda _: self.request("redo"))
        self.train.on_click(lambda _: on_train())
        self.drop.on_click(lambda _: on_drop())
        self._save, self._status, self._note = w.HTML(), w.HTML(), w.HTML()
        self._costs, self._diff = w.HTML(), w.HTML()

    def _arrange(self) -> list[w.Widget]:
        """The line of name and edits, the picture beside the views, and the line of state and Train."""
        tools = w.HBox([self.undo, self.redo, self._save])
        head = w.HBox([self.name, tools])
        canvas = w.VBox([self.canvas, self._costs])
        beside = w.VBox([self.view, self.side])
        columns, foot = w.HBox([canvas, beside]), w.HBox([self._status, w.HBox([self.drop, self.train])])
        styles = {
            "t4r-tools": tools,
            "t4r-architecture-head": head,
            "t4r-canvas-pane": canvas,
            "t4r-beside": beside,
            "t4r-architecture": columns,
            "t4r-foot": foot,
        }
        for name, part in styles.items():
            part.add_class(name)
        return [head, self._note, columns, foot]

    # requests -----------------------------------------------------------------------------------

    def request(self, what: str, key: str = "", to: str = "") -> None:
        """Do what the picture or the inspector asks for: ``undo``, ``redo``, ``take back``, ``remove`` or ``move``."""
        draft = self.draft
        if what == "undo":
            draft.undo()
        elif what == "redo":
            draft.redo()
        elif what == "take back":
            for path in [p for p in draft.pending if belongs(p, key)]:
                draft.take_back(path)
        elif what == "remove":
            self._change(removed(draft.spec, draft.schema, key), _beside(key))
        elif what == "move":
            element = element_of(key)
            named = element is not None and element[0] not in (HEADS, TOWERS)
            self._change(moved(draft.spec, draft.schema, key, to), key if named else to)

    def _change(self, edits: dict[str, Any], chosen: str) -> None:
        for path, value in edits.items():
            self._edit(path, value)
            self.canvas.chosen = chosen

    def _chosen(self, change: tr.Bunch) -> None:
        """Show the chosen block, and fold or unfold a group of features."""
        key = self.canvas.chosen
        if any(block.key == key and block.folded for block in blocks(self._rows)):
            self._unfolded ^= {key}
            self._show_costs()
        self.view.value = BLOCK
        self._show_view()

    # views --------------------------------------------------------------------------------------

    def _show(self, change: tr.Bunch | None = None) -> None:
        draft = self.draft
        self.name.show(draft.pending.get("name", draft.spec.name))
        self.name.error = field_text(draft.errors.get("name"))
        self._diff.value = diff(draft)
        self.presets.show(draft.preset)
        self.undo.disabled, self.redo.disabled = not draft.can_undo, not draft.can_redo
        self.train.disabled = bool(draft.obstacle)
        names = [name_of_part(draft.spec, path) for path in draft.lacking]
        self.drop.description = f"Drop {names[0]}" if len(names) == 1 else f"Drop all {len(names)} that don't fit"
        self.drop.tooltip = f"remove what these data can't serve: {', '.join(names)}"
        self.drop.layout.display = "" if names else "none"
        self._note.value = message("note", draft.note)
        self._status.value = status(draft)
        self._show_costs()

    def _show_costs(self, change: tr.Bunch | None = None) -> None:
        """Draw the picture with the costs that are known; those of an earlier spec are dimmed."""
        draft, cost = self.draft, self.cost_estimate
        estimate = cost.estimate if cost else None
        before, self._rows = keys_of(self._rows), layers(draft.spec, draft.schema, self._unfolded)
        keys = keys_of(self._rows)
        added = [
            key for key in keys if key not in before and self.canvas.chosen == f"add {(element_of(key) or ('',))[0]}"
        ]
        wrong = refusals(draft.errors, self._rows)
        self.canvas.svg = draw(self._rows, estimate, wrong)
        if added and before:
            self.canvas.chosen = added[-1]
        if self.canvas.chosen not in keys:
            self.canvas.chosen = "model.body"
        self._costs.value = cost.line if cost else ""
        fresh = cost is None or cost.is_current
        (self.canvas.remove_class if fresh else self.canvas.add_class)("t4r-old-figures")
        self._save.value = _download(draft, estimate if fresh else None)
        self._show_view()

    def _show_view(self, change: tr.Bunch | None = None) -> None:
        view = self.view.value
        if view == BLOCK:
            cost = self.cost_estimate
            self.inspector.show(self.canvas.chosen, self._rows, cost.estimate if cost else None)
        if view in (YAML, PYTHON):
            self.text.label = "for t4r-lab train" if view == YAML else "a complete program"
            self.text.text = spec_text(self.draft, view)
        shown: dict[str, list[w.Widget]] = {
            BLOCK: [self.inspector, self._diff],
            KNOBS: [self.form],
            PRESETS: [self.presets],
            LOAD: [self.loader],
        }
        children = tuple(shown.get(view, [self.text]))
        if children != self.side.children:
            self.side.children = children


def keys_of(rows: list[Row]) -> list[str]:
    """Keys of all blocks, and of the buttons that add to lists."""
    return [block.key for block in blocks(rows)] + [f"add {row.adds}" for row in rows if row.adds]


def _beside(key: str) -> str:
    """The block to choose once that with `key` is removed."""
    element = element_of(key)
    path = element[0] if element else ""
    return {HEADS: f"{HEADS}.0", TOWERS: "model.body"}.get(path, path.removesuffix(".features"))


def _download(draft: Draft, estimate: Any) -> str:
    """A link that saves the picture as a file."""
    if draft.schema is None:
        return ""
    content = b64encode(picture_file(draft.spec, draft.schema, estimate).encode()).decode()
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in draft.spec.name) or "model"
    return (
        f'<a class="t4r-save" download="{escape(name)}.svg" href="data:image/svg+xml;base64,{content}">Save picture</a>'
    )


def spec_text(draft: Draft, language: str) -> str:
    """The spec as YAML or as a Python program."""
    if language == YAML:
        waits = "".join(
            f"# not taken yet: {path}: {' '.join(str(value).split())}\n" for path, value in draft.pending.items()
        )
        return waits + draft.spec.to_yaml()
    if draft.schema is None:
        return "# Choose a dataset in Data first: the blocks depend on its columns."
    try:
        return to_python(draft.spec, draft.schema)
    except InputError as error:
        return f"# {error}"


def status(draft: Draft) -> str:
    """HTML beside the Train button: the obstacle to training, or the data to train on."""
    if draft.waiting:
        return message("loading", draft.waiting)
    if draft.schema is None:
        return message("empty", draft.obstacle)
    return message("error", draft.obstacle) or message("note", f"Ready to train on {draft.spec.data.path}")
