"""Plain files, or files compressed by gzip, zstd or bzip2, recognized by their first bytes whatever the name."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from t4r_lab.base.errors import InputError, first_line

COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
"""First bytes → name of the compression in pyarrow."""
ARCHIVES = {b"PK\x03\x04": "zip", b"\xfd7zXZ\x00": "xz", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "rar"}
"""First bytes → name of an archive format, which must be unpacked first."""
WORKBOOKS = {".xlsx", ".xlsm", ".xlsb", ".ods"}
"""Endings of zip archives that are spreadsheets."""


def compression(path: Path) -> str | None:
    """Return the compression of a file, or None.

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
    """True for a Parquet file, by its first bytes or its name."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1" or path.suffix == ".parquet"


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file as a stream of bytes, decompressed while reading."""
    codec = compression(path)
    if codec is None:
        with path.open("rb") as file:
            yield file
        return
    import pyarrow as pa

    with pa.input_stream(str(path), compression=codec) as stream:
        yield io.BufferedReader(stream, 1 << 20)


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[IO[str]]:
    """Open a file as text; invalid UTF-8 is replaced."""
    with open_bytes(path) as file, io.TextIOWrapper(file, "utf-8-sig", "replace", newline) as text:
        yield text


def polars_source(path: Path) -> Path | bytes:
    """Return the source for polars: the path itself, or the decompressed content."""
    if compression(path) is None:
        return path
    with open_bytes(path) as file:
        return file.read()


def damage_refusal(path: Path, error: OSError) -> InputError:
    """Return the refusal of a file that could not be read completely."""
    codec = compression(path)
    if codec is not None and error.errno is None:
        return InputError(
            path,
            f"its {codec} compression is cut off or damaged ({first_line(error)})",
            "fetch or compress the file again",
        )
    words = error.strerror or first_line(error)
    return InputError(path, f"cannot be read ({words})", "check the file")
