"""Custom classes and metrics that a spec may name, as ``package.module:Name``.

To name one is to have its module imported, which runs its code. So a spec, which may come from somebody else, can name
only what the user has allowed: `trust`, ``--trust``, ``trust=[…]`` or the variable ``T4R_LAB_TRUST``.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, ClassVar, Literal, TypeGuard, TypeVar

from pydantic import ValidatorFunctionWrapHandler, WrapValidator

from t4r_lab.base.errors import InputError, first_line, shortened
from t4r_lab.families.knobs import Part

VARIABLE = "T4R_LAB_TRUST"
NOTEBOOK = "__main__"
"""The module of a notebook's own cells. They run already, so naming one of their classes runs nothing."""
NAMING = {"kind": "class", "encoding": "class", "metrics": "metric"}
"""The last word of the paths whose values may name a custom part, and what that is."""
M = TypeVar("M", bound="Member")
R = TypeVar("R")


class Member(Part):
    """A member of a family: a body, a masking, a loss. A user's own is called by its module and name."""

    tag: ClassVar[str] = "kind"
    """the key of a spec that names the member"""
    needs: ClassVar[tuple[str, ...]] = ()
    """attributes that a custom class must define, beside the abstract methods"""

    def __init_subclass__(cls, **options: Any) -> None:
        """Give `cls` its kind, unless it has one or is a class of the package, which the tables of families name."""
        super().__init_subclass__(**options)
        annotations = inspect.get_annotations(cls)
        if cls.tag not in annotations and not cls.__module__.startswith("t4r_lab.families."):
            kind = f"{cls.__module__}:{cls.__qualname__}"
            cls.__annotations__ = {cls.tag: Literal[kind], **annotations}
            setattr(cls, cls.tag, kind)


def trust(packages: Iterable[str]) -> None:
    """Let specs name classes of these packages or modules, in this process and in those that it starts.

    They may lie in the current folder, as beside a notebook.
    """
    names = dict.fromkeys([*trusted(), *packages])
    if names:
        os.environ[VARIABLE] = ",".join(names)
        if os.getcwd() not in sys.path and "" not in sys.path:
            sys.path.append(os.getcwd())  # behind all others: a file here takes no library's place


def trusted() -> tuple[str, ...]:
    """The packages that specs may name classes of."""
    return tuple(filter(None, (name.strip() for name in os.environ.get(VARIABLE, "").split(","))))


def refuse_notebook(values: Mapping[str, object]) -> None:
    """Refuse a spec (path → value) that names something of a notebook's cells, where another process is to work by it.

    Raises
    ------
    InputError
        at the path.
    """
    for path, value in values.items():
        noun = NAMING.get(path.rpartition(".")[2])
        for name in value if isinstance(value, list) else [value]:
            if noun and is_custom(name) and name.startswith(f"{NOTEBOOK}:"):
                problem = f"{shortened(name)} is a {noun} of this notebook, which no other process has"
                raise InputError(path, problem, "put it into a file, or train here with t4r_lab.run")


def is_custom(kind: object) -> TypeGuard[str]:
    """Whether a kind names a custom part, rather than being a word of one of our tables."""
    return isinstance(kind, str) and ":" in kind


def load(kind: str, family: type[M]) -> type[M]:
    """The class that `kind` names, a member of `family`.

    Raises
    ------
    InputError
        if its module isn't trusted, can't be imported or has no such class.
    """
    remedy = f"write a class that derives from t4r_lab.nn.{family.__name__}, in a module that can be imported"
    member = load_object(kind, family.tag, "class", remedy)
    if not (isinstance(member, type) and issubclass(member, family)):
        raise InputError(family.tag, f"{shortened(kind)} does not derive from {family.__name__}", remedy)
    check_whole(member)
    return member


def load_object(kind: str, path: str, noun: str, remedy: str) -> object:
    """What `kind` names, imported: a `noun` at the `path` of a spec, missing ones being refused with `remedy`.

    Raises
    ------
    InputError
        if its module isn't trusted, can't be imported or has no such name.
    """
    module, _, name = kind.partition(":")
    package = module.partition(".")[0]
    if module != NOTEBOOK and not any(module == each or module.startswith(f"{each}.") for each in trusted()):
        raise InputError(
            path,
            f"{shortened(kind)} is code of the module {shortened(package)}, which isn't trusted",
            f"if it may run here, give --trust {package}, in Python trust=[{package!r}], or set {VARIABLE}={package}",
        )
    try:
        member = getattr(import_module(module), name, None)
    except Exception as error:
        problem = f"{shortened(kind)} can't be imported ({type(error).__name__}: {first_line(error)})"
        raise InputError(path, problem, "fix the module, or see that it lies on PYTHONPATH") from None
    if member is None:
        if module == NOTEBOOK:
            remedy = f"put the {noun} into a file, since a notebook's cells are in its own process alone"
        raise InputError(path, f"{shortened(kind)}: the module has no such {noun}", remedy)
    return member


def check_whole(member: type[Member]) -> None:
    """Refuse a class that leaves out what its family needs, before anything is built of it.

    Raises
    ------
    InputError
    """
    base = next(each for each in member.__mro__ if issubclass(each, Member) and each.__module__.startswith("t4r_lab."))
    abstract = [name for each in member.__mro__ for name in vars(each) if name in member.__abstractmethods__]
    attributes = [name for name in base.needs if getattr(member, name, None) is getattr(base, name, None)]
    missing = dict.fromkeys([*attributes, *abstract])
    if missing:
        problem = f"{member.__name__} has no {' and no '.join(missing)}"
        raise InputError(base.tag, problem, f"define it as t4r_lab.nn.{base.__name__} says")


class MemberTable(dict[str, R]):
    """Kind → row of a family. A custom class has a row too, made when it is asked for, but isn't listed."""

    def __init__(self, rows: Mapping[str, R], custom_row: Callable[[str], R]) -> None:
        super().__init__(rows)
        self.custom_row = custom_row

    def __missing__(self, kind: str) -> R:
        if is_custom(kind):
            return self.custom_row(kind)
        raise KeyError(kind)


def or_custom(family: type[Member]) -> WrapValidator:
    """What lets a field of a spec hold a custom member of `family` beside those of the table."""

    def check(value: Any, table: ValidatorFunctionWrapHandler) -> object:
        kind = value.get(family.tag) if isinstance(value, Mapping) else getattr(value, family.tag, None)
        if not is_custom(kind):
            return table(value)
        if isinstance(value, family):
            check_whole(type(value))
            return value
        return load(kind, family).model_validate(dict(value))

    return WrapValidator(check)
