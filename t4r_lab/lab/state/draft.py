"""Draft: the spec being edited, what is refused of it and why. State without a view."""

from __future__ import annotations

import re
from typing import Any

import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.lab.parts.text import without_flags
from t4r_lab.schema.columns import Schema
from t4r_lab.spec import BODY_MASKINGS, NEXT_ITEM, InputsSpec, RunSpec, pair_refusal, presets
from t4r_lab.training import assembly

BODY, MASKING, HEADS, MONITOR, DATA = (
    "model.body.kind",
    "model.masking.kind",
    "model.heads",
    "train.monitor",
    "data.path",
)
FEATURES = "model.inputs.features"
FEATURE = re.compile(r"model\.(towers\.\d+\.)?inputs\.features\.")
"""How the path of anything of a single feature begins."""


class Draft(tr.HasTraits):
    """The spec as it was edited last, on the data that were chosen last; launched only when nothing of it is refused.

    Whatever makes a spec is taken, if need be with what the data refuse of it in `errors`: removing one of two heads
    that they lack leaves one refusal. An edit that makes no spec stays in `pending` beside its error, so that the
    control keeps what was typed, and is tried again with each later one: n_head 5 and then d_model 60 are both kept.

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
    """of the data at ``spec.data.path``; None before there are any"""
    errors = tr.Dict(value_trait=tr.Unicode(), key_trait=tr.Unicode())
    """dotted path → what is wrong; '' for what belongs to no field"""
    note = tr.Unicode("")
    """what an edit changed beside itself, such as the masking of a new body"""
    waiting = tr.Unicode("")
    """what is being done that will change the data"""
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
        self.lacking: tuple[str, ...] = ()
        """paths of the heads and features that the data can't serve"""

    # whether it can be launched -----------------------------------------------------------------

    @property
    def valid(self) -> bool:
        """True if the form has no errors."""
        return not self.errors

    @property
    def obstacle(self) -> str:
        """Why nothing can be launched now; empty where all is well."""
        if self.waiting:
            return self.waiting
        if self.schema is None:
            return "Choose a dataset in Data first."
        texts = [f"{path}: {text}" if path else text for path, text in self.errors.items()]
        more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
        return f"{texts[0]}{more}" if texts else ""

    def ready(self) -> RunSpec:
        """The spec, to be launched: every face of the Lab takes it from here.

        Raises
        ------
        InputError
            while data are awaited or missing, and for the first of the `errors`.
        """
        if self.waiting:
            raise InputError("", self.waiting, "wait until it is done")
        if self.schema is None:
            raise InputError("", "there are no data yet", "choose a dataset in Data first")
        for path, text in self.errors.items():
            raise InputError(path, text, "fix it in Architecture")
        return self.spec

    # edits --------------------------------------------------------------------------------------

    def set(self, path: str, value: Any) -> None:
        """Edit one value by its dotted path."""
        self.update({path: value})

    def update(self, edits: dict[str, Any]) -> None:
        """Edit several values that are to be checked together."""
        if DATA in edits:
            raise InputError(DATA, "an edit of the spec opens no other data", "choose them in Data")
        if set(edits) != {"name"}:
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
        self._take(changes, list(edits), note)

    def replace(self, spec: RunSpec, data: tuple[str, Schema] | None = None) -> None:
        """Edit another spec instead, on the prepared `data` (path and schema); without, on the present ones."""
        if data is not None:
            self.schema, self.waiting = data[1], ""
        path = data[0] if data is not None else self.spec.data.path if self.schema is not None else spec.data.path
        self.spec = spec.override({DATA: path})
        self._take({}, [], "")

    def start(self, preset: str) -> None:
        """Edit the preset of that name, on the present data."""
        self.preset = preset
        self.replace(presets.start(preset, self.spec))

    def clone(self, spec: RunSpec, name: str, data: tuple[str, Schema] | None = None) -> None:
        """Edit the spec of the run `name`, and remember what it was."""
        self.origin, self.origin_name, self.preset = spec, name, ""
        self.replace(spec, data)

    def use_data(self, path: str, schema: Schema) -> None:
        """Turn to the prepared data in `path`. All that was chosen stays; what they lack is refused until it goes."""
        self.schema, self.spec, self.waiting = schema, self.spec.override({DATA: path}), ""
        self._take(self.pending, list(self.pending), "")

    def wait(self, what: str) -> None:
        """Launch nothing while `what` goes on; empty: it is over."""
        self.waiting = what
        self.revision += 1

    def refuse(self, error: InputError) -> None:
        """Take up an error that only the data could show, such as vectors that don't fit."""
        field, text = place(error, {}, [], list(self.spec.knobs()))
        self.errors = {field: without_flags(text)}
        self.lacking = tuple(path for path in vectors_of(self.spec) if error.path.startswith(f"{path}."))
        self.revision += 1

    def drop(self) -> None:
        """Remove all heads and features that the data can't serve; without any head, the next item is predicted."""
        dropped, left = [], None
        while self.lacking and self.lacking != left:  # what is dropped may show what else is wrong
            left = self.lacking
            dropped += [called(self.spec, path) for path in left]
            self.update(without(self.spec, left))
        self.note = " · ".join(filter(None, [f"dropped: {', '.join(dropped)}" if dropped else "", self.note]))
        self.revision += 1

    def _take(self, changes: dict[str, Any], edited: list[str], note: str) -> None:
        """Edit the spec by as many of `changes` as make one; the others are held beside what refuses them."""
        changes, held, errors = dict(changes), {}, {}
        while isinstance(found := edited_by(self.spec, changes), InputError):
            field, text = place(found, changes, edited, list(self.spec.knobs()))
            if field == MONITOR and MONITOR not in changes:  # judged by a head or cutoff that has gone
                changes[MONITOR] = None
                note = " · ".join(filter(None, [note, f"judged by the default again: {found.problem}"]))
                continue
            errors[field] = text
            for path in culprits(self.spec, changes, found):
                held[path] = changes.pop(path)
        self.spec, self.pending, self.note = found, held, note
        by_data = assembly.refusals(found, self.schema) if self.schema is not None else {}
        self.lacking = tuple(path for path, error in by_data.items() if lacks(path, error))
        known = list(found.knobs()) if by_data else []
        placed = (
            (path, str(error.at("" if error.path == path else error.path)))
            if FEATURE.match(path)
            else place(error, {}, [], known)
            for path, error in by_data.items()
        )
        self.errors = {path: without_flags(text) for path, text in {**errors, **dict(placed)}.items()}
        self.revision += 1


