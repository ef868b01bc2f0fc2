"""The house stands: imports go down only, there is no cycle, and the package stays light to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import t4r_lab

PACKAGE = Path(__file__).parent.parent / "t4r_lab"

FLOORS = {
    "errors": 0, "urls": 0, "processors": 0, "files": 0, "schema": 0, "report": 0, "spec": 0, "merlin": 0,
    "data": 1, "nn": 1, "progress": 1, "patience": 1,
    "documents": 0, "checksums": 0, "system": 0, "terminal": 0,
    "build": 2, "checkpoint": 2, "optimizer": 2, "baselines": 2, "labels": 2,
    "evaluation": 3, "train": 3, "judge": 3, "script": 3,
    "guard": 4, "homes": 4, "track": 4, "experiment": 4, "estimate": 4,
    "results": 5, "comparison": 5, "sanity": 5, "runner": 5, "server": 5,
    "jobs": 6, "worker": 6, "recommender": 6, "analysis": 6, "reuse": 6, "preparing": 6, "tuning": 6,
    "describe": 6, "printing": 6,
    "demo": 7, "widgets": 7, "cli": 7, "study_commands": 7, "place_commands": 7, "options": 7,
    "__init__": 8, "__main__": 8,
}  # fmt: skip
"""Room → floor. A room is a module or a package directly under t4r_lab."""

ONLY_IMPORTER = {
    "mlflow": {"track"},
    "optuna": {"tuning"},
    "accelerate": {"train", "evaluation", "guard"},
    "anywidget": {"widgets"},
}

ONLY_CALLER = {
    "documents": {"json.load", "json.loads", "yaml.load", "yaml.safe_load", "yaml.full_load", "model_validate_json"},
}
"""Module → what it alone calls, so that its limits hold everywhere."""


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, within functions too; without what only type checkers read."""
    found: set[str] = set()
    skip: set[int] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skip |= {id(child) for child in ast.walk(node)}
        if id(node) in skip:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(name: str) -> str:
    return name.split(".")[0]


def own(name: str) -> str | None:
    """The module of this package that an imported name lies in."""
    if not name.startswith("t4r_lab."):
        return None
    inner = name.removeprefix("t4r_lab.")
    known = modules()
    while inner and inner not in known:
        inner = inner.rpartition(".")[0]
    return inner or None


def test_every_room_has_a_floor() -> None:
    assert {room(name) for name in modules()} <= set(FLOORS)


@pytest.mark.parametrize("name", modules())
def test_imports_go_down(name: str) -> None:
    for imported in imports(modules()[name]):
        target = own(imported)
        if target is not None and room(target) != room(name):
            assert FLOORS[room(target)] <= FLOORS[room(name)], f"{name} imports {imported} from a higher floor"
        package = imported.split(".")[0]
        if package in ONLY_IMPORTER:
            assert room(name) in ONLY_IMPORTER[package], f"{name} imports {package}"


@pytest.mark.parametrize("name", modules())
def test_what_has_limits_is_called_where_they_are(name: str) -> None:
    tree = ast.parse(modules()[name].read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for owner, kept in ONLY_CALLER.items():
        foreign = {c for c in called if c in kept or c.rpartition(".")[2] in kept} if name != owner else set()
        assert not foreign, f"{name} calls {foreign}: use t4r_lab.{owner}"


def test_there_is_no_cycle() -> None:
    graph = {name: {own(i) for i in imports(path)} - {None, name} for name, path in modules().items()}
    graph["__init__"] = set()  # its names are looked up when used
    tuple(TopologicalSorter(graph).static_order())


def test_the_package_is_light_to_import() -> None:
    heavy = ["torch", "transformers", "accelerate", "mlflow", "optuna", "plotly", "pandas", "polars", "ipywidgets"]
    code = (
        "import sys, t4r_lab, t4r_lab.spec, t4r_lab.cli; t4r_lab.cli.make_parser(); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_functions_keep_their_names_when_modules_are_imported() -> None:
    code = "import t4r_lab as t, t4r_lab.runner, t4r_lab.recommender; print(callable(t.run), callable(t.recommend))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


HEAVY = ("torch._dynamo", "torch.distributed.tensor", "sympy", "transformers", "optuna", "plotly", "ipywidgets")
"""What a training of a small model imports none of; the first alone takes 1.5 s of every process."""


def test_a_training_and_an_estimate_import_what_they_use_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    events = pl.DataFrame({
        "session_id": np.arange(60).repeat(4), "item_id": rng.integers(20, size=240), "timestamp": np.arange(240) * 60,
    })  # fmt: skip
    t4r_lab.prepare(events, tmp_path / "data")
    code = (
        "import sys, t4r_lab; from t4r_lab.estimate import estimate\n"
        f"spec = {{'data': {{'path': {str(tmp_path / 'data')!r}}}, 'model': {{'body': {{'kind': 'gru'}}}}, 'train': {{'epochs': 2}}}}\n"
        "spec = t4r_lab.RunSpec.parse(spec)\n"
        f"estimate(spec); print([m for m in {(*HEAVY, 'mlflow')} if m in sys.modules])\n"
        f"result = t4r_lab.run(spec, home={str(tmp_path / 'home')!r})\n"
        f"print([m for m in {HEAVY} if m in sys.modules], result.status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-2:] == ["[]", "[] FINISHED"], done.stderr
