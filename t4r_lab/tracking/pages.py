"""MLflow's own pages on the record: their addresses, and the server that shows them."""

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
"""How long the server may take to answer; usually 10."""


def page(home: Path, address: str, run_id: str | None = None) -> str:
    """The address of all runs, or of one. (Without the type they would open among MLflow's pages for chat models.)"""
    _, experiment = tracking.client_of(home)
    return f"{address}/#/experiments/{experiment}/runs{f'/{run_id}' if run_id else ''}?workflowType=machine_learning"


def remote(home: Path) -> str | None:
    """The server that holds the record, where one does."""
    address = tracking.database(home)
    return address if address.startswith("http") else None


def elsewhere(page: str) -> str:
    """What to do where the browser is on another machine than the `page`; nothing for a server that all reach."""
    where = urlsplit(page)
    if where.hostname != "127.0.0.1":
        return ""
    tunnel = f"ssh -N -L {where.port}:127.0.0.1:{where.port} {socket.gethostname()}"
    return f"answers on this machine alone: where the browser is on another one, first run there: {tunnel}"


def command(home: Path, port: int) -> list[str]:
    """The Python module that serves the record of `home`, with its options; one process for one user, not four."""
    return ["mlflow", "ui", "--backend-store-uri", tracking.database(home), "--port", str(port), "--workers", "1"]


def environment() -> dict[str, str]:
    """Settings under which it starts quickly and stays small; the user's own come first."""
    return {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", **os.environ}


class Server:
    """MLflow's pages, started when first asked for; they end with this process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def address(self) -> str:
        """Where the pages answer; starts the server if need be and waits for it.

        Raises
        ------
        InputError
            if it does not come up.
        """
        if (there := remote(self.home)) is not None:
            return there
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
        raise InputError("", "MLflow's pages did not start", "see why with `t4r-lab ui`")

    def close(self) -> None:
        """End the server's process, waiting up to 10 seconds."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process = None
