"""Everything that differs between operating systems: locks, processes, folders on the disk, permissions.

Linux is tested, and macOS provides all of it. On Windows everything imports and runs in the foreground; background
work, by `start_detached`, needs WSL.
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
"""Error numbers of kernels and file systems that can't exchange names."""


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file; False if another holds it. It is freed with the last copy of the descriptor."""
    from filelock import lock_descriptor

    return lock_descriptor(descriptor, blocking=False)


def is_held(descriptor: int) -> bool:
    """True if another holds the lock of an open file; simultaneous tests don't interfere, except on Windows."""
    try:
        import fcntl
    except ImportError:  # Windows: the test takes the lock for a moment
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


def exchange(first: Path, second: Path) -> bool:
    """Exchange the names of two files or folders in one step; False if the system or the disk can't."""
    names = os.fsencode(first), os.fsencode(second)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = libc.renamex_np(*names, 2)  # RENAME_SWAP
        else:
            working, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
            failed = libc.renameat2(working, names[0], working, names[1], swap)
    except (AttributeError, OSError, TypeError):  # an older C library, or none
        return False
    if failed and ctypes.get_errno() not in _UNABLE:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(second))
    return not failed


def limits_files() -> bool:
    """True if this process may write files up to a certain size only, as ``ulimit -f`` sets it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return False
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


# ── processes ───────────────────────────────────────────────────────────────────────────────────


def start_detached(
    command: Sequence[str], lock: int, log: IO[bytes], environment: Mapping[str, str], folder: str | Path | None = None
) -> None:
    """Start `command` in `folder` with the descriptor of a `lock`, unaffected by interrupts or the end of this process.

    Raises
    ------
    InputError
        on Windows, where a lock can't be inherited.
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
    """Start `command` with a pipe to its input; Ctrl-C in the terminal doesn't reach it: this process ends it."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=answer,
        stderr=log,
        start_new_session=not WINDOWS,
        env=environment,
        text=True,
    )


def available_processors() -> int:
    """The number of processors in the CPU set of this process, or of the machine on systems without CPU sets."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def stop_as_interrupted() -> None:
    """Handle SIGTERM, as of a shutdown, like Ctrl-C from now on: work stops after the batch."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def is_superuser() -> bool:
    """True for root, who ignores file permissions; False on systems without user ids."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


@lru_cache(maxsize=1)
def _host() -> str:
    """An id of this machine or container, within which process ids are unique."""
    try:
        processes = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        processes = ""
    return hashlib.sha256(f"{socket.gethostname()} {processes}".encode()).hexdigest()[:8]


def owner() -> str:
    """A name of this process for `is_dead`, in letters, digits and dashes: its host, id and start."""
    return _owner(os.getpid())


@lru_cache(maxsize=1)
def _owner(pid: int) -> str:
    import psutil

    return f"{_host()}-{pid}-{psutil.Process(pid).create_time():.0f}"


def is_dead(owner: str) -> bool:
    """True if the process of an `owner` has certainly ended; False for processes of other hosts."""
    import psutil

    host, _, process = owner.partition("-")
    number, _, began = process.partition("-")
    if host != _host() or not (number.isdecimal() and began.isdecimal()):
        return False
    try:
        created: float = psutil.Process(int(number)).create_time()
        return abs(created - int(began)) > 2  # a later process has its id
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
