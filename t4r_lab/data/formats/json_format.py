"""JSON: an object per line or in a list, or item → list of attribute values as in RecSys challenges."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError
from t4r_lab.data.read.compression import open_bytes
from t4r_lab.data.read.file_format import Format
from t4r_lab.data.read.frames import spread_structs
from t4r_lab.data.read.json_lines import is_json, is_objects, read_objects
from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.spec.preparation import PrepareOptions


def read(path: Path, head: list[str], how: PrepareOptions) -> RawTable:
    """Read objects, an event or a session each, or item → list of attribute values."""
    if is_objects(path, head):
        return RawTable(spread_structs(read_objects(path, head)), where=str(path))
    try:
        with open_bytes(path) as file:
            content = read_json(file.read().decode("utf-8-sig"), str(path))
        rows = [(str(item), [str(v) for v in values]) for item, values in content.items()]
        if any(isinstance(values, str) for values in content.values()):
            raise TypeError
    except InputError:
        raise
    except (ValueError, AttributeError, TypeError):
        raise InputError(
            path,
            "is JSON of neither an object a line nor item → list of attributes",
            'write an object a line, such as {"session_id": 1, "item_id": 7, "timestamp": 1700000000}',
        ) from None
    frame = pl.DataFrame(rows, schema={"item_id": pl.String, "attributes": pl.List(pl.String)}, orient="row")
    return RawTable(frame, {"attributes": "multi"}, str(path))


FORMAT = Format("JSON", 1, lambda path, head, how: is_json(path, head), read)