def lacks(path: str, error: InputError) -> bool:
    """Whether a refusal of the part at `path` is for what the data are, so that dropping the part fixes it."""
    head = path.startswith(f"{HEADS}.") and error.path != f"{path}.summary"
    return head or FEATURE.match(path) is not None


def edited_by(spec: RunSpec, changes: dict[str, Any]) -> RunSpec | InputError:
    """`spec` with its `changes`, or why they make none."""
    try:
        return spec.override(changes)
    except InputError as error:
        return error


def culprits(spec: RunSpec, changes: dict[str, Any], refusal: RunSpec | InputError) -> list[str]:
    """The changes that `refusal` depends on, such as the two that don't go together; never none.

    >>> spec = RunSpec.parse({"data": {"path": "demo"}})
    >>> changes = {"model.body.n_head": 5, "name": "mine", "model.body.d_model": 66}
    >>> culprits(spec, changes, edited_by(spec, changes))
    ['model.body.n_head', 'model.body.d_model']
    """
    without = {path: {p: v for p, v in changes.items() if p != path} for path in changes}
    found = [path for path, others in without.items() if str(edited_by(spec, others)) != str(refusal)]
    alone = [path for path in changes if isinstance(edited_by(spec, {path: changes[path]}), InputError)]
    return found or alone or list(changes)


def without(spec: RunSpec, paths: tuple[str, ...]) -> dict[str, Any]:
    """The edits of `spec` that remove the heads and features at `paths`."""
    content = [head.model_dump(mode="json") for head in spec.model.heads]
    left = [head for index, head in enumerate(content) if f"{HEADS}.{index}" not in paths]
    edits: dict[str, Any] = {} if len(left) == len(content) else {HEADS: left or [{"kind": NEXT_ITEM}]}
    for prefix, inputs in inputs_of(spec).items():
        features = inputs.model_dump(mode="json")["features"] or {}
        kept = {name: f for name, f in features.items() if f"{prefix}.features.{name}" not in paths}
        if len(kept) < len(features):
            edits[f"{prefix}.features"] = kept
    return edits


def called(spec: RunSpec, path: str) -> str:
    """What a head or feature at `path` is called."""
    if path.startswith(f"{HEADS}."):
        head = spec.model.heads[int(path.rpartition(".")[2])]
        return head.title if head.label is None else f"head {head.label}"
    return f"feature {FEATURE.sub('', path, count=1)}"


def vectors_of(spec: RunSpec) -> list[str]:
    """The paths of all features that are made of given vectors."""
    return [
        f"{prefix}.features.{name}"
        for prefix, inputs in inputs_of(spec).items()
        for name, feature in (inputs.features or {}).items()
        if feature.vectors is not None
    ]


def inputs_of(spec: RunSpec) -> dict[str, InputsSpec]:
    """The input block of the model and of each further tower, by its path."""
    further = {f"model.towers.{n}.inputs": tower.inputs for n, tower in enumerate(spec.model.towers)}
    return {"model.inputs": spec.model.inputs, **further}


def place(error: InputError, changes: dict[str, Any], edited: list[str], known: list[str]) -> tuple[str, str]:
    """The field an error belongs to, and the error without that path.

    The error names a knob or the part that holds it; of a part, the field edited last is the place.
    """
    path, rest = error.path, str(error.at(""))
    if FEATURE.match(path):
        return path, rest  # features are edited row by row, not knob by knob
    field = path
    while field and field not in known and field not in changes:
        field = field.rpartition(".")[0]  # an element of a list is shown by the field of the whole list
    if field:
        return field, rest
    below = [p for p in [*changes, *edited] if p.startswith(f"{path}.") or not path]
    return (below[-1], rest) if below else ("", str(error))
