"""Edits of a spec's lists by the blocks of its picture: features, towers and heads are removed and moved."""

from __future__ import annotations

from typing import Any

from t4r_lab.lab.state.draft import inputs_of
from t4r_lab.schema.columns import Schema
from t4r_lab.spec import RunSpec
from t4r_lab.spec.sections import HEADS, TOWERS

FEATURES = ".inputs.features."


def element_of(key: str) -> tuple[str, str] | None:
    """The list that a block is an element of, and its name in it; None for other blocks.

    >>> element_of("model.heads.1"), element_of("model.towers.0.body"), element_of("model.inputs.features.price")
    (('model.heads', '1'), ('model.towers', '0'), ('model.inputs.features', 'price'))
    >>> element_of("model.body"), element_of("model.heads.0.loss")
    (None, None)
    """
    before, features, name = key.partition(FEATURES)
    if features:
        return f"{before}{features}".rstrip("."), name
    for path in (HEADS, TOWERS):
        number, _, inner = key.removeprefix(f"{path}.").partition(".")
        if (
            key.startswith(f"{path}.")
            and number.isdigit()
            and inner in ("", "body")
            and (path == TOWERS) == bool(inner)
        ):
            return path, number
    return None


def removable(spec: RunSpec, schema: Schema | None, key: str) -> bool:
    """True if the block can be removed: not the item, the first body, or the only head."""
    element = element_of(key)
    if element is None:
        return False
    path, element_name = element
    if path == HEADS:
        return len(spec.model.heads) > 1
    return path == TOWERS or schema is None or element_name != schema.item.name


def removed(spec: RunSpec, schema: Schema | None, key: str) -> dict[str, Any]:
    """The edit that removes a block from its list; empty if it can't be removed."""
    element = element_of(key)
    if element is None or not removable(spec, schema, key):
        return {}
    path, element_name = element
    content = _content(spec, schema, path)
    return {path: _join(path, [(name, value) for name, value in content if name != element_name])}


def moved(spec: RunSpec, schema: Schema | None, key: str, to: str) -> dict[str, Any]:
    """The edit that moves a block to the place of another one of its list; empty if they are of different lists."""
    element, other = element_of(key), element_of(to)
    if element is None or other is None or element == other or element[0] != other[0]:
        return {}
    path, element_name = element
    content = _content(spec, schema, path)
    names = [name for name, _ in content]
    if element_name not in names or other[1] not in names:
        return {}
    row = content.pop(names.index(element_name))
    content.insert(names.index(other[1]), row)
    return {path: _join(path, content)}


def _content(spec: RunSpec, schema: Schema | None, path: str) -> list[tuple[str, Any]]:
    """The elements of a list with their numbers, or of features with their names."""
    if not path.endswith(FEATURES.rstrip(".")):
        elements = spec.to_dict()["model"][path.rpartition(".")[2]]
        return [(str(number), element) for number, element in enumerate(elements)]
    inputs = inputs_of(spec)[path.removesuffix(".features")]
    features = inputs.model_dump(mode="json")["features"]
    if features is None:
        features = {column.name: {} for column in schema.features} if schema else {}
    return list(features.items())


def _join(path: str, content: list[tuple[str, Any]]) -> Any:
    return [value for _, value in content] if path in (HEADS, TOWERS) else dict(content)
