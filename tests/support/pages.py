"""The worked examples of the pages "add a …": put into a copy of the package as the page says, and used there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import t4r_lab
from tests import ROOT

PACKAGE = Path(t4r_lab.__file__).parent
FENCE = re.compile(r"`(t4r_lab/[\w/.]+)`[^`]*?\n\n```(python|diff)\n(.*?)```", re.DOTALL)
"""A file that a sentence names, and the block behind it: the whole file, or what changes in it."""


def package(folder: Path) -> Path:
    """A copy of the package in `folder`, compiled as the original is."""
    shutil.copytree(PACKAGE, folder / "t4r_lab")
    return folder


def change(folder: Path, page: str) -> list[str]:
    """Change the package in `folder` as the page of that name says; the files that it touches."""
    touched = []
    for name, kind, text in FENCE.findall((ROOT / "docs" / page).read_text(encoding="utf-8")):
        file = folder / name
        if kind == "python":
            assert not file.exists(), name
            file.write_text(text, encoding="utf-8")
        else:
            file.write_text(patched(file.read_text(encoding="utf-8"), text), encoding="utf-8")
        touched.append(name)
    return sorted(set(touched))


def patched(text: str, diff: str) -> str:
    """`text` with each part of `diff`, which ``…`` parts, in the place of its lines without a plus."""
    for part in filter(None, diff.split("…\n")):
        lines = part.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if not line.startswith("+"))
        assert text.count(before) == 1, f"{text.count(before)} times in the file:\n{before}"
        text = text.replace(before, "".join(line[1:] for line in lines if not line.startswith("-")))
    return text


def answer(folder: Path, program: str) -> Any:
    """What `program` prints last, as JSON, run with the package in `folder`."""
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
