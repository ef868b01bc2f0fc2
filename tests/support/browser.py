"""JupyterLab in Chromium, for the tests that drive it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from t4r_lab.data.pipeline.prepare_events import prepare
from t4r_lab.data.pipeline.synthetic import DEMO_SESSIONS, Generator
from t4r_lab.spec.preparation import PrepareOptions
from tests import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NASTY = "<img src=x onerror='window.hit=1'>"
expect.set_options(timeout=60_000)  # it waits for what a page comes to show: messages arrive one after another
NOTEBOOK = ROOT / "notebooks" / "lab.ipynb"


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """JupyterLab without a token, apart from the user's own settings; (address, its folder)."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    root = tmp_path_factory.mktemp("jupyter")
    work = root / "work"
    work.mkdir()
    shutil.copy(NOTEBOOK, work / "lab.ipynb")
    (root / "config").mkdir()
    (root / "config" / "jupyter_server_config.py").write_text(
        "from jupyterlab.galata import configure_jupyter_server\nconfigure_jupyter_server(c)\nc.LabApp.news_url = None\n"
    )
    settings = root / "config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        **{f"JUPYTER_{kind}_DIR": str(root / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")},
        "IPYTHONDIR": str(root / "ipython"),
        "JUPYTER_PATH": str(root / "share"),  # before the environment's kernels
        "OMP_NUM_THREADS": "1",
    }
    log = (root / "server.log").open("w")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--allow-root",
            f"--port={port}",
            f"--notebook-dir={work}",
            "--ServerApp.ip=127.0.0.1",
        ],
        env=environment,
        stdout=log,
        stderr=log,
        cwd=work,
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (root / "server.log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", root
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def server(jupyter: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """JupyterLab whose kernels have a home of their own, one for each module; (address, home).

    It holds less of the built-in data than the front end would prepare, so that trainings take seconds; pictures for
    people show all of them.
    """
    address, root = jupyter
    home = tmp_path_factory.mktemp("home") / "home"
    shop = Generator()
    sessions = DEMO_SESSIONS if os.environ.get("T4R_LAB_SCREENSHOTS") else 800
    prepare(shop.events(sessions), home / "data" / "demo", PrepareOptions(targets=["purchase"]), items=shop.items())
    kernel = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
        "env": {"T4R_LAB_HOME": str(home)},
    }
    folder = root / "share" / "kernels" / "python3"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel.json").write_text(json.dumps(kernel))
    yield address, home
    end_kernels(address)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """For a module, not for all tests: while it runs, no test of its process can run an event loop."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page without a past, and no draft kept from another; what it showed is printed where the test fails."""
    if "server" in request.fixturenames:
        address, home = request.getfixturevalue("server")
        end_kernels(address)  # they would keep theirs
        (home / "draft.json").unlink(missing_ok=True)
    page = new_page(browser)
    with printed_on_failure(page, request):
        yield page
    page.context.close()


def new_page(browser: Any) -> Any:
    height = 2800 if os.environ.get("T4R_LAB_SCREENSHOTS") else 1400  # pictures hold the whole panel
    page = browser.new_page(viewport={"width": 1280, "height": height})
    page.set_default_timeout(60_000)
    return page


@contextmanager
def printed_on_failure(page: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    """Print the text of the page and the errors of its console if the test fails."""
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        shown = page.locator(".t4r-lab").all_inner_texts() or page.locator("body").all_inner_texts()
        print("\n".join(["the page shows:", *shown, "its console said:", *errors[-20:]]))


CONNECTED = """() => {
  const kernel = window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""
"""Idle too: a kernel that is restarted while it starts loses the first thing that it is asked."""
RUN_FIRST_CELL = """() => {
  const app = window.jupyterapp;
  app.shell.currentWidget.content.activeCellIndex = 0;
  void app.commands.execute("notebook:run-cell");
}"""
"""Doesn't wait for the answer, which may never come: `evaluate` has no time limit."""
RESTART = """async () => {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error("no answer to a restart")), 30000));
  await Promise.race([window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(), late]);
}"""
"""Ends with an error where JupyterLab lost its connection: its promise alone would never end, nor would `evaluate`."""


def end_kernels(address: str) -> None:
    """A page that takes up a kernel of another page waits for its state at times in vain."""
    with urllib.request.urlopen(f"{address}/api/sessions", timeout=20) as answer:
        sessions = [session["id"] for session in json.load(answer)]
    for session in sessions:
        request = urllib.request.Request(f"{address}/api/sessions/{session}", method="DELETE")
        urllib.request.urlopen(request, timeout=20).close()


def open_lab(page: Any, address: str) -> Any:
    """Open the notebook with a kernel of its own, run its first cell and wait for the front end with its data."""
    from playwright.sync_api import Error

    for last in (False, True):  # now and then JupyterLab and its server lose each other: the page is loaded again
        end_kernels(address)
        page.goto(f"{address}/lab/tree/lab.ipynb?reset")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        try:
            page.wait_for_function(CONNECTED, timeout=30_000)
            page.evaluate("void window.jupyterapp.commands.execute('application:toggle-left-area')")  # gives room
            theme(page, "JupyterLab Light")  # the server remembers what the last one chose
            return run_first_cell(page, 30_000)
        except Error:
            if last:
                raise


def run_first_cell(page: Any, patience: int = 60_000) -> Any:
    page.evaluate(RUN_FIRST_CELL)
    page.locator(".jp-Notebook .jp-InputPrompt", has_text=re.compile(r"\[\d+\]")).first.wait_for(timeout=patience)
    lab = page.locator(".t4r-lab").first
    lab.wait_for(timeout=patience)
    page.locator(".t4r-header", has_text="sessions").wait_for(timeout=patience)
    return lab


def block(page: Any, key: str) -> Any:
    """The block of the picture with that key."""
    return page.locator(f".t4r-canvas [data-key='{key}']").first


def choose(page: Any, key: str, title: str) -> Any:
    """Choose a block of the picture, and wait for its knobs under their title."""
    block(page, key).click()
    inspector = page.locator(".t4r-inspector")
    inspector.locator(".t4r-block-title", has_text=title).wait_for()
    return inspector


def tab(page: Any, name: str) -> None:
    page.locator(".t4r-lab .lm-TabBar-tab", has_text=re.compile(f"^{name}")).click()


def shoot(page: Any, name: str) -> None:
    """A picture where ``T4R_LAB_SCREENSHOTS`` names a folder."""
    if folder := os.environ.get("T4R_LAB_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.wait_for_timeout(600)  # lets transitions end, for the picture alone
        page.locator(".t4r-lab").first.screenshot(path=str(Path(folder) / f"{name}.png"))


def theme(page: Any, name: str) -> None:
    page.evaluate(f"void window.jupyterapp.commands.execute('apputils:change-theme', {{theme: '{name}'}})")
    page.wait_for_selector(f"body[data-jp-theme-name='{name}']", state="attached")
