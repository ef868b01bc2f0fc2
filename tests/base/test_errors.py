"""Errors have parts: all are written with three, none is taken apart again, and they pass from process to process."""

from __future__ import annotations

import ast
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import t4r_lab
from t4r_lab.base.errors import InputError
from t4r_lab.spec import RunSpec
from t4r_lab.spec.preparation import PrepareOptions

PACKAGE = Path(t4r_lab.__file__).parent
CUTTING = {"replace", "removeprefix", "removesuffix", "partition", "rpartition", "split", "rsplit", "splitlines"}
FEATURE_PATH, SAMPLER_PATH = "model.inputs.features.text.vectors.path", "model.heads.0.loss.sampler"
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
    assert kinds > {"Unavailable", "Unusable", "AlreadyLed", "NoHeader"}
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


NOT_THE_USERS = "a bug or a state of the machine: no input is at fault"
TOGETHER = "two settings exclude each other: either can be changed"
LOCATED = "the validator of a field: `explain` adds the path of the field"
PATHLESS = {
    ("cli/program.py", "main"): NOT_THE_USERS,
    ("data/pipeline/split.py", "_empty"): "the cut, the support and the length together leave nothing to train on",
    ("data/pipeline/split.py", "_check_parts"): "support and length together leave no session",
    ("data/sessions/column_roles.py", "_session_and_user"): TOGETHER,
    ("families/bodies/body_table.py", "pair_refusal"): TOGETHER,
    ("families/bodies/shared/layer_knobs.py", "_heads_have_pairs"): TOGETHER,
    ("families/bodies/shared/layer_knobs.py", "check_heads"): TOGETHER,
    ("families/encoders/vectors_spec.py", "_path_is_set"): LOCATED,
    ("families/samplers/sampler_table.py", "_named"): LOCATED,
    ("lab/state/background.py", "explained"): NOT_THE_USERS,
    ("lab/state/draft.py", "ready"): "data are on their way: there is nothing to change",
    ("nn/bodies/towers.py", "__init__"): TOGETHER,
    ("runs/run.py", "_close_failed_run"): NOT_THE_USERS,
    ("spec/preparation.py", "_check_time_format"): LOCATED,
    ("spec/preparation.py", "_one_way_to_cut"): TOGETHER,
    ("spec/sections.py", "_towers_can_be_merged"): TOGETHER,
    ("spec/domains.py", "_range_or_choices"): TOGETHER,
    ("tracking/pages.py", "address"): NOT_THE_USERS,
}
"""(module, function) of each error without a path → the reason that it has none."""


def pathless(tree: ast.AST, kinds: set[str], function: str = "") -> Iterator[str]:
    """The innermost function around each error whose path is empty."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
            paths = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "path")]
            if any(isinstance(path, ast.Constant) and not path.value for path in paths):
                yield function
        yield from pathless(node, kinds, node.name if isinstance(node, ast.FunctionDef) else function)


def test_every_error_names_what_is_at_fault() -> None:
    kinds = kinds_of_error()
    assert sorted((module, name) for module, tree in trees() for name in pathless(tree, kinds)) == sorted(PATHLESS)


def test_an_error_without_a_path_is_noticed() -> None:
    code = 'def f():\n    raise InputError("", "a", "b")\ndef g(): return InputError(path="", problem="a", remedy="b")'
    named = 'def f(): raise InputError("k", "", "b")'
    assert list(pathless(ast.parse(f"{code}\n{named}"), {"InputError"})) == ["f", "g"]


@pytest.mark.parametrize(
    ("parse", "path"),
    [
        (lambda: PrepareOptions.parse({"time_format": "banana"}), "time_format"),
        (lambda: spec_with(inputs={"features": {"text": {"vectors": {"path": " "}}}}), FEATURE_PATH),
        (lambda: spec_with(heads=[{"loss": {"kind": "sampled_softmax", "sampler": "some"}}]), SAMPLER_PATH),
        (lambda: spec_with(body={"kind": "gpt2", "n_head": 3}), "model.body"),
        (lambda: spec_with(masking={"kind": "mlm"}), "model"),
        (lambda: spec_with(heads=[{"kind": "next_item"}] * 2), "model.heads"),
    ],
)
def test_the_spec_adds_the_path_of_the_part(parse: Callable[[], object], path: str) -> None:
    with pytest.raises(InputError) as error:
        parse()
    assert error.value.path == path


def spec_with(**model: object) -> RunSpec:
    return RunSpec.parse({"data": {"path": "demo"}, "model": model}, source="")


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
        "try: f()\nexcept Unavailable as why: g(str(why).removeprefix('error: '))",
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
    assert error.sentence == str(error.at("")) == "0 is too small; so is -1: both; give 1 or more"
