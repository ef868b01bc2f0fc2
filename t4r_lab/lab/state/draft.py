"""Draft: the spec being edited, with its errors. State without a view."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import traitlets as tr

from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError
from t4r_lab.lab.parts.text import error_text
from t4r_lab.schema.columns import Schema
from t4r_lab.spec import BODY_MASKINGS, NEXT_ITEM, InputsSpec, RunSpec, input_columns, pair_refusal, presets
from t4r_lab.spec.sections import HEADS, TOWERS
from t4r_lab.training import assembly

BODY, MASKING, MONITOR, DATA = "model.body.kind", "model.masking.kind", "train.monitor", "data.path"
FEATURES = "model.inputs.features"
FEATURE = re.compile(r"model\.(towers\.\d+\.)?inputs\.features\.")
"""Beginning of every path within a single feature."""


UNDONE = 100
"""The most edits that can be undone."""


class Version(NamedTuple):
    """The content of a draft at a moment, to go back to."""

    spec: RunSpec
    pending: Document
    preset: str
    origin: RunSpec | None
    origin_name: str
    named: bool


class OpenData(NamedTuple):
    """Prepared data to edit a spec on: their path, schema, and each label's kinds of head that they allow."""

    path: str
    schema: Schema
    label_heads: Mapping[str, tuple[str, ...]] = {}


