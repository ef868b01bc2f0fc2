"""The spec as a form: sections of fields that follow the spec's own structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.documents import Document
from t4r_lab.families.custom import is_custom
from t4r_lab.families.knobs import Part, element, variants
from t4r_lab.lab.panels.architecture.elements import (
    Adder,
    ElementHead,
    head_offers,
    label_kinds,
    no_head_offered,
    title,
    tower_offers,
)
from t4r_lab.lab.panels.architecture.feature_table import FeatureEditor
from t4r_lab.lab.parts.fields import Field, OnEdit, Options
from t4r_lab.lab.parts.section import Section
from t4r_lab.lab.parts.text import field_text
from t4r_lab.lab.state.draft import MASKING, Draft
from t4r_lab.spec import BODY_MASKINGS, BodySpec, Knob, RunSpec, not_for
from t4r_lab.spec.head_specs import LABEL_HEADS
from t4r_lab.spec.sections import HEADS, TOWERS

SECTIONS: dict[str, tuple[str, ...]] = {
    "Inputs": ("data.max_length", "model.inputs."),
    "Masking": ("model.masking.",),
    "Body": ("model.body.", "model.towers.", "model.merge"),
    "Heads": ("model.heads.",),
    "Train": ("train.",),
    "Evaluation": ("evaluation.",),
}
"""Section → the paths, or prefixes of paths, that it shows."""


def section_of(path: str) -> str | None:
    """The section that shows `path`; None for knobs of other panels (the data's path)."""
    return next((name for name, starts in SECTIONS.items() if path.startswith(starts)), None)


def kinds(spec: RunSpec, path: str) -> dict[str, type[Part]]:
    """The parts that the knob ``….kind`` at `path` chooses from, by kind."""
    owner: Any = spec
    *parents, name, _ = path.split(".")
    *parents, name = parents if name.isdigit() else [*parents, name]  # the kind of a list element
    for key in parents:
        owner = owner[int(key)] if key.isdigit() else getattr(owner, key)
    annotation = type(owner).model_fields[name].annotation
    return variants(element(annotation) or annotation)


def bodies(spec: RunSpec) -> list[BodySpec]:
    """The body of every tower."""
    return [spec.model.body, *(tower.body for tower in spec.model.towers)]


def options(draft: Draft, knob: Knob) -> list[tuple[str, object]] | None:
    """The present choices of a knob; None if it isn't a choice, or its own choices apply."""
    spec, schema = draft.spec, draft.schema
    if knob.path.startswith(f"{HEADS}."):
        head = spec.model.heads[int(knob.path.split(".")[2])]
        if knob.path.endswith(".column") and schema is not None and (label := head.as_label) is not None:
            columns = [c.name for c in schema.targets if label.kind in label_kinds(draft, c.name)]
            return [(name, name) for name in dict.fromkeys([*columns, label.column])]
        if knob.path.count(".") == 3 and knob.path.endswith(".kind"):
            if head.label is None:
                return [(head.title, head.kind)]
            kinds_allowed = {head.kind, *label_kinds(draft, head.label)}
            fitting = {k: h for k, h in LABEL_HEADS.items() if k in kinds_allowed}
            return [(h.__name__, k) for k, h in fitting.items()]
    if knob.path == "train.monitor":
        return [
            (
                f"default ({spec.model_copy(update={'train': spec.train.model_copy(update={'monitor': None})}).monitor})",
                None,
            ),
            *((m, m) for m in spec.metrics),
        ]
    if not knob.path.endswith("kind"):
        return None
    parts = kinds(spec, knob.path)
    allowed: Sequence[str] = knob.choices
    if knob.path == MASKING:
        first, *rest = (BODY_MASKINGS[body.kind] for body in bodies(spec))
        allowed = [masking for masking in first if all(masking in other for other in rest)]
        allowed += [knob.value] if is_custom(knob.value) else []
    return [(parts[k].__name__ if k in parts else k, k) for k in allowed]


def help_text(spec: RunSpec, knob: Knob) -> str:
    """Help of a field: for a kind, that of the chosen part; for maskings also why others can't be chosen."""
    part = kinds(spec, knob.path).get(str(knob.value)) if knob.path.endswith("kind") else None
    lines = [(part.__doc__ or knob.help).strip().splitlines()[0]] if part else [knob.help]
    if knob.path == MASKING:
        lines += not_offered([body.kind for body in bodies(spec)])
    return " ".join(lines)


def not_offered(kinds: Sequence[str]) -> list[str]:
    """Reasons why maskings can't be chosen: a line per kind of body that excludes some, each masking once.

    >>> not_offered(["gpt2"]), not_offered(["bert", "xlnet"])
    (['Not offered with gpt2: mlm, rtd, plm (it only looks back).'], ['Not offered with bert: plm (only xlnet has its two streams).'])
    """
    lines, listed = [], set[str]()
    for kind in dict.fromkeys(kinds):
        groups = {why: [m for m in maskings if m not in listed] for why, maskings in not_for(kind).items()}
        if reasons := [f"{', '.join(maskings)} ({why})" for why, maskings in groups.items() if maskings]:
            lines.append(f"Not offered with {kind}: {'; '.join(reasons)}.")
        listed = listed.union(*groups.values())
    return lines


class SpecForm(w.VBox):
    """Every knob of a `Draft` as a field; the fields follow the chosen kinds."""

    def __init__(self, draft: Draft, edit: OnEdit | None = None, features: FeatureEditor | None = None) -> None:
        self.draft = draft
        self._edit = edit or draft.set
        self.features = features or FeatureEditor(draft, self._edit)
        self.fields: dict[str, Field] = {}
        self._made: dict[tuple[object, ...], Field] = {}
        self._heads: dict[tuple[str, int], ElementHead] = {}
        self.towers: dict[int, FeatureEditor] = {}
        """editors of the further towers' features"""
        self.adders = {
            HEADS: Adder("head", "another target to predict", lambda new: self._add(HEADS, new)),
            TOWERS: Adder(
                "tower", "another body, with its own features, beside the first", lambda new: self._add(TOWERS, new)
            ),
        }
        self.sections = {name: Section(name, name in ("Masking", "Body")) for name in SECTIONS}
        self.sections["Inputs"] = Section("Inputs", above=self.features)
        super().__init__(list(self.sections.values()))
        self.add_class("t4r-form")
        draft.observe(self._refresh, "revision")
        self._refresh()

    def _refresh(self, change: tr.Bunch | None = None) -> None:
        spec = self.draft.spec
        shown: dict[str, list[w.Widget]] = {name: [] for name in SECTIONS}
        fields: dict[str, Field] = {}
        knobs = [k for k in spec.knobs().values() if section_of(k.path) and not self._has_no_field(spec, k)]
        for knob in knobs:
            choices = options(self.draft, knob)
            section = shown[section_of(knob.path) or ""]
            section += [part for part in self._element_head(spec, knob.path) if part not in section]
            if knob.path.startswith(HEADS) and knob.path.endswith("kind") and len(choices or ()) == 1:
                continue  # a choice of one is no choice
            field = self._field(spec, knob, choices)
            field.help = help_text(spec, knob)
            field.show(self.draft.pending.get(knob.path, knob.value), choices)
            field.error = field_text(self.draft.errors.get(knob.path))
            section.append(field)
            fields[knob.path] = field
        self.adders[HEADS].show(head_offers(self.draft), no_head_offered(self.draft))
        self.adders[TOWERS].show(tower_offers(spec))
        shown["Heads"].append(self.adders[HEADS])
        shown["Body"].append(self.adders[TOWERS])
        for name, parts in shown.items():
            section_view = self.sections[name]
            if tuple(parts) != section_view.fields.children:
                section_view.fields.children = parts
            section_view.summary = summary(spec, name)
            if any(section_of(path) == name for path in self.draft.errors):
                section_view.opened = True
        self.fields = fields

    @staticmethod
    def _has_no_field(spec: RunSpec, knob: Knob) -> bool:
        """True if a knob has no field here: features have an editor, empty lists an adder; one tower needs no merge."""
        if knob.path == "model.merge":
            return not spec.model.towers
        return ".inputs.features" in knob.path or knob.path == TOWERS

    def _element_head(self, spec: RunSpec, path: str) -> list[w.Widget]:
        """The widgets above the first field of the list element that holds `path`: its name, a tower's features."""
        list_path = next((p for p in (HEADS, TOWERS) if path.startswith(f"{p}.")), None)
        if list_path is None:
            return []
        index = int(path.removeprefix(f"{list_path}.").split(".")[0])
        if (list_path, index) not in self._heads:
            self._heads[list_path, index] = ElementHead(lambda: self._remove(list_path, index))
        head = self._heads[list_path, index]
        head.show(title(spec, list_path, index), list_path == TOWERS or len(spec.model.heads) > 1)
        if list_path == HEADS:
            return [head]
        if index not in self.towers:
            self.towers[index] = FeatureEditor(self.draft, self._edit, f"{TOWERS}.{index}.inputs")
        return [head, self.towers[index]]

    def _content(self, list_path: str) -> list[Document]:
        """The list at `list_path` after the latest edit, as plain content."""
        present: list[Document] = self.draft.spec.to_dict()["model"][list_path.rpartition(".")[2]]
        content: list[Document] = self.draft.pending.get(list_path, present)
        return content

    def _add(self, list_path: str, new: Document) -> None:
        self._edit(list_path, [*self._content(list_path), new])

    def _remove(self, list_path: str, index: int) -> None:
        content = self._content(list_path)
        self._edit(list_path, content[:index] + content[index + 1 :])

    def _field(self, spec: RunSpec, knob: Knob, choices: Options | None) -> Field:
        """The field of a knob. Fields are cached, so that switching kinds back and forth makes no new ones."""
        nature = (knob.path, knob.type, knob.optional, knob.low, knob.high, knob.choices)
        if nature not in self._made:
            self._made[nature] = Field(knob, self._edit, choices, help_text(spec, knob))
        return self._made[nature]


def summary(spec: RunSpec, section: str) -> str:
    """A section in a few words, shown when it is closed."""
    model, train = spec.model, spec.train
    body = model.body
    heads = f" · heads {body.n_head}" if hasattr(body, "n_head") else ""
    beside = "".join(f" | {type(tower.body).__name__}" for tower in model.towers)
    return {
        "Inputs": f"{model.inputs.aggregation} · newest {spec.data.max_length} events",
        "Masking": model.masking.kind,
        "Body": f"{type(body).__name__} · d {body.d_model}{heads} · ×{body.n_layer}{beside}",
        "Heads": " · ".join(head.brief for head in model.heads),
        "Train": f"{train.epochs} epochs · batch {train.batch_size} · lr {train.learning_rate:g}",
        "Evaluation": f"{', '.join(f'@{k}' for k in spec.evaluation.cutoffs)} · {spec.evaluation.positions}",
    }[section]
