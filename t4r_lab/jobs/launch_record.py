"""What a job keeps of the process that launched it, so that whoever starts its worker later does so alike."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from t4r_lab import __version__
from t4r_lab.base.documents import Document

PROCESSORS = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that a job keeps from its launch; no others, since a file could name a program."""
SHARED = "T4R_LAB_SHARES_THE_CORES"
"""Variable of a worker whose OMP_WAIT_POLICY was chosen by `worker_environment`."""
PACKAGE = Path(__file__).parent.parent.parent


def launch_record(home: Path) -> Document:
    """The record of a job of `home` that this process launches."""
    processors = {name: os.environ[name] for name in PROCESSORS if name in os.environ}
    at = {"cwd": os.getcwd(), "home": str(home.resolve()), "server": _server()}
    return {**at, "version": __version__, "processors": processors}


def is_of(record: Document, home: Path) -> bool:
    """True if the record was made in this `home`, not copied with it, for the tracking server that is set here."""
    return record.get("home") == str(home.resolve()) and record.get("server", "") == _server()


def working_directory(record: Document, home: Path) -> Path:
    """The directory of the launch; the `home` if that has gone, since it may have been moved."""
    launched_in = Path(record.get("cwd", ""))
    return launched_in if launched_in.is_absolute() and launched_in.is_dir() else home


def worker_environment(record: Document, is_shared: bool) -> dict[str, str]:
    """The environment of a worker; `is_shared` where another job computes at the same time."""
    processors = record.get("processors", {})
    kept = {name: str(processors[name]) for name in PROCESSORS if name in processors}
    path = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **kept, "PYTHONPATH": path}
    # Threads that spin while they wait are a third faster alone, but take the cores from another job: two at once
    # were four times slower. If those of the later job sleep instead, neither is slowed down.
    if is_shared and "OMP_WAIT_POLICY" not in environment:
        environment |= {"OMP_WAIT_POLICY": "passive", SHARED: "1"}
    return environment


def _server() -> str:
    """The address of the tracking server that is set here, without the name and password that it may hold."""
    from t4r_lab import tracking

    address = urlsplit(tracking.server())
    return urlunsplit(address._replace(netloc=address.netloc.rpartition("@")[2], query=""))