class Draft(tr.HasTraits):
    """The spec after the latest edit, on the data chosen last; launched only while it has no errors.

    An edit that gives a valid spec is applied, even if the data don't fit it; `errors` then says so: removing one of
    two heads without a label column leaves one error. An edit that gives no valid spec stays in `pending` beside its
    error, so that the control keeps the typed value, and is tried again with each later edit: n_head 5 and then
    d_model 60 are both kept.

    >>> draft = Draft(RunSpec.parse({"data": {"path": "demo"}}))
    >>> draft.set("model.body.n_head", 5)
    >>> draft.errors["model.body.n_head"].problem
    'n_head 5 does not divide d_model 64'
    >>> draft.set("model.body.d_model", 60)
    >>> draft.errors, draft.spec.model.body.n_head
    ({}, 5)
    """

    spec = tr.Instance(RunSpec)
    schema = tr.Instance(Schema, allow_none=True)
    """schema of the data at ``spec.data.path``; None before data are chosen"""
    errors = tr.Dict(value_trait=tr.Instance(InputError), key_trait=tr.Unicode())
    """dotted path of a field → its error; the path is empty for an error that belongs to no field"""
    note = tr.Unicode("")
    """side effects of the latest edit, such as the masking of a new body"""
    label_heads: Mapping[str, tuple[str, ...]] = {}
    """label of the data → the kinds of head that can be trained on it"""
    waiting = tr.Unicode("")
    """the operation under way that will change the data"""
    preset = tr.Unicode("")
    """name of the preset in use, until the spec is edited"""
    origin = tr.Instance(RunSpec, allow_none=True)
    """the spec of the run that was cloned"""
    origin_name = tr.Unicode("")
    revision = tr.Int(0)
    """counts changes of any kind; views observe it, so that they draw once for an edit"""

    def __init__(self, spec: RunSpec, schema: Schema | None = None, named: bool = True) -> None:
        super().__init__(spec=spec, schema=schema)
        self.named = named
        """whether a person gave the name; else it follows the model"""
        self.pending: Document = {}
        self._past: list[Version] = []
        self._future: list[Version] = []
        self.lacking: tuple[str, ...] = ()
        """paths of the heads and features that the data can't serve"""

    # launching ----------------------------------------------------------------------------------

    @property
    def valid(self) -> bool:
        """True if the form has no errors."""
        return not self.errors

    @property
    def obstacle(self) -> str:
        """The reason that nothing can be launched now; empty if there is none."""
        if self.waiting:
            return self.waiting
        if self.schema is None:
            return "Choose a dataset in Data first."
        if not self.errors:
            return ""
        more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
        return f"{error_text(next(iter(self.errors.values())))}{more}"

    def ready(self) -> RunSpec:
        """The spec to launch; every launch of the Lab goes through here.

        Raises
        ------
        InputError
            while data are being opened or missing, and for the first of the `errors`.
        """
        if self.waiting:
            raise InputError("", self.waiting, "wait until it is done")
        if self.schema is None:
            raise InputError(DATA, "there are no data yet", "choose a dataset in Data first")
        for error in self.errors.values():
            raise InputError(error.path, error.problem, f"{error.remedy}; fix it in Architecture")
        return self.spec

    # edits --------------------------------------------------------------------------------------

    def set(self, path: str, value: object) -> None:
        """Edit one value by its dotted path."""
        self.update({path: value})

    def update(self, edits: Document) -> None:
        """Edit several values that are checked together."""
        if DATA in edits:
            raise InputError(DATA, "an edit of the spec opens no other data", "choose them in Data")
        self._remember()
        if set(edits) != {"name"}:
            self.preset = ""
        self.named = self.named or "name" in edits
        changes = {**self.pending, **edits}
        note = ""
        for path in edits:  # a new kind or list has other knobs: edits of the old ones are void
            part = path.removesuffix("kind") if path.endswith("kind") else f"{path}."
            changes = {p: v for p, v in changes.items() if p in edits or not p.startswith(part)}
        body, masking = changes.get(BODY, self.spec.model.body.kind), changes.get(MASKING, self.spec.model.masking.kind)
        if BODY in edits and body in BODY_MASKINGS and pair_refusal(body, masking):
            changes[MASKING] = BODY_MASKINGS[body][0]
            note = f"masking changed from {masking} to {changes[MASKING]}: {pair_refusal(body, masking)}"
        self._apply(changes, list(edits), note)

    def replace(self, spec: RunSpec, data: OpenData | None = None) -> None:
        """Edit another spec instead, on the prepared `data`, by default on the present data."""
        if data is not None:
            self.schema, self.label_heads, self.waiting = data.schema, data.label_heads, ""
        path = data.path if data is not None else self.spec.data.path if self.schema is not None else spec.data.path
        self.spec = spec.override({DATA: path})
        self._apply({}, [], "")

    def start(self, preset: str) -> None:
        """Edit the preset of that name, on the present data."""
        spec = presets.start(preset, self.spec)
        self._remember()
        self.preset, self.named = preset, False
        self.replace(spec)

    def clone(self, spec: RunSpec, name: str, data: OpenData | None = None) -> None:
        """Edit the spec of the run `name`, and keep the original for comparison."""
        self._remember()
        self.origin, self.origin_name, self.preset, self.named = spec, name, "", True
        self.replace(spec, data)

    def use_data(self, data: OpenData) -> None:
        """Switch to other prepared data. The spec stays; parts that the data lack are errors until removed."""
        self.schema, self.label_heads, self.waiting = data.schema, data.label_heads, ""
        self.spec = self.spec.override({DATA: data.path})
        self._apply(self.pending, list(self.pending), "")

    def wait(self, what: str) -> None:
        """Block launches while `what` is under way; empty ends the wait."""
        self.waiting = what
        self.revision += 1

    def refuse(self, error: InputError) -> None:
        """Record an error that only the data can show, such as vectors that don't fit."""
        field, placed = field_of(error, {}, [], list(self.spec.knobs()))
        self.errors = {field: placed}
        self.lacking = tuple(path for path in vectors_of(self.spec) if error.path.startswith(f"{path}."))
        self.revision += 1

    def take_back(self, path: str) -> None:
        """Give up a value that isn't taken; the field shows that of the spec again."""
        self._remember()
        self._apply({p: value for p, value in self.pending.items() if p != path}, [], "")

    @property
    def can_undo(self) -> bool:
        """True if there is an edit to undo."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """True if an undone edit can be made again."""
        return bool(self._future)

    def undo(self) -> None:
        """Go back to the content before the latest edit; the data stay."""
        if self._past:
            self._future.append(self._version)
            self._go_to(self._past.pop())

    def redo(self) -> None:
        """Make the latest undone edit again."""
        if self._future:
            self._past.append(self._version)
            self._go_to(self._future.pop())

    @property
    def _version(self) -> Version:
        return Version(self.spec, dict(self.pending), self.preset, self.origin, self.origin_name, self.named)

    def _remember(self) -> None:
        """Keep the present content for `undo`, before it is edited."""
        self._past = [*self._past, self._version][-UNDONE:]
        self._future = []

    def _go_to(self, version: Version) -> None:
        path = self.spec.data.path
        self.spec, self.preset, self.origin, self.origin_name, self.named = (
            version.spec.override({DATA: path}),
            *version[2:],
        )
        self._apply(version.pending, list(version.pending), "")

    def drop(self) -> None:
        """Remove all heads and features that the data can't serve; if no head is left, predict the next item."""
        before, past = self._version, self._past
        dropped, left = [], None
        while self.lacking and self.lacking != left:  # removing parts may reveal further errors
            left = self.lacking
            dropped += [name_of_part(self.spec, path) for path in left]
            self.update(without(self.spec, left))
        self._past = [*past, before][-UNDONE:]  # one edit to undo
        self.note = " · ".join(filter(None, [f"dropped: {', '.join(dropped)}" if dropped else "", self.note]))
        self.revision += 1

    def _apply(self, changes: dict[str, object], edited: list[str], note: str) -> None:
        """Apply as many of `changes` as give a valid spec; keep the rest in `pending`, each with its error."""
        changes, held, errors = dict(changes), {}, {}
        while isinstance(result := edited_by(self.spec, changes), InputError):
            field, error = field_of(result, changes, edited, list(self.spec.knobs()))
            if field == MONITOR and MONITOR not in changes:  # the metric's head or cutoff was removed
                changes[MONITOR] = None
                note = " · ".join(filter(None, [note, f"the default metric is monitored again: {result.problem}"]))
                continue
            errors[field] = error
            for path in culprits(self.spec, changes, result):
                held[path] = changes.pop(path)
        if not self.named and not self.preset:
            result = result.model_copy(update={"name": result.model_name})
        self.spec, self.pending, self.note = result, held, note
        by_data = assembly.refusals(result, self.schema) if self.schema is not None else {}
        self.lacking = tuple(path for path, error in by_data.items() if lacks(path, error))
        knob_paths = list(result.knobs()) if by_data else []
        self.errors = {**errors, **dict(field_of(error, {}, [], knob_paths) for error in by_data.values())}
        self.revision += 1


