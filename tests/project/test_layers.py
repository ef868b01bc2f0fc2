"""The house stands: imports go down only, there is no cycle, and the package stays light to import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import t4r_lab
from tests import ROOT
from tests.support.house import FLOOR, MODULES, WING, floors

MOST = 12
"""Modules of a room."""
LONGEST = 50
"""Lines of a function, its docstring included."""

ONLY_IMPORTER = {
    "mlflow": {"tracking"},
    "optuna": {"tuning"},
    "accelerate": {"training", "runs"},
    "anywidget": {"lab"},
}
"""Library → the wings that import it."""

ONLY_CALLER = {
    "base.documents": {
        "json.load",
        "json.loads",
        "yaml.load",
        "yaml.safe_load",
        "yaml.full_load",
        "model_validate_json",
    },
}
"""Module → what it alone calls, so that its limits hold everywhere."""


def room(name: str) -> str:
    return str(floors.room_of(name, MODULES))


def test_every_room_has_a_floor_and_says_what_lives_there() -> None:
    assert {room(name) for name in MODULES} == set(FLOOR)
    for name, path in MODULES.items():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{name}/__init__.py says nothing"


def test_no_room_is_crowded_and_no_name_stands_twice() -> None:
    files = [name for name, path in MODULES.items() if path.name not in ("__init__.py", "__main__.py")]
    crowded = {r: n for r, n in Counter(room(name) for name in files).items() if n > MOST}
    assert not crowded
    twice = {n: c for n, c in Counter(name.rpartition(".")[2] for name in files).items() if c > 1}
    assert not twice


def test_no_two_classes_share_a_name() -> None:
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
    classes = Counter(node.name for tree in trees.values() for node in tree.body if isinstance(node, ast.ClassDef))
    assert len(classes) > 200  # they are seen at all
    shared = {name for name, count in classes.items() if count > 1}
    assert shared == {"Baseline"}  # the row of the family, and the report of its metrics, whose name stands in files


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and lines of every function of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_function_is_long() -> None:
    every = {f"{name}.{function}": lines for name, path in MODULES.items() for function, lines in functions(path)}
    assert len(every) > 1000  # they are seen at all
    assert {name: lines for name, lines in every.items() if lines > LONGEST} == {}


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name: str) -> None:
    here = room(name)
    for imported in floors.imports(MODULES[name]):
        target = floors.module_of(imported, MODULES)
        if target is not None and room(target) != here:
            target_room = room(target)
            lower = (
                FLOOR[target_room] < FLOOR[here]
                if WING[target_room] == WING[here]
                else FLOOR[target_room][0] < FLOOR[here][0]
            )
            assert lower, f"{name} imports {imported}, which stands no lower"
        package = imported.split(".")[0]
        if package in ONLY_IMPORTER:
            assert WING[here] in ONLY_IMPORTER[package], f"{name} imports {package}"


def test_no_test_imports_another_one() -> None:
    for path in (ROOT / "tests").rglob("test_*.py"):
        others = [name for name in floors.imports(path) if re.match(r"tests\.\w+\.test_", name)]
        assert not others, f"{path.name} imports {others}: what several tests use stands in tests/support"


def test_the_picture_and_the_figures_of_the_floors_are_current() -> None:
    assert floors.PICTURE.read_text(encoding="utf-8") == floors.draw(), "draw it again: python docs/floors.py"
    page = floors.PAGE.read_text(encoding="utf-8")
    assert len(floors.FIGURES.findall(page)) == 1
    assert floors.with_figures(page) == page, "count again: python docs/floors.py"


def test_the_figures_are_those_of_the_files() -> None:
    folders = [floors.PACKAGE, *(folder.parent for folder in floors.PACKAGE.glob("*/**/__init__.py"))]
    sizes = [len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) for folder in folders]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in floors.figures().splitlines()[2:]]
    now = {name: int(number) for name, _, number in rows}
    assert (now["modules"], now["modules in the largest folder"]) == (sum(sizes), max(sizes))
    assert now["folders"] == len(folders)
    assert now["of them upward"] == now["circular pairs"] == 0


@pytest.mark.parametrize("name", MODULES)
def test_what_has_limits_is_called_where_they_are(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for owner, limited in ONLY_CALLER.items():
        foreign = {c for c in called if c in limited or c.rpartition(".")[2] in limited} if name != owner else set()
        assert not foreign, f"{name} calls {foreign}: use t4r_lab.{owner}"


def test_there_is_no_cycle() -> None:
    graph = {
        name: {floors.module_of(i, MODULES) for i in floors.imports(path)} - {None, name}
        for name, path in MODULES.items()
    }
    graph["__init__"] = set()  # its names are looked up when used
    tuple(TopologicalSorter(graph).static_order())


def test_the_package_is_light_to_import() -> None:
    heavy = ["torch", "transformers", "accelerate", "mlflow", "optuna", "plotly", "pandas", "polars", "ipywidgets"]
    code = (
        "import sys, t4r_lab, t4r_lab.spec, t4r_lab.cli.program; t4r_lab.cli.program.make_parser(); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_functions_keep_their_names_when_modules_are_imported() -> None:
    code = (
        "import t4r_lab as t, t4r_lab.runs.run, t4r_lab.runs.recommend; print(callable(t.run), callable(t.recommend))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


HEAVY = ("torch._dynamo", "torch.distributed.tensor", "sympy", "transformers", "optuna", "plotly", "ipywidgets")
"""What a training of a small model imports none of; the first alone takes 1.5 s of every process."""


def test_a_training_and_an_estimate_import_what_they_use_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    events = pl.DataFrame(
        {
            "session_id": np.arange(60).repeat(4),
            "item_id": rng.integers(20, size=240),
            "timestamp": np.arange(240) * 60,
        }
    )
    t4r_lab.prepare(events, tmp_path / "data")
    code = (
        "import sys, t4r_lab; from t4r_lab.training.estimate import estimate\n"
        f"spec = {{'data': {{'path': {str(tmp_path / 'data')!r}}}, 'model': {{'body': {{'kind': 'gru'}}}}, 'train': {{'epochs': 2}}}}\n"
        "spec = t4r_lab.RunSpec.parse(spec)\n"
        f"estimate(spec); print([m for m in {(*HEAVY, 'mlflow')} if m in sys.modules])\n"
        f"result = t4r_lab.run(spec, home={str(tmp_path / 'home')!r})\n"
        f"print([m for m in {HEAVY} if m in sys.modules], result.status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-2:] == ["[]", "[] FINISHED"], done.stderr
