"""Checksums, by which changes to the files of a folder are detected."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError

CHECKSUMS = "checksums.json"
Sums = dict[str, tuple[int, str]]
"""File, relative and with forward slashes → its bytes and its SHA-256 in hexadecimal."""


def measure(folder: Path, names: Iterable[str]) -> Sums:
    """Bytes and SHA-256 of the files `names` of a folder, sorted by name."""
    return {name: ((folder / name).stat().st_size, _sha256(folder / name)) for name in sorted(names)}


def to_json(sums: Mapping[str, tuple[int, str]]) -> dict[str, dict[str, object]]:
    """Checksums as JSON content: name → its size in ``bytes`` and its ``sha256`` in hexadecimal."""
    return {name: {"bytes": size, "sha256": sha} for name, (size, sha) in sums.items()}


def from_json(content: Mapping[str, Mapping[str, object]]) -> Sums:
    """The checksums in content of `to_json`; other content is a KeyError, TypeError, ValueError or AttributeError."""
    return {str(name): (int(str(sum["bytes"])), str(sum["sha256"])) for name, sum in content.items()}


def verify(folder: Path, sums: Mapping[str, tuple[int, str]], remedy: str) -> None:
    """Compare every file of `sums` in a folder with its checksum.

    Raises
    ------
    InputError
        that names the first file which is missing, unreadable or changed.
    """
    for name, (size, sha) in sums.items():
        path = folder / name
        try:
            actual = path.stat().st_size
            if actual != size:
                raise InputError(path, f"is corrupt ({actual:,} bytes, {size:,} were written)", remedy)
            if _sha256(path) != sha:
                raise InputError(path, "is corrupt (its checksum is not the one written)", remedy)
        except FileNotFoundError:
            raise InputError(path, "is missing", remedy) from None
        except OSError as error:
            raise InputError(path, f"cannot be read ({error.strerror})", "check its permissions") from None


def seal(folder: Path) -> None:
    """Write the checksums of all files below `folder` into it."""
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != CHECKSUMS]
    content = to_json(measure(folder, names))
    (folder / CHECKSUMS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def check_seal(folder: Path, remedy: str) -> None:
    """Compare the files of a folder with the checksums that `seal` wrote.

    Raises
    ------
    InputError
        that names the first file which is missing, unreadable or changed, including that of the checksums.
    """
    path = folder / CHECKSUMS
    try:
        sums = from_json(read_json(path.read_text(encoding="utf-8"), str(path)))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(path, "is corrupt", remedy) from None
    except FileNotFoundError:
        raise InputError(path, "is missing", remedy) from None
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check its permissions") from None
    verify(folder, sums, remedy)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