def lacks(path: str, error: InputError) -> bool:
    """True if the error of the part at `path` comes from the data, so that dropping the part fixes it."""
    head = path.startswith(f"{HEADS}.") and error.path != f"{path}.summary"
    return head or FEATURE.match(path) is not None


def edited_by(spec: RunSpec, changes: dict[str, object]) -> RunSpec | InputError:
    """`spec` with `changes`, or the error if they give no valid spec."""
    try:
        return spec.override(changes)
    except InputError as error:
        return error


def culprits(spec: RunSpec, changes: dict[str, object], refusal: RunSpec | InputError) -> list[str]:
    """The changes that `refusal` depends on, such as two that exclude each other; never empty.

    >>> spec = RunSpec.parse({"data": {"path": "demo"}})
    >>> changes = {"model.body.n_head": 5, "name": "mine", "model.body.d_model": 66}
    >>> culprits(spec, changes, edited_by(spec, changes))
    ['model.body.n_head', 'model.body.d_model']
    """
    without = {path: {p: v for p, v in changes.items() if p != path} for path in changes}
    needed = [path for path, rest in without.items() if str(edited_by(spec, rest)) != str(refusal)]
    alone = [path for path in changes if isinstance(edited_by(spec, {path: changes[path]}), InputError)]
    return needed or alone or list(changes)


def without(spec: RunSpec, paths: tuple[str, ...]) -> dict[str, object]:
    """The edits of `spec` that remove the heads and features at `paths`."""
    content = [head.model_dump(mode="json") for head in spec.model.heads]
    left = [head for index, head in enumerate(content) if f"{HEADS}.{index}" not in paths]
    edits: dict[str, object] = {} if len(left) == len(content) else {HEADS: left or [{"kind": NEXT_ITEM}]}
    for prefix, inputs in inputs_of(spec).items():
        features = inputs.model_dump(mode="json")["features"] or {}
        remaining = {name: f for name, f in features.items() if f"{prefix}.features.{name}" not in paths}
        if len(remaining) < len(features):
            edits[f"{prefix}.features"] = remaining
    return edits


def name_of_part(spec: RunSpec, path: str) -> str:
    """The display name of the head or feature at `path`."""
    if path.startswith(f"{HEADS}."):
        head = spec.model.heads[int(path.rpartition(".")[2])]
        return head.title if head.label is None else f"head {head.label}"
    return f"feature {FEATURE.sub('', path, count=1)}"


def vectors_of(spec: RunSpec) -> list[str]:
    """The paths of all features made from pre-trained vectors."""
    return [
        f"{prefix}.features.{name}"
        for prefix, inputs in inputs_of(spec).items()
        for name, feature in (inputs.features or {}).items()
        if input_columns.vectors_of(feature) is not None
    ]


def inputs_of(spec: RunSpec) -> dict[str, InputsSpec]:
    """The input block of the model and of each further tower, by its path."""
    further = {f"{TOWERS}.{n}.inputs": tower.inputs for n, tower in enumerate(spec.model.towers)}
    return {"model.inputs": spec.model.inputs, **further}


def field_of(
    error: InputError, changes: dict[str, object], edited: list[str], knob_paths: list[str]
) -> tuple[str, InputError]:
    """Return the field an error belongs to, and the error at the path of that field.

    The error names a knob or the part that holds it; for a part, the field edited last is returned. An error of
    no field keeps its path.
    """
    if FEATURE.match(error.path):
        return error.path, error  # features are edited row by row, not knob by knob
    field = error.path
    while field and field not in knob_paths and field not in changes:
        field = field.rpartition(".")[0]  # an element of a list is shown by the field of the whole list
    if not field:
        field = next((p for p in reversed([*changes, *edited]) if p.startswith(f"{error.path}.") or not error.path), "")
    return field, error.at(field) if field else error
