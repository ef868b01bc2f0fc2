"""The members of a family, collected from the files of its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import TypeVar, get_args

from t4r_lab.families.custom import Member

P = TypeVar("P", bound=Member)


def kind_of(member: type[Member]) -> str:
    """The word for a member in a spec."""
    return str(get_args(member.model_fields[member.tag].annotation)[0])


def members(folder: ModuleType, base: type[P], usual: Sequence[str]) -> dict[str, type[P]]:
    """Kind → member: each class of a module of `folder` that derives from `base` and has its `tag`, such as `kind`.

    Those of `usual` come first, in its order.
    """
    classes = {kind_of(member): member for member in _classes(folder, base) if member.tag in member.model_fields}
    order = {kind: number for number, kind in enumerate(usual)}
    return {kind: classes[kind] for kind in sorted(classes, key=lambda kind: (order.get(kind, len(order)), kind))}


def _classes(folder: ModuleType, base: type[P]) -> Iterator[type[P]]:
    for entry in iter_modules(folder.__path__, f"{folder.__name__}."):
        module = import_module(entry.name)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, base) and value.__module__ == entry.name:
                yield value
