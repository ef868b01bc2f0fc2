"""The worked examples of the pages "add a …": put into a copy of the package as the page says, and used there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import t4r_lab
from t4r_lab.tracking import record_file
from tests import ROOT
from tests.support.record import empty_database

PACKAGE = Path(t4r_lab.__file__).parent
FENCE = re.compile(r"`(t4r_lab/[\w/.]+)`[^`]*?\n\n```(python|diff)\n(.*?)```", re.DOTALL)
"""A file that a sentence names, and the block behind it: the whole file, or what changes in it."""


def touched(page: str) -> list[str]:
    """The files of the package that the example of `page` in docs/ makes or changes."""
    return sorted({name for name, _, _ in _examples(page)})


def use(pages: Sequence[str], program: str, folder: Path) -> dict[str, Any]:
    """What `program` prints last, as JSON, run in `folder` with a copy of the package changed as `pages` say.

    The copy is compiled as the original is; `folder` is the program's argument, in which ``home`` has an empty record.
    """
    shutil.copytree(PACKAGE, folder / "t4r_lab")
    for page in pages:
        for name, kind, text in _examples(page):
            file = folder / name
            if kind == "python":
                assert not file.exists(), name
                file.write_text(text, encoding="utf-8")
            else:
                file.write_text(patched(file.read_text(encoding="utf-8"), text), encoding="utf-8")
    (folder / "home").mkdir()
    shutil.copyfile(empty_database(folder), record_file.database_file(folder / "home"))
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed


def _examples(page: str) -> list[tuple[str, str, str]]:
    """File, ``python`` or ``diff``, and text of each block of `page` that a file is named for."""
    examples: list[tuple[str, str, str]] = FENCE.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    return examples


def patched(text: str, diff: str) -> str:
    """`text` with each part of `diff`, which ``…`` parts, in the place of its lines without a plus."""
    for part in filter(None, diff.split("…\n")):
        lines = part.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if not line.startswith("+"))
        assert text.count(before) == 1, f"{text.count(before)} times in the file:\n{before}"
        text = text.replace(before, "".join(line[1:] for line in lines if not line.startswith("-")))
    return text
