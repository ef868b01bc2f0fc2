"""Every public name of the package says what it is."""

from __future__ import annotations

import ast

from tests.support.house import MODULES


def public_without_docstring(body: list[ast.stmt], prefix: str) -> list[str]:
    """Public functions, classes and methods of a module that have no docstring."""
    names = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None:
                names.append(f"{prefix}{node.name}")
            if isinstance(node, ast.ClassDef):
                names += public_without_docstring(node.body, f"{prefix}{node.name}.")
    return names


def test_every_public_name_has_a_docstring() -> None:
    missing = []
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        missing += [] if ast.get_docstring(tree) else [module]
        missing += public_without_docstring(tree.body, f"{module}.")
    assert missing == []


def test_a_name_without_a_docstring_is_listed() -> None:
    tree = ast.parse("class A:\n  'a'\n  def b(self): ...\n  def _c(self): ...\ndef d(): ...\ndef e(): 'e'")
    assert public_without_docstring(tree.body, "") == ["A.b", "d"]
