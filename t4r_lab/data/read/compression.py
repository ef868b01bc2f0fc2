"""Files as they are, or compressed by gzip, zstd or bzip2: told by their first bytes, whatever they are called."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from t4r_lab.base.errors import InputError, first_line

COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
"""First bytes → what pyarrow calls the compression."""
ARCHIVES = {b"PK\x03\x04": "zip", b"\xfd7zXZ\x00": "xz", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "rar"}
"""First bytes → what has to be unpacked first."""
WORKBOOKS = {".xlsx", ".xlsm", ".xlsb", ".ods"}
"""Endings of zip archives that a spreadsheet program has written."""


def compression(path: Path) -> str | None:
    """How a file is compressed.

    Raises
    ------
    InputError
        for an archive that has to be unpacked first.
    """
    with path.open("rb") as file:
        start = file.read(8)
    for magic, name in ARCHIVES.items():
        if start.startswith(magic):
            if name == "zip" and path.suffix.lower() in WORKBOOKS:
                raise InputError(path, "is a spreadsheet's workbook", "save the sheet as CSV, and give that file")
            raise InputError(path, f"is a {name} archive", "unpack it, and give the file in it")
    return next((name for magic, name in COMPRESSED.items() if start.startswith(magic)), None)


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its first bytes or its name."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1" or path.suffix == ".parquet"


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed as they are read."""
    codec = compression(path)
    if codec is None:
        with path.open("rb") as file:
            yield file
        return
    import pyarrow as pa

    with pa.input_stream(str(path), compression=codec) as stream:
        yield io.BufferedReader(stream, 1 << 20)


@contextmanager
def opened_text(path: Path, newline: str | None = None) -> Iterator[IO[str]]:
    """The file as text; what isn't UTF-8 is replaced."""
    with opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", "replace", newline) as text:
        yield text


def whole(path: Path) -> Path | bytes:
    """What polars reads a file from: the path itself, or all that a compressed file holds."""
    if compression(path) is None:
        return path
    with opened(path) as file:
        return file.read()


def damaged(path: Path, error: OSError) -> InputError:
    """The refusal of a file that could not be read to its end."""
    codec = compression(path)
    if codec is not None and error.errno is None:
        return InputError(
            path,
            f"its {codec} compression is cut off or damaged ({first_line(error)})",
            "fetch or compress the file again",
        )
    words = error.strerror or first_line(error)
    return InputError(path, f"cannot be read ({words})", "check the file")
