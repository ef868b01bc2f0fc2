"""A page's change of the package, applied to a copy, which a process of its own then uses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests import ROOT
from tests.support.pages import answer, package


def hunks(page: str) -> dict[str, list[tuple[str, str]]]:
    """File → (lines before, lines after) of each change, by the diffs and whole files of `page` in docs/."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    whole = re.findall(r"This is `(\S+)`, whole:\n\n```python\n(.*?)```", text, re.DOTALL)
    changes = {name: [("", content)] for name, content in whole}
    for diff in re.findall(r"```diff\n(.*?)```", text, re.DOTALL):
        head, *bodies = re.split(r"^@@\n", diff, flags=re.MULTILINE)
        name = re.search(r"^\+\+\+ b/(\S+)$", head, re.MULTILINE)
        assert name is not None and bodies
        for body in bodies:
            lines = body.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] != "+")
            after = "".join(line[1:] for line in lines if line[0] != "-")
            changes.setdefault(name[1], []).append((before, after))
    return changes


def use_changed(page: str, program: str, folder: Path) -> dict[str, Any]:
    """What `program` prints as JSON, run in a copy of the package with the change of `page`; `folder` is its argument."""
    package(folder)
    for name, changes in hunks(page).items():
        path = folder / name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for before, after in changes:
            assert text.count(before) == 1 or (not before and not text), f"{page} doesn't fit {name}: {before}"
            text = text.replace(before, after) if before else after
        path.write_text(text, encoding="utf-8")
    found: dict[str, Any] = answer(folder, program)
    return found
