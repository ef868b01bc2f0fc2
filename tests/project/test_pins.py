"""One set of versions: constraints, pyproject and environment agree, and nothing is installed for nothing."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests import ROOT

NOT_IMPORTED = {
    "jupyterlab": "started as a program by `t4r-lab lab`",
}
"""Dependencies that no module of the package names, each with the reason it is there."""

COME_ALONG = {
    "IPython": "ipywidgets",
    "traitlets": "ipywidgets",
}
"""Modules imported though not declared: part of what a declared dependency is."""


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    exact = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+-]+)")
    versions = {}
    for line in lines:
        if line and not line.startswith("#"):
            match = exact.fullmatch(line)
            assert match, f"constraints.txt: {line!r} is not name==version"
            versions[canonicalize_name(match[1])] = Version(match[2])
    return versions


def declared() -> dict[str, Requirement]:
    requirements = [Requirement(text) for text in project()["dependencies"]]
    return {canonicalize_name(r.name): r for r in requirements}


def imported() -> set[str]:
    """Top-level names of all modules that the package imports, other than its own and Python's."""
    names = set()
    for path in (ROOT / "t4r_lab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"t4r_lab"}


def test_every_requirement_has_a_pin_in_its_range() -> None:
    pinned = pins()
    extras = project()["optional-dependencies"]
    for text in [*project()["dependencies"], *extras["dev"], *extras["docs"]]:
        requirement = Requirement(text)
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} has no pin in constraints.txt"
        assert version in requirement.specifier, f"{text} does not admit the pinned {version}"


def test_ranges_are_open_above() -> None:
    for requirement in declared().values():
        assert {s.operator for s in requirement.specifier} <= {">=", "!="}, f"{requirement}: leave the range open"


def test_constraints_name_no_place_and_no_local_build() -> None:
    assert pins()["torch"].local is None
    assert not re.search(
        r"[@/\\]|://", re.sub(r"(?m)^#.*$", "", (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    )


def test_conda_installs_by_the_same_pins() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    python = next(entry for entry in conda if entry.startswith("python="))
    assert Version(python.removeprefix("python=")) in Requirement(f"python{project()['requires-python']}").specifier
    assert pip["pip"] == ["--constraint constraints.txt", "--editable .[dev]"]
    assert [entry for entry in conda if entry not in (python, "pip")] == [], "pin packages in constraints.txt alone"


def test_make_installs_by_the_same_pins() -> None:
    installs = [line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if "pip install" in line]
    assert installs
    assert all("--constraint constraints.txt" in line for line in installs)


def test_every_dependency_is_used() -> None:
    providers = packages_distributions()
    used = {canonicalize_name(name) for module in imported() for name in providers.get(module, [])}
    idle = set(declared()) - used - set(NOT_IMPORTED)
    assert not idle, f"declared in pyproject.toml, imported nowhere: {sorted(idle)}"
    assert not set(NOT_IMPORTED) & used, "imported by now: take it out of NOT_IMPORTED"
    assert set(NOT_IMPORTED) <= set(declared())


def test_every_import_is_declared() -> None:
    providers = packages_distributions()
    for module in imported():
        owners = {canonicalize_name(name) for name in providers.get(module, [])}
        owners.add(COME_ALONG.get(module, ""))
        assert owners & set(declared()), f"t4r_lab imports {module}, which pyproject.toml does not declare"
