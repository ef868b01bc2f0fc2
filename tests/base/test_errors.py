"""Errors have parts: all are written with three, none is taken apart again, and they pass from process to process."""

from __future__ import annotations

import ast
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

import t4r_lab
from t4r_lab.base.errors import InputError

PACKAGE = Path(t4r_lab.__file__).parent
CUTTING = {"replace", "removeprefix", "removesuffix", "partition", "rpartition", "split", "rsplit", "splitlines"}
MATCHING = {"match", "fullmatch", "search", "sub", "split", "findall", "finditer"}


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text(encoding="utf-8"))


def kinds_of_error() -> set[str]:
    """Names of `InputError` and of the package's classes that derive from it."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    names = {"InputError"}
    while more := {name for name, of in bases.items() if of & names} - names:
        names |= more
    return names


def test_every_error_says_what_to_do() -> None:
    kinds = kinds_of_error() - {"Referred"}  # which writes its remedy itself
    assert kinds > {"Away", "Unusable", "AlreadyLed", "NoHeader"}
    short = []
    for module, tree in trees():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds):
                continue
            starred = any(isinstance(argument, ast.Starred) for argument in node.args)
            blank = [a for a in node.args[1:3] if isinstance(a, ast.Constant) and not a.value]
            if blank or not (starred or len(node.args) >= 3):
                short.append(f"{module}:{node.lineno} {ast.unparse(node)}")
    assert not short


def scopes(tree: ast.AST, kinds: set[str]) -> Iterator[tuple[ast.AST, str]]:
    """The handlers and functions that know an error of ours, and its name there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.name and node.type and set(_names(node.type)) <= kinds:
            yield node, node.name
        if isinstance(node, ast.FunctionDef):
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                if argument.annotation and set(_names(argument.annotation)) & kinds:
                    yield node, argument.arg


def surgeries(tree: ast.AST, kinds: set[str]) -> set[int]:
    """Lines that cut or match the text of what is known to be an error of ours, or any problem or remedy."""
    texts = {
        id(node)
        for scope, name in scopes(tree, kinds)
        for node in ast.walk(scope)
        if isinstance(node, ast.Call) and ast.unparse(node) == f"str({name})"
    } | {id(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in ("problem", "remedy")}
    return {
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            (node.func.attr in CUTTING and id(node.func.value) in texts)
            or (node.func.attr in MATCHING and any(id(a) in texts for a in node.args))
        )
    }


def _names(node: ast.AST) -> list[str]:
    return [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]


def test_no_error_is_taken_apart() -> None:
    kinds = kinds_of_error()
    assert [f"{module}:{line}" for module, tree in trees() for line in surgeries(tree, kinds)] == []


@pytest.mark.parametrize(
    "code",
    [
        "try: f()\nexcept InputError as error: g(str(error).partition(': '))",
        "try: f()\nexcept Away as why: g(str(why).removeprefix('error: '))",
        "def f(error: InputError | None): return re.search('column', str(error))",
        "def f(refused): return refused.problem.split(';')",
    ],
)
def test_such_code_is_noticed(code: str) -> None:
    assert surgeries(ast.parse(code), kinds_of_error()) == {code.count("\n") + 1}


def test_the_parts_survive_a_pickle_and_json() -> None:
    error = InputError("train.epochs", "0 is too small; so is -1: both", "give 1 or more")
    for copy in (pickle.loads(pickle.dumps(error)), InputError(*json.loads(json.dumps(error.parts)))):
        assert (copy.path, copy.problem, copy.remedy) == (error.path, error.problem, error.remedy)
        assert str(copy) == str(error) == "train.epochs: 0 is too small; so is -1: both; give 1 or more"
    assert str(error.at("")) == "0 is too small; so is -1: both; give 1 or more"
