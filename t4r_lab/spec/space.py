"""The space of a search: the default range of each knob, or the user's, checked against the spec it starts from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from t4r_lab.base.errors import InputError, did_you_mean, shortened
from t4r_lab.families import custom
from t4r_lab.families.bodies.body_table import pair_refusal
from t4r_lab.families.knobs import Knob, Part, walk
from t4r_lab.spec.domains import Domain, Range
from t4r_lab.spec.run_spec import TAGS, RunSpec, kinds_at

NOT_SEARCHED = {
    "name": "it is only a name",
    "data.path": "trials on other data can't be compared",
    "evaluation.": "trials evaluated in another way can't be compared",
    "train.fit_on": "trials are evaluated on the validation part",
    "train.monitor": "a study monitors its objective",
    "train.seed": "a lucky seed is not a better model; `t4r-lab finalize` trains several",
    "train.device": "it changes no result",
}
"""Paths (ending in a dot: all below) that can't be searched, and why."""

# ── presets ─────────────────────────────────────────────────────────────────────────────────────

HEAD = "HEAD"
"""Stands for the head that predicts the next item."""
SEARCH_PRESETS: dict[str, tuple[str, ...]] = {
    "regularizers": (
        f"{HEAD}.loss.label_smoothing",
        f"{HEAD}.temperature",
        "model.inputs.dropout",
        "model.body.dropout",
        "train.weight_decay",
        "model.inputs.shared_embeddings",
        "model.inputs.swap_noise",
        "model.inputs.layer_norm",
    ),
    "paper": (
        "model.body.d_model",
        "model.body.n_layer",
        "model.body.n_head",
        "model.body.dropout",
        "model.inputs.dropout",
        "train.learning_rate",
        "train.weight_decay",
        "train.batch_size",
        f"{HEAD}.loss.label_smoothing",
        "model.inputs.init_std",
        "model.inputs.shared_embeddings",
        "model.masking.probability",
        "model.masking.max_span_length",
        "model.masking.weight",
    ),
    "architecture": (
        "model.body.kind",
        "model.body.d_model",
        "model.body.n_layer",
        "model.body.n_head",
        f"{HEAD}.weight_tying",
    ),
}
"""Paths that are searched together, each over its knob's own range; those that a spec lacks are left out.
``paper``: the space of de Souza Pereira Moreira et al. (2021), tables of the appendix."""


# ── the space of a study ────────────────────────────────────────────────────────────────────────


def search_space(spec: RunSpec, presets: list[str], ranges: Mapping[str, Range | None]) -> dict[str, Domain]:
    """Every searched path with its domain; `ranges` come on top of the presets, None for the knob's own range.

    A path need not exist in `spec`: ``model.body.n_head`` may belong to one of the bodies that are searched.

    Raises
    ------
    InputError
        for an unknown path, one that can't be searched, or a range outside the knob's bounds.
    """
    head = next((i for i, h in enumerate(spec.model.heads) if h.label is None), None)
    preset = [path.replace(HEAD, f"model.heads.{head}") for name in presets for path in SEARCH_PRESETS[name]]
    searched: dict[str, Range | None] = {**dict.fromkeys(preset), **ranges}
    kinds = {path: _kind_domain(spec, path, searched) for path in searched if names_part(path)}
    knobs = _reachable(spec, kinds)
    domains = dict(kinds)
    for path, limits in searched.items():
        if path in kinds or (path not in knobs and path not in ranges):
            continue
        domains[path] = _domain(path, knobs, limits)
    if not domains:
        raise InputError("search", "nothing is searched", "name a preset or a path, for example --presets regularizers")
    return domains


def searchable(spec: RunSpec) -> dict[str, Domain]:
    """Every path of `spec` that can be searched over a range of its own, with that range."""
    knobs, domains = spec.knobs(), {}
    for path in knobs:
        try:
            if names_part(path):
                domains[path] = _kind_domain(spec, path, {path: None})
                _reachable(spec, {path: domains[path]})
            else:
                domains[path] = _domain(path, knobs, None)
        except InputError:  # not searched at all, without a range, or with a kind that needs values of its own
            domains.pop(path, None)
    return {path: domain for path, domain in domains.items() if len(domain.choices) != 1}


