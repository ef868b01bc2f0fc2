"""MLflow's server for tests, stopped and started again within moments: ``python -m tests.support.mlflow_server PORT``.

The server is a fork of this process, which has imported MLflow but opened nothing, so that it answers at once instead
of after the seconds that importing takes. It starts and stops as the lines of standard input say, and ends with them.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from t4r_lab.base import homes
from t4r_lab.tracking import pages


class Server:
    """One with all it has in `folder`, which keeps its address."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, folder / "files"
        self.files.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        variables = {
            "_MLFLOW_SERVER_FILE_STORE": homes.sqlite_url(folder / "server.db"),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(self.files),
        }
        with (folder / "log.txt").open("ab") as log:
            self._nursery = subprocess.Popen(
                [sys.executable, "-m", "tests.support.mlflow_server", str(self.port)],
                env=pages.environment() | variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def start(self) -> None:
        self._say("start")
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self._nursery.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=5):
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log.txt").read_text())

    def stop(self) -> None:
        """At once, in midst of whatever it is asked."""
        self._say("stop")

    def close(self) -> None:
        self._nursery.communicate(timeout=20)

    def requests(self, method: str) -> Counter[str]:
        """How often each address was asked for since the last call."""
        log = self.folder / "log.txt"
        requests = Counter(re.findall(rf'"{method} (\S+) HTTP', log.read_text()))
        log.write_text("")  # it is opened to append
        return requests

    def _say(self, word: str) -> None:
        assert self._nursery.stdin is not None and self._nursery.stdout is not None
        self._nursery.stdin.write(f"{word}\n")
        self._nursery.stdin.flush()
        assert self._nursery.stdout.readline() == f"{word}\n", (self.folder / "log.txt").read_text()


def serve(port: int) -> NoReturn:
    import uvicorn
    from mlflow.server.fastapi_app import app

    os.dup2(2, 1)  # which carries the answers of the process that it is a fork of
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="info")
    os._exit(0)


def main(port: int) -> None:
    import mlflow.server.fastapi_app
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    import uvicorn  # noqa: F401

    pid = 0
    for line in sys.stdin:
        if line.strip() == "start":
            pid = os.fork() or serve(port)
        else:
            end(pid)
            pid = 0
        print(line, end="", flush=True)
    end(pid)


def end(pid: int) -> None:
    if pid:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
    os._exit(0)  # there is nothing to tidy up, which takes seconds
