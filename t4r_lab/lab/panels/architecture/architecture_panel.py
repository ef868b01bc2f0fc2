"""Architecture panel: the spec as a form, the model with its costs as a picture, and the spec to copy."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.lab.panels.architecture.diff import diff
from t4r_lab.lab.panels.architecture.feature_table import FeatureEditor
from t4r_lab.lab.panels.architecture.picture import picture
from t4r_lab.lab.panels.architecture.spec_form import SpecForm
from t4r_lab.lab.panels.architecture.spec_loader import SpecLoader
from t4r_lab.lab.parts.clipboard import CopyText
from t4r_lab.lab.parts.fields import LABEL_WIDTH, NOTHING, Field, OnEdit
from t4r_lab.lab.parts.section import Section
from t4r_lab.lab.parts.text import escape, field_text, message
from t4r_lab.lab.state.cost import CostEstimate
from t4r_lab.lab.state.draft import Draft, name_of_part
from t4r_lab.runs.script import to_python
from t4r_lab.spec import RunSpec
from t4r_lab.spec.presets import PRESETS

YAML, PYTHON = "YAML", "Python"
PRESET_HELP = "A published model with its own values: replaces features, model and training, and keeps the data."


class ArchitecturePanel(w.VBox):
    """Form on the left; picture, costs and the spec as text on the right; Train beneath.

    State: `draft`, and `cost_estimate` for its costs. `on_load` gets a spec from elsewhere with its name, `on_start`
    the name of a preset.
    """

    def __init__(
        self,
        draft: Draft,
        edit: OnEdit,
        on_train: Callable[[], None],
        on_load: Callable[[RunSpec, str], None] | None = None,
        on_start: Callable[[str], None] | None = None,
        cost_estimate: CostEstimate | None = None,
        on_drop: Callable[[], None] | None = None,
    ) -> None:
        self.draft, self.cost_estimate, self._start = draft, cost_estimate, on_start or draft.start
        self._make_spec(edit, on_load or draft.clone)
        self._make_view()
        self.train = w.Button(description="Train", button_style="primary", tooltip="start a job that trains this spec")
        self.train.on_click(lambda _: on_train())
        self.drop = w.Button(layout={"width": "auto"})
        self.drop.on_click(lambda _: (on_drop or draft.drop)())
        self._status = w.HTML()
        super().__init__(self._arrange())
        self.add_class("t4r-panel")
        self.preset.observe(self._preset_chosen, "value")
        self.language.observe(self._show, "value")
        draft.observe(self._show, "revision")
        if cost_estimate is not None:
            cost_estimate.observe(self._show_costs, ["estimate", "doing", "error"])
        self._show()

    def _make_spec(self, edit: OnEdit, on_load: Callable[[RunSpec, str], None]) -> None:
        """Make the inputs of the spec: preset, name, form, and the loader of specs from elsewhere."""
        self.preset = w.Dropdown(
            options=[("your own", NOTHING), *((preset.title, name) for name, preset in PRESETS.items())],
            value=NOTHING,
            description="preset",
            style={"description_width": LABEL_WIDTH},
            layout={"width": "auto"},
            tooltip=PRESET_HELP,
        )
        self._source, self._note = w.HTML(), w.HTML()
        self.name = Field(self.draft.spec.knobs()["name"], edit)
        self.features = FeatureEditor(self.draft, edit)
        self.form = SpecForm(self.draft, edit, above={"Inputs": self.features})
        self.loader = SpecLoader(on_load)

    def _make_view(self) -> None:
        """Make the views of the spec: picture, costs, differences and text."""
        self.picture, self._costs, self._diff = w.HTML(), w.HTML(), w.HTML()
        self.language = w.ToggleButtons(
            options=[YAML, PYTHON],
            description="spec as",
            style={"button_width": "5.5rem", "description_width": "4rem"},
            tooltips=["for `t4r-lab train`", "a program that builds the same model block by block and trains it"],
        )
        self.text = CopyText()

    def _arrange(self) -> list[w.Widget]:
        """The inputs beside the views, and the line of buttons beneath."""
        preset = w.VBox([self.preset, self._source])
        for name in ("t4r-field", "t4r-long", "t4r-preset"):
            preset.add_class(name)
        left = w.VBox([preset, self.name, self.form, Section("Load a spec", above=self.loader), self._note])
        right = w.VBox([self.picture, self._costs, self._diff, w.VBox([self.language, self.text])])
        left.add_class("t4r-left")
        right.add_class("t4r-right")
        columns, foot = w.HBox([left, right]), w.HBox([self._status, w.HBox([self.drop, self.train])])
        columns.add_class("t4r-columns")
        foot.add_class("t4r-foot")
        return [columns, foot]

    def _preset_chosen(self, change: tr.Bunch) -> None:
        if self.preset.value not in (NOTHING, self.draft.preset):
            self._start(self.preset.value)

    def _show(self, change: tr.Bunch | None = None) -> None:
        draft = self.draft
        self.name.show(draft.pending.get("name", draft.spec.name))
        self.name.error = field_text(draft.errors.get("name"))
        self.preset.value = draft.preset or NOTHING
        source = f"After {PRESETS[draft.preset].source}." if draft.preset else PRESET_HELP
        self._source.value = f'<div class="t4r-help">{escape(source)}</div>'
        self._diff.value = diff(draft)
        self.text.label = "for t4r-lab train" if self.language.value == YAML else "a complete program"
        self.text.text = spec_text(draft, self.language.value)
        self.train.disabled = bool(draft.obstacle)
        names = [name_of_part(draft.spec, path) for path in draft.lacking]
        self.drop.description = f"Drop {names[0]}" if len(names) == 1 else f"Drop all {len(names)} that don't fit"
        self.drop.tooltip = f"remove what these data can't serve: {', '.join(names)}"
        self.drop.layout.display = "" if names else "none"
        self._note.value = message("note", draft.note)
        self._status.value = status(draft)
        self._show_costs()

    def _show_costs(self, change: tr.Bunch | None = None) -> None:
        estimate = self.cost_estimate.estimate if self.cost_estimate else None
        self.picture.value = picture(self.draft.spec, self.draft.schema, estimate)
        self._costs.value = self.cost_estimate.line if self.cost_estimate else ""


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
