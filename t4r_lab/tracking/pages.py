"""The MLflow UI on the record: addresses of its pages, and the server that shows them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from t4r_lab import tracking
from t4r_lab.base.errors import InputError

SECONDS = 60
"""Seconds within which the server must start; usually it takes 10."""


def page(home: Path, address: str, run_id: str | None = None) -> str:
    """The address of the page of all runs, or of one run.

    Without the type of workflow, MLflow would open its pages for chat models.
    """
    _, experiment = tracking.client_of(home)
    return f"{address}/#/experiments/{experiment}/runs{f'/{run_id}' if run_id else ''}?workflowType=machine_learning"


def remote(home: Path) -> str | None:
    """The address of the server that holds the record; None for a record in the home."""
    address = tracking.database(home)
    return address if address.startswith("http") else None


def tunnel_hint(page: str) -> str:
    """A hint for a browser on another machine than the `page`; empty for a server that others can reach."""
    url = urlsplit(page)
    if url.hostname != "127.0.0.1":
        return ""
    tunnel = f"ssh -N -L {url.port}:127.0.0.1:{url.port} {socket.gethostname()}"
    return (
        f"is available on this machine alone; if the browser runs on another machine, first run on that one: {tunnel}"
    )


def command(home: Path, port: int) -> list[str]:
    """The Python module that serves the record of `home`, with its options: one worker, not MLflow's four."""
    return ["mlflow", "ui", "--backend-store-uri", tracking.database(home), "--port", str(port), "--workers", "1"]


def environment() -> dict[str, str]:
    """Environment with settings for a quick start and less memory; the user's settings take precedence."""
    return {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", **os.environ}


class Server:
    """Server of the MLflow UI, started at first use; it ends with this process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def address(self) -> str:
        """The address of the pages; starts the server if needed and waits for it.

        Raises
        ------
        InputError
            if the server does not start.
        """
        if (address := remote(self.home)) is not None:
            return address
        if self._process is None or self._process.poll() is not None:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._port = probe.getsockname()[1]
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command(self.home, self._port)],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return f"http://127.0.0.1:{self._port}"
            time.sleep(0.1)
        self.close()
        raise InputError("", "the MLflow UI did not start", "see why with `t4r-lab ui`")

    def close(self) -> None:
        """End the server's process, waiting up to 10 seconds."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process = None
