"""JSON lines, or a list of JSON objects: each an event, or a session with its events."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError, first_line
from t4r_lab.data.read.compression import open_bytes, open_text
from t4r_lab.data.read.delimited import LINE, read_lines
from t4r_lab.data.read.frames import REFUSALS, long_as_text

LINES = {".jsonl", ".ndjson"}
"""Endings of JSON lines, before that of a compression."""
HALF = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
"""What may be half of a surrogate pair, which polars takes for a character of its own."""


def is_json(path: Path, head: list[str]) -> bool:
    """True for a JSON file, by its first nonblank lines or its name."""
    begin = "".join(head[:2]).replace(" ", "")
    return begin.startswith(("{", "[{")) or not {".json", *LINES}.isdisjoint(path.suffixes)


def is_objects(path: Path, head: list[str]) -> bool:
    """True if JSON holds records: an object per line, or objects in a list."""
    first, second = head[0].strip(), "".join(head[1:2]).strip()
    if first.startswith("["):
        return True
    return not LINES.isdisjoint(path.suffixes) or (first.endswith("}") and second.startswith("{"))


def read_objects(path: Path, head: list[str]) -> pl.DataFrame:
    """Read a row per object; whole numbers of more than 64 bits become text.

    Raises
    ------
    InputError
        naming the line that is not JSON, or differs from the lines before.
    """
    is_list = head[0].lstrip().startswith("[")
    with open_bytes(path) as file:  # polars takes the path of such a file as a pattern
        content = file.read().removeprefix(b"\xef\xbb\xbf")
    try:
        read = pl.read_json if is_list else pl.read_ndjson
        frame = read(io.BytesIO(content), infer_schema_length=None)
    except REFUSALS as error:
        if HALF.search(content):
            _check_as_json(path, is_list, content)
        raise _explain(path, is_list, error) from None
    if frame.is_empty() or not frame.width:
        raise InputError(path, "its objects hold nothing", "give a file with events")
    if HALF.search(content) or _repeats_a_key(content, frame, is_list):
        _check_as_json(path, is_list, content)
    return long_as_text(frame)


def _repeats_a_key(content: bytes, frame: pl.DataFrame, is_list: bool) -> bool:
    """True if some object may have a key twice, of which polars takes the first: its name stands there more than once.

    A text that is equal to the name counts too. Names that inner objects have are left out.
    """
    names = [name for name in frame.columns if name not in _inner_names(frame.dtypes)]
    words = [json.dumps(name, ensure_ascii=False) for name in names]
    if is_list:
        return any(content.count(word.encode()) > len(frame) for word in words)
    lines = read_lines(io.BytesIO(content))[LINE]
    return any((lines.str.count_matches(word, literal=True) > 1).any() for word in words)


def _inner_names(dtypes: Iterable[pl.DataType]) -> set[str]:
    """Names of the fields of all objects within values."""
    names: set[str] = set()
    for dtype in dtypes:
        if isinstance(dtype, pl.List):
            names |= _inner_names([dtype.inner])  # type: ignore[list-item]
        if isinstance(dtype, pl.Struct):
            names |= {field.name for field in dtype.fields} | _inner_names(f.dtype for f in dtype.fields)  # type: ignore[misc]
    return names


def _check_as_json(path: Path, is_list: bool, content: bytes) -> None:
    """Read by a strict reader what polars reads otherwise than it looks."""
    if is_list:
        read_json(content.decode(), str(path))
        return
    for number, line in enumerate(content.decode().split("\n"), start=1):
        if line.strip():
            read_json(line.strip(), f"{path}, line {number}")


def _explain(path: Path, is_list: bool, error: BaseException) -> InputError:
    """The refusal of the first line that is not a JSON object, or has a field of another type than lines before."""
    problem = first_line(error)
    if is_list:
        try:
            with open_text(path) as file:
                content = read_json(file.read(), str(path))
        except InputError as refusal:
            return refusal
        if not all(isinstance(entry, dict) for entry in content):
            return InputError(path, "a list of something else than objects", "write a list of objects, {…}")
    else:
        forms: dict[str, str] = {}
        with open_text(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    content = read_json(line.strip(), f"{path}, line {number}")
                except InputError as refusal:
                    return refusal
                if (word := _non_finite(content)) is not None:
                    return InputError(
                        f"{path}, line {number}", f"{word} is not JSON", "write null where a value is missing"
                    )
                if not isinstance(content, dict):
                    return InputError(f"{path}, line {number}", "is not a JSON object", "write each line as {…}")
                for key, value in content.items():
                    form = _json_type(value)
                    if form and forms.setdefault(key, form) != form:
                        return InputError(
                            f"{path}, line {number}",
                            f"{key[:40]!r} is {form}, but {forms[key]} on lines before",
                            "fix that line",
                        )
    return InputError(path, f"cannot be read as JSON ({problem})", "write an object a line, each with the same fields")


def _non_finite(content: object) -> str | None:
    """The first NaN or infinity within the content, or None; Python accepts them, but they are no JSON."""
    if isinstance(content, float):
        return None if math.isfinite(content) else json.dumps(content)
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return next((word for value in inner if (word := _non_finite(value)) is not None), None)


def _json_type(value: object) -> str:
    """The type of a value in words, to compare fields of different lines; empty for null."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true or false"
    return "" if value is None else "a text or number"