def changed(spec: RunSpec, values: Mapping[str, object]) -> RunSpec:
    """`spec` with the values of a trial; a path that the chosen kinds lack is left out."""
    spec = spec.override({path: value for path, value in values.items() if names_part(path)})
    knobs = spec.knobs()
    return spec.override({path: value for path, value in values.items() if path in knobs})


def grid_size(space: Mapping[str, Domain]) -> int:
    """Number of points of the full grid."""
    return math.prod(len(domain.points()) for domain in space.values())


def grid(spec: RunSpec, space: Mapping[str, Domain]) -> list[dict[str, object]]:
    """Every point of the grid that makes a valid spec, once, without the paths that its kinds lack."""
    points: dict[str, dict[str, object]] = {}
    for values in _products(space):
        try:
            knobs = changed(spec, values).knobs()
        except InputError:
            continue  # such as heads that don't divide a width
        point = {path: value for path, value in values.items() if path in knobs}
        points.setdefault(repr(point), point)
    return list(points.values())


def _products(space: Mapping[str, Domain]) -> Iterator[dict[str, object]]:
    import itertools

    for values in itertools.product(*(domain.points() for domain in space.values())):
        yield dict(zip(space, values, strict=True))


def names_part(path: str) -> bool:
    """True for a knob that says which part stands there, such as ``model.body.kind``: others depend on it."""
    return path.rpartition(".")[2] in TAGS


def _reachable(spec: RunSpec, kinds: Mapping[str, Domain]) -> dict[str, Knob]:
    """The knobs of `spec` and those of every kind that is searched."""
    knobs = spec.knobs()
    for path, domain in kinds.items():
        parent = path.rpartition(".")[0]
        for kind in domain.choices:
            try:
                part = _class_of(path, kind)()
            except ValidationError:
                raise InputError(
                    path, f"{kind!r} needs values of its own and can't be searched", "search others"
                ) from None
            knobs |= {k.path: k for k in walk(part, f"{parent}.") if k.path not in knobs}
    return knobs


def _class_of(path: str, kind: Any) -> type[Part]:
    """The class that the value `kind` of the knob at `path` names, in the tables or as ``package.module:Name``."""
    if custom.is_custom(kind):
        try:
            return custom.load(kind, custom.Member)
        except InputError as error:
            raise error.at(f"search {path}") from None
    kinds = kinds_at(path.rpartition(".")[0])
    return kinds.get("") or kinds[kind]


def _kinds_of(knob: Knob) -> list[Any]:
    """The kinds that can stand at a knob: those of its table, and the custom one that it has."""
    parent, _, tag = knob.path.rpartition(".")
    part = kinds_at(parent).get("")  # of features alone, whose class is chosen by their encoding
    table = next((k.choices for k in walk(part()) if k.path == tag), ()) if part else ()
    return list(dict.fromkeys([*table, *knob.choices]))


def _kind_domain(spec: RunSpec, path: str, searched: Mapping[str, Range | None]) -> Domain:
    """The kinds that are searched at `path`: the user's choices or, where body or masking stays, all that fit it."""
    knobs = spec.knobs()
    if path not in knobs:
        raise InputError(f"search {path}", "unknown path", did_you_mean(path, [p for p in knobs if names_part(p)]))
    choices, limits = _kinds_of(knobs[path]), searched[path]
    body, masking = spec.model.body.kind, spec.model.masking.kind
    refusals: dict[str, InputError | None] = {}
    if path == "model.body.kind" and "model.masking.kind" not in searched:
        refusals = {kind: pair_refusal(kind, masking) for kind in choices}
    elif path == "model.masking.kind" and "model.body.kind" not in searched:
        refusals = {kind: pair_refusal(body, kind) for kind in choices}
    if limits is None:
        return Domain(tuple(kind for kind in choices if not refusals.get(kind)))
    if limits.choices is None:
        raise InputError(
            f"search {path}", "kinds are not a range", f"give choices, for example {path}={choices[0]},{choices[1]}"
        )
    for kind in limits.choices:
        if kind not in choices and not custom.is_custom(kind):
            raise InputError(f"search {path}", f"unknown kind {shortened(kind)}", did_you_mean(kind, choices))
        if refusal := refusals.get(kind):
            raise refusal.at(f"search {path}")
    return Domain(tuple(limits.choices))


