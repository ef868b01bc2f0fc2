"""A knob: one tunable value of a spec, defined once and read by every face.

The form, the ``--set`` key, the MLflow parameter and the search space are all made from the same
pydantic field. Nothing else in the project repeats a default, a bound or a help text.
"""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo

from t4r_lab.base.documents import Document


class Part(BaseModel):
    """A part of a spec: immutable, and an unknown key is an error, as is a number that is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def knob(
    default: object,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    search: tuple[float, float] | list[JsonValue] | None = None,
    log: bool = False,
    step: float | None = None,
) -> Any:
    """A pydantic field with bounds (inclusive), help text and what a search covers by default: a range or choices."""
    extra: JsonDict = {}
    if isinstance(search, tuple):
        extra["search"] = {"low": search[0], "high": search[1], "log": log, "step": step}
    elif search:
        extra["search"] = {"choices": search}
    return Field(default, description=help, ge=low, le=high, json_schema_extra=extra)


@dataclass(frozen=True)
class Knob:
    """One value of a spec with all that is known of it."""

    path: str
    value: object
    default: object
    help: str
    type: type
    optional: bool
    low: float | None
    high: float | None
    choices: tuple[Any, ...]
    search: Document


def variants(annotation: object) -> dict[str, type[Part]]:
    """The parts an annotation admits, by their ``kind``; a single part stands under ''."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    parts = [m for m in members if isinstance(m, type) and issubclass(m, Part)]
    if len(parts) == 1 and "kind" not in parts[0].model_fields:
        return {"": parts[0]}
    return {get_args(p.model_fields["kind"].annotation)[0]: p for p in parts}


def element(annotation: object) -> object:
    """The element type of a list or dict annotation; None for anything else."""
    for member in (annotation, *get_args(annotation)):
        origin = get_origin(member)
        if origin is list or origin is tuple:
            return get_args(member)[0]
        if origin is dict:
            return get_args(member)[1]
    return None


def walk(part: Part, prefix: str = "") -> Iterator[Knob]:
    """Every knob below `part`, in the order of definition, its dotted path starting with `prefix`."""
    for name, field in type(part).model_fields.items():
        path, value = f"{prefix}{name}", getattr(part, name)
        if name == "kind":
            continue
        for leaf in _walk_value(path, value, field.annotation, field):
            # which part was chosen is no default of the part
            yield replace(leaf, default=None) if name == getattr(part, "tag", "") else leaf


def _walk_value(path: str, value: object, annotation: object, field: FieldInfo) -> Iterator[Knob]:
    if isinstance(value, Part):
        kinds = variants(annotation)
        if "" not in kinds:
            help = field.description or ""
            chosen = value.kind  # type: ignore[attr-defined]
            choices = tuple(dict.fromkeys([*kinds, chosen]))
            yield Knob(f"{path}.kind", chosen, None, help, str, False, None, None, choices, {})
        yield from walk(value, f"{path}.")
    elif isinstance(value, dict) and any(isinstance(item, Part) for item in value.values()):
        for key, item in value.items():
            yield from _walk_value(f"{path}.{key}", item, element(annotation), field)
    elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Part):
        for index, item in enumerate(value):
            yield from _walk_value(f"{path}.{index}", item, element(annotation), field)
    else:
        yield _leaf(path, value, annotation, field)


def _is_part(annotation: object) -> bool:
    inner = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return isinstance(inner, type) and issubclass(inner, Part)


def _leaf(path: str, value: object, annotation: object, field: FieldInfo) -> Knob:
    members = [m for m in get_args(annotation) if m is not type(None) and not _is_part(m)]
    optional = type(None) in get_args(annotation)
    if len(members) == 1 and get_origin(annotation) in (Union, types.UnionType):
        annotation = members[0]
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    bounds = {key: getattr(m, key) for m in field.metadata for key in ("ge", "le") if hasattr(m, key)}
    kind = (
        type(choices[0])
        if choices
        else (annotation if isinstance(annotation, type) else get_origin(annotation) or object)
    )
    default = field.get_default(call_default_factory=True)
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    search = extra.get("search")
    return Knob(
        path,
        value,
        default,
        field.description or "",
        kind,
        optional,
        bounds.get("ge"),
        bounds.get("le"),
        choices,
        dict(search) if isinstance(search, dict) else {},
    )


def label(path: str) -> str:
    """The name of a knob for people: the last word of its path, a kind or path by what it is that of.

    >>> label("model.heads.0.loss.label_smoothing"), label("model.body.kind"), label("model.body.n_head")
    ('label smoothing', 'body', 'n_head')
    >>> label("model.heads.0.kind")
    'head'
    """
    words = path.split(".")
    if words[-1] == "kind":
        words.pop()
        if words[-1].isdigit():
            return words[-2].removesuffix("s")
    last = words[-2] if words[-1] == "path" and len(words) > 1 else words[-1]
    return last if len(last.split("_")[0]) == 1 else last.replace("_", " ")


def labels(paths: Collection[str]) -> dict[str, str]:
    """Each path's label, with the part it belongs to where labels are alike.

    >>> labels(["model.inputs.dropout", "model.body.dropout", "train.seed"])
    {'model.inputs.dropout': 'inputs dropout', 'model.body.dropout': 'body dropout', 'train.seed': 'seed'}
    """
    times = Counter(map(label, dict.fromkeys(paths)))
    return {p: label(p) if times[label(p)] == 1 else f"{p.split('.')[-2]} {label(p)}" for p in paths}
