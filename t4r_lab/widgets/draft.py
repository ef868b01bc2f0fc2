"""Draft: the spec being edited, what was refused and why. State without a view."""

from __future__ import annotations

import re
from typing import Any

import traitlets as tr

from t4r_lab import build
from t4r_lab.errors import InputError
from t4r_lab.schema import Schema
from t4r_lab.spec import BODY_MASKINGS, InputsSpec, RunSpec, pair_refusal, presets

BODY, MASKING = "model.body.kind", "model.masking.kind"
FEATURES = "model.inputs.features"
FEATURE = re.compile(r"model\.(towers\.\d+\.)?inputs\.features\.")
"""How the path of anything of a single feature begins."""


class Draft(tr.HasTraits):
    """The last valid spec, and the edits that don't fit yet.

    An edit that is refused stays in `pending` beside its error, so that the control keeps what was typed
    and the next edit is tried together with it: n_head 8 and then d_model 96 are both kept.

    >>> draft = Draft(RunSpec.parse({"data": {"path": "demo"}}))
    >>> draft.set("model.body.n_head", 5)
    >>> draft.errors
    {'model.body.n_head': 'n_head 5 does not divide d_model 64; choose n_head from [1, 2, 4, 8, 16, 32, 64]'}
    >>> draft.set("model.body.d_model", 60)
    >>> draft.errors, draft.spec.model.body.n_head
    ({}, 5)
    """

    spec = tr.Instance(RunSpec)
    schema = tr.Instance(Schema, allow_none=True)
    errors = tr.Dict(value_trait=tr.Unicode(), key_trait=tr.Unicode())
    """dotted path → what is wrong; '' for what belongs to no field"""
    note = tr.Unicode("")
    """what an edit changed beside itself, such as the masking of a new body"""
    preset = tr.Unicode("")
    """the preset that the spec is, until something of it is edited"""
    origin = tr.Instance(RunSpec, allow_none=True)
    """the spec of the run that was cloned"""
    origin_name = tr.Unicode("")
    revision = tr.Int(0)
    """counts changes of any kind: what a view observes, so that it draws once for an edit"""

    def __init__(self, spec: RunSpec, schema: Schema | None = None) -> None:
        super().__init__(spec=spec, schema=schema)
        self.pending: dict[str, Any] = {}

    @property
    def valid(self) -> bool:
        return not self.errors

    def set(self, path: str, value: Any) -> None:
        """Edit one value by its dotted path."""
        self.update({path: value})

    def update(self, edits: dict[str, Any]) -> None:
        """Edit several values that are to be checked together."""
        if not {"name", "data.path"}.issuperset(edits):
            self.preset = ""
        changes = {**self.pending, **edits}
        note = ""
        for path in edits:  # a new kind has knobs of its own, and a new list elements: edits of the old ones are void
            part = path.removesuffix("kind") if path.endswith("kind") else f"{path}."
            changes = {p: v for p, v in changes.items() if p in edits or not p.startswith(part)}
        body, masking = changes.get(BODY, self.spec.model.body.kind), changes.get(MASKING, self.spec.model.masking.kind)
        if BODY in edits and body in BODY_MASKINGS and pair_refusal(body, masking):
            changes[MASKING] = BODY_MASKINGS[body][0]
            note = f"masking changed from {masking} to {changes[MASKING]}: {pair_refusal(body, masking)}"
        self._try(changes, list(edits), note)

    def replace(self, spec: RunSpec) -> None:
        """Edit another spec instead, such as a run's."""
        self.spec = spec
        self._try({}, [], "")

    def start(self, preset: str) -> None:
        """Edit the preset of that name, on the present data."""
        self.preset = preset
        self.replace(presets.start(preset, self.spec))

    def clone(self, spec: RunSpec, name: str) -> None:
        """Edit the spec of the run `name`, and remember what it was."""
        self.origin, self.origin_name, self.preset = spec, name, ""
        self.replace(spec)

    def refuse(self, text: str) -> None:
        """Take up an error that only the data could show, such as vectors that don't fit."""
        self.errors = dict([place(text, {}, [], list(self.spec.knobs()))])
        self.revision += 1

    def use_data(self, path: str, schema: Schema) -> None:
        """Turn to the prepared data in `path`. Choices of features are kept where `schema` has them all."""
        self.schema = schema
        edits: dict[str, Any] = {"data.path": path}
        for prefix, inputs in inputs_of(self.spec).items():
            chosen = inputs.features
            if chosen is not None and any(name not in schema and f.vectors is None for name, f in chosen.items()):
                edits[f"{prefix}.features"] = None
        self.update(edits)

    def _try(self, changes: dict[str, Any], edited: list[str], note: str) -> None:
        self.note = note
        try:
            spec = self.spec.override(changes)
            if self.schema is not None:
                build.check(spec, self.schema)
        except InputError as error:
            self.pending = changes
            self.errors = dict([place(str(error), changes, edited, list(self.spec.knobs()))])
        else:
            self.pending, self.spec, self.errors = {}, spec, {}
        self.revision += 1


def inputs_of(spec: RunSpec) -> dict[str, InputsSpec]:
    """The input block of the model and of each further tower, by its path."""
    further = {f"model.towers.{n}.inputs": tower.inputs for n, tower in enumerate(spec.model.towers)}
    return {"model.inputs": spec.model.inputs, **further}


def place(text: str, changes: dict[str, Any], edited: list[str], known: list[str]) -> tuple[str, str]:
    """The field an error belongs to, and the error without that path.

    The error names a knob or the part that holds it; of a part, the field edited last is the place.
    """
    text = text.removeprefix("change: ")
    path, colon, rest = text.partition(": ")
    if not colon or " " in path:
        path, rest = "", text
    if FEATURE.match(path):
        return path, rest  # features are edited row by row, not knob by knob
    field = path
    while field and field not in known and field not in changes:
        field = field.rpartition(".")[0]  # an element of a list is shown by the field of the whole list
    if field:
        return field, rest
    below = [p for p in [*changes, *edited] if p.startswith(f"{path}.") or not path]
    return (below[-1], rest) if below else ("", text)