def _domain(path: str, knobs: Mapping[str, Knob], limits: Range | None) -> Domain:
    for name, reason in NOT_SEARCHED.items():
        if path == name or (name.endswith(".") and path.startswith(name)):
            raise InputError(f"search {path}", f"it can't be searched, since {reason}", "leave it out")
    if path not in knobs:
        raise InputError(f"search {path}", "unknown path", did_you_mean(path, knobs))
    knob = knobs[path]
    if limits is None:
        return _default_domain(knob)
    if limits.choices is not None:
        return Domain(tuple(_choice(knob, choice) for choice in limits.choices))
    if knob.type not in (int, float):
        raise InputError(
            f"search {path}", "its values are not numbers", f"give choices, for example {path}={_example(knob)}"
        )
    low, high = float(limits.low or 0), float(limits.high or 0)
    _within(knob, low)
    _within(knob, high)
    whole = knob.type is int
    if whole and (low % 1 or high % 1):
        raise InputError(
            f"search {path}", f"whole numbers only, but the range is {low:g} to {high:g}", "round its ends"
        )
    return Domain((), low, high, limits.log, limits.step, whole)


def _default_domain(knob: Knob) -> Domain:
    """The domain that the knob's metadata give."""
    if knob.choices or knob.type is bool:
        return Domain(knob.choices or (False, True))
    if not knob.search:
        raise InputError(
            f"search {knob.path}", "it has no range of its own", f"give one, as in --search {_example(knob)}"
        )
    if "choices" in knob.search:
        return Domain(tuple(knob.search["choices"]))
    return Domain((), **knob.search, whole=knob.type is int)


def _choice(knob: Knob, choice: Any) -> object:
    """A choice as the knob's own type."""
    if choice is None and knob.optional:
        return None
    if knob.choices or knob.type is bool:
        allowed = knob.choices or (False, True)
        if choice not in allowed:
            raise InputError(
                f"search {knob.path}",
                f"{shortened(choice)} is not a choice",
                did_you_mean(choice, map(str, allowed)),
            )
        return choice
    if knob.type in (int, float):
        try:
            number = knob.type(choice)
            if isinstance(choice, bool) or not math.isfinite(number) or number != float(choice):
                raise ValueError
        except (ValueError, TypeError, OverflowError):
            kind = "a whole number" if knob.type is int else "a number"
            raise InputError(f"search {knob.path}", f"{shortened(choice)} is not {kind}", "change it") from None
        _within(knob, number)
        return number
    if knob.type is str:
        return str(choice)
    raise InputError(f"search {knob.path}", "its values are lists or parts, which can't be searched", "leave it out")


def _within(knob: Knob, value: float) -> None:
    if knob.low is not None and value < knob.low:
        raise InputError(f"search {knob.path}", f"{value:g} is below its smallest value {knob.low:g}", "raise it")
    if knob.high is not None and value > knob.high:
        raise InputError(f"search {knob.path}", f"{value:g} is above its largest value {knob.high:g}", "lower it")


def _example(knob: Knob) -> str:
    if knob.choices:
        return f"{knob.path}={','.join(map(str, knob.choices[:2]))}"
    return f"{knob.path}=false,true" if knob.type is bool else f"{knob.path}=1:5"
