"""Every notebook runs from top to bottom in a kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

pytestmark = pytest.mark.notebook

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_is_the_front_end() -> None:
    assert "lab.ipynb" in [p.name for p in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_and_is_stored_without_outputs(path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()


def test_the_lab_command_starts_jupyterlab_for_any_user(tmp_path: Path) -> None:
    """Also for root, as in a container, whom JupyterLab alone refuses."""
    places = {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in ("RUNTIME", "CONFIG", "DATA")}
    server = subprocess.Popen(
        [sys.executable, "-m", "t4r_lab", "lab"],
        cwd=tmp_path,
        env=os.environ | places | {"BROWSER": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert server.stdout is not None
    try:
        output = []
        for line in server.stdout:
            output.append(line)
            if "/lab?token=" in line:
                break
        else:
            raise AssertionError("".join(output))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    assert (tmp_path / "lab.ipynb").exists()
