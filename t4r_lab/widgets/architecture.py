"""Architecture panel: the spec as a form, what it builds as a picture, and the spec to copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w

from t4r_lab.widgets.copy import CopyText
from t4r_lab.widgets.diff import diff
from t4r_lab.widgets.draft import Draft
from t4r_lab.widgets.features import FeatureEditor
from t4r_lab.widgets.fields import Field
from t4r_lab.widgets.forms import SpecForm
from t4r_lab.widgets.picture import picture
from t4r_lab.widgets.text import message


class ArchitecturePanel(w.VBox):
    """Form at the left, picture and YAML at the right, Train beneath. State: `draft`."""

    def __init__(self, draft: Draft, edit: Callable[[str, Any], None], on_train: Callable[[], None]) -> None:
        self.draft = draft
        self.name = Field(draft.spec.knobs()["name"], edit)
        self.features = FeatureEditor(draft, edit)
        self.form = SpecForm(draft, edit, above={"Inputs": self.features})
        self.picture = w.HTML()
        self.yaml = CopyText(label="spec as YAML")
        self.train = w.Button(description="Train", button_style="primary", tooltip="start a job that trains this spec")
        self.train.on_click(lambda _: on_train())
        self._status, self._note, self._diff = w.HTML(), w.HTML(), w.HTML()
        left = w.VBox([self.name, self.form, self._note])
        right = w.VBox([self.picture, self._diff, self.yaml])
        left.add_class("t4r-left")
        right.add_class("t4r-right")
        columns, foot = w.HBox([left, right]), w.HBox([self._status, self.train])
        columns.add_class("t4r-columns")
        foot.add_class("t4r-foot")
        super().__init__([columns, foot])
        self.add_class("t4r-panel")
        draft.observe(self._show, "revision")
        self._show()

    def _show(self, change: Any = None) -> None:
        draft = self.draft
        self.name.show(draft.pending.get("name", draft.spec.name))
        self.name.error = draft.errors.get("name", "")
        self.picture.value = picture(draft.spec, draft.schema)
        self._diff.value = diff(draft)
        self.yaml.text = draft.spec.to_yaml()
        self.train.disabled = not draft.valid or draft.schema is None
        self._note.value = message("note", draft.note)
        self._status.value = status(draft)


def status(draft: Draft) -> str:
    """HTML beside the Train button: what stands in the way, or what will be trained on."""
    if draft.schema is None:
        return message("empty", "Choose a dataset in Data first.")
    if draft.valid:
        return message("note", f"Ready to train on {draft.spec.data.path}")
    path, text = next(iter(draft.errors.items()))
    return message("error", f"{path}: {text}" if path else text)
