"""What systems do differently, in this one place: locks, processes, folders on the disk, rights.

Linux is what is tested, and macOS has all of it. On Windows everything imports and runs in the foreground; what stands
behind `apart` needs WSL.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO

from t4r_lab.base.errors import InputError

WINDOWS = os.name == "nt"
_UNABLE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM)
"""How a kernel or a file system says that it can't exchange names."""


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file, unless somebody else has it; it goes with the last copy of the descriptor."""
    from filelock import lock_descriptor

    return lock_descriptor(descriptor, blocking=False)


def is_held(descriptor: int) -> bool:
    """Whether another has the lock of an open file; those who look at once don't take each other for it."""
    try:
        import fcntl
    except ImportError:  # on Windows they may, for a moment
        return not try_lock(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if WINDOWS and path.is_dir():
        return  # its folders can't be opened
    descriptor = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange(one: Path, other: Path) -> bool:
    """Give two files or folders each other's name in one step; False where the system or the disk can't."""
    names = os.fsencode(one), os.fsencode(other)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = libc.renamex_np(*names, 2)  # RENAME_SWAP
        else:
            here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
            failed = libc.renameat2(here, names[0], here, names[1], swap)
    except (AttributeError, OSError, TypeError):  # an older C library, or none
        return False
    if failed and ctypes.get_errno() not in _UNABLE:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    return not failed


# ── processes ───────────────────────────────────────────────────────────────────────────────────


def apart(
    command: Sequence[str], lock: int, log: IO[bytes], environment: Mapping[str, str], folder: str | Path | None = None
) -> None:
    """Start `command` in `folder` with the descriptor of a `lock`, out of reach of this process's interrupts and end.

    Raises
    ------
    InputError
        on Windows, where no lock can be handed on.
    """
    if WINDOWS:
        raise InputError("the background", "Windows can't hand a lock on", "use WSL, or train in the foreground")
    subprocess.Popen(
        command,
        pass_fds=[lock],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        cwd=folder,
        env=environment,
    )


def start_worker(
    command: Sequence[str], answer: IO[str], log: IO[str], environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start `command`, a pipe to its input, out of reach of the terminal's Ctrl-C: this process ends it."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=answer,
        stderr=log,
        start_new_session=not WINDOWS,
        env=environment,
        text=True,
    )


def processors_given() -> int:
    """Those of the machine, or of the CPU set of this process where the system has such."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def stop_as_interrupted() -> None:
    """From here on a shutdown (SIGTERM) too stops after the batch, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def is_superuser() -> bool:
    """True for root, whom file permissions don't stop; False on systems without user ids."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


@lru_cache(maxsize=1)
def _host() -> str:
    """This machine, or this container on it: where process ids mean the same."""
    try:
        processes = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        processes = ""
    return hashlib.sha256(f"{socket.gethostname()} {processes}".encode()).hexdigest()[:8]


def owner() -> str:
    """This process for others to ask about, in letters, digits and dashes: its host, id and beginning."""
    return _owner(os.getpid())


@lru_cache(maxsize=1)
def _owner(pid: int) -> str:
    import psutil

    return f"{_host()}-{pid}-{psutil.Process(pid).create_time():.0f}"


def is_dead(owner: str) -> bool:
    """Whether the process of an `owner` is certain to have ended: of another host's one can't know."""
    import psutil

    host, _, process = owner.partition("-")
    number, _, began = process.partition("-")
    if host != _host() or not (number.isdecimal() and began.isdecimal()):
        return False
    try:
        created: float = psutil.Process(int(number)).create_time()
        return abs(created - int(began)) > 2  # another one has its number now
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
