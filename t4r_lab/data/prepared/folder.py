"""Prepared folders: written completely or not at all, and checked when opened."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from t4r_lab.base import homes, system
from t4r_lab.base.checksums import Sums, from_json, measure, to_json, verify
from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError
from t4r_lab.base.files import left_behind, scratch, sweep
from t4r_lab.data.sessions.arrays import PARTS, Sessions, Texts

FORMAT = "t4r-lab prepared data"
VERSION = 2
MANIFEST = "manifest.json"
OLD = ".old"
"""Suffix of the name of data that are being replaced."""
LITTER = frozenset((".DS_Store", ".ipynb_checkpoints", "Thumbs.db", "desktop.ini"))
"""Files that file managers and JupyterLab leave in folders they open."""
REQUIRED = ("schema.json", "items.parquet", "profile.json")
"""Files that every prepared folder has beside the parts."""


@dataclass(frozen=True)
class Manifest:
    """The content of a prepared folder: file → (bytes, SHA-256), the digest over all, and the kind of split."""

    files: Sums
    digest: str
    split: str


def part_file(name: str) -> str:
    """The file name of a part."""
    return f"{name}.arrow"


# ── Sessions ────────────────────────────────────────────────────────────────────────────────────


def write_sessions(sessions: Sessions, path: Path) -> None:
    """Write one part as an Arrow file: one batch, a row per session, events as lists, uncompressed."""
    offsets = pa.array(sessions.offsets)
    columns = {
        "session": pa.array(np.asarray(sessions.ids), pa.large_string()),
        "target_start": pa.array(sessions.target_start),
    }
    columns |= {name: pa.array(values) for name, values in sessions.context.items()}
    for name, values in sessions.values.items():
        columns[name] = pa.LargeListArray.from_arrays(offsets, pa.array(values))
    batch = pa.record_batch(columns)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def read_sessions(path: Path) -> Sessions:
    """Read the sessions that `write_sessions` wrote.

    The arrays are memory-mapped: the system loads pages as they are read and may drop them again.
    """
    batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    ids, target_start = columns.pop("session"), columns.pop("target_start")
    lists = {name: column for name, column in columns.items() if pa.types.is_large_list(column.type)}
    return Sessions(
        values={name: column.values.to_numpy() for name, column in lists.items()},
        offsets=lists["item_id"].offsets.to_numpy(),
        target_start=target_start.to_numpy(),
        context={name: column.to_numpy() for name, column in columns.items() if name not in lists},
        ids=Texts(ids),
    )


# ── Writing ─────────────────────────────────────────────────────────────────────────────────────


def check_target(out: Path) -> None:
    """Refuse a folder that holds anything but prepared data, since writing replaces it.

    Raises
    ------
    InputError
        before any work is done.
    """
    try:
        if not out.exists():
            return
    except OSError as error:  # such as a name that is too long
        raise InputError(out, f"cannot be written ({error.strerror})", "choose another --out") from None
    if not out.is_dir():
        raise InputError(out, "is a file", "give a new or empty folder as --out")
    files = _files(out)
    if not files:
        return
    try:
        listed = read_manifest(out).files
    except InputError:
        raise InputError(
            out, "is not empty and holds no prepared data", "give a new or empty folder as --out"
        ) from None
    foreign = sorted(files - set(listed) - {MANIFEST})
    if foreign:
        raise InputError(out / foreign[0], "is not part of the prepared data it lies in", "move it before replacing")


@contextmanager
def write_atomically(
    out: Path, split: str, may_replace: Callable[[str, str], None] = lambda old, new: None
) -> Iterator[Path]:
    """Yield a folder to write into, which replaces `out` at the end of the block.

    On failure, `out` stays as it was and nothing else is left behind. `may_replace` gets the digests of the old data
    in `out` and of the new data, and raises if the old data must stay.

    Raises
    ------
    InputError
        if the disk is full or write-protected.
    """
    out = Path(os.path.realpath(out) if out.is_symlink() else os.path.abspath(out))
    check_target(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        restore(out)
        sweep(out.parent, out.name, OLD)
        with scratch(out.parent, out.name) as temporary:
            temporary.chmod(0o755)
            yield temporary
            _write_manifest(temporary, split)
            if (out / MANIFEST).is_file():
                may_replace(read_manifest(out).digest, read_manifest(temporary).digest)
            _replace(temporary, out)
    except Exception as error:
        if (refusal := _disk_refusal(error, out)) is None:
            raise
        raise refusal from None


def _replace(temporary: Path, out: Path) -> None:
    """Replace `out` by `temporary`: atomically if the system can, so that a killed process leaves either old or new.

    Otherwise in two steps; if the second fails, the first is undone here, or later by `restore`.
    """
    if not out.exists():
        temporary.rename(out)
    elif not system.exchange(temporary, out):
        old = temporary.with_suffix(OLD)
        out.rename(old)
        try:
            temporary.rename(out)
        except BaseException:
            old.rename(out)
            raise
        shutil.rmtree(old, ignore_errors=True)


def restore(out: Path) -> None:
    """Restore data that a process moved away before it was killed."""
    if not os.path.lexists(out):
        for old in left_behind(out.parent, out.name, OLD)[-1:]:
            old.rename(out)


def _disk_refusal(error: Exception, out: Path) -> InputError | None:
    """The error as a refusal if the disk is the reason, else None."""
    if reason := homes.no_room(error):
        problem, remedy = reason
        if problem == homes.FULL:
            disk = _nearest(out)
            problem += f" ({_mount(disk)} has {shutil.disk_usage(disk).free / 1000000.0:,.0f} MB free)"
            remedy += " or choose another --out"
        return InputError(out, problem, remedy)
    if isinstance(error, OSError) and error.errno in (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
    ):
        return InputError(out, f"cannot be written ({error.strerror})", "choose another --out")
    return None


def _nearest(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if p.exists())


def _mount(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if os.path.ismount(p) or p == p.parent)


def _write_manifest(folder: Path, split: str) -> None:
    files = measure(folder, _files(folder))
    content = {
        "format": FORMAT,
        "version": VERSION,
        "digest": _digest(files),
        "split": split,
        "files": to_json(files),
    }
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _digest(files: Sums) -> str:
    return hashlib.sha256("".join(f"{name} {sha}\n" for name, (_, sha) in sorted(files.items())).encode()).hexdigest()


# ── Checking ────────────────────────────────────────────────────────────────────────────────────


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a prepared folder.

    Raises
    ------
    InputError
        if there is none, or it isn't a manifest of prepared data.
    """
    path, remedy = folder / MANIFEST, "run `t4r-lab prepare` to make it"
    with suppress(OSError):  # such as a name that is too long
        restore(Path(os.path.abspath(folder)))
    if not folder.exists():
        raise InputError(folder, "no such folder of prepared data", remedy)
    if not path.is_file():
        raise InputError(folder, f"holds no prepared data ({MANIFEST} is missing)", remedy)
    try:
        content = read_json(path.read_text(encoding="utf-8"), str(path))
        if content["format"] != FORMAT:
            raise ValueError
        version = int(content["version"])
        manifest = Manifest(from_json(content["files"]), str(content["digest"]), str(content["split"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(path, "is not a manifest of prepared data", "prepare the data again") from None
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check its permissions") from None
    if version != VERSION:
        raise InputError(path, f"has format version {version}, this t4r-lab reads {VERSION}", "prepare the data again")
    return manifest


def check_folder(folder: Path) -> Manifest:
    """Check every file of a prepared folder against its manifest, and return the manifest.

    Raises
    ------
    InputError
        naming the first file that is missing, foreign or changed.
    """
    manifest = read_manifest(folder)
    try:
        _check_files(folder, manifest)
    except InputError:
        if read_manifest(folder).digest == manifest.digest:
            raise
        return check_folder(folder)  # the data were replaced while they were read
    return manifest


@contextmanager
def unchanged(folder: Path, digest: str) -> Iterator[None]:
    """Refuse what was read from a prepared folder in the block, if it is no longer the data of `digest`.

    Since a folder is replaced as a whole, and read by its name, data that have the digest after they were read had it
    before. Arrays stay what they are: the system keeps a file that is mapped.

    Raises
    ------
    InputError
        if other data were prepared into the folder, whatever else was wrong with what was read.
    """
    try:
        yield
    finally:
        if read_manifest(folder).digest != digest:
            raise InputError(folder, "the data were prepared again since they were opened", "open them again")


def _check_files(folder: Path, manifest: Manifest) -> None:
    """Refuse a folder whose files are not those of its manifest."""
    again = "prepare the data again"
    listed, files = set(manifest.files), _files(folder) - {MANIFEST}
    required = {*REQUIRED, *map(part_file, PARTS)}
    for name in sorted((listed | required) - files):
        raise InputError(folder / name, "is missing", again)
    for name in sorted(files - listed):
        raise InputError(folder / name, "is not part of the prepared data", "move it elsewhere")
    verify(folder, manifest.files, again)
    if _digest(manifest.files) != manifest.digest:
        raise InputError(folder / MANIFEST, "is corrupt (the digest does not fit its files)", again)


def _files(folder: Path) -> set[str]:
    """Relative paths of all files below `folder`, with forward slashes, without `LITTER`."""
    paths = (p.relative_to(folder) for p in folder.rglob("*") if not p.is_dir())
    return {p.as_posix() for p in paths if not LITTER.intersection(p.parts)}
