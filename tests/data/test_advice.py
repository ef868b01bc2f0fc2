"""The advice of every refusal of reading and preparing, followed to the letter, works."""

from __future__ import annotations

import ast
import gzip
import importlib
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from t4r_lab.cli.program import main

ROWS = [(s, (3 * s + 7 * j) % 12 + 1, 1_700_000_000 + 600 * s + j) for s in range(30) for j in range(4)]
"""Session, item, time."""
Files = dict[str, "str | bytes | pl.DataFrame"]


def csv(header: str = "session_id,item_id,timestamp", row: str = "{s},{i},{t}", more: str = "") -> str:
    """A good file with one record changed or added by `more`."""
    return "\n".join([header, *(row.format(s=s, i=i, t=t) for s, i, t in ROWS), *([more] if more else []), ""])


def bare(row: str) -> str:
    return csv(row=row).partition("\n")[2]


def frame(**columns: Any) -> pl.DataFrame:
    events = pl.DataFrame(ROWS, schema=["session_id", "item_id", "timestamp"], orient="row")
    return events.with_columns(**columns)


def lists(**columns: Any) -> pl.DataFrame:
    return (
        frame()
        .group_by("session_id", maintain_order=True)
        .agg("item_id", pl.col("timestamp").first())
        .with_columns(**columns)
    )


@dataclass(frozen=True)
class Case:
    """`prepare` with `arguments` says `says`; with `then`, and the files `fixed`, it goes through.

    Groups of `says` stand in `then` as {0}, {1}: what the message names is taken from the message.
    """

    files: Files
    says: str
    then: str = "e.csv"
    fixed: Files = field(default_factory=dict)
    arguments: str = "e.csv"


GOOD: Files = {"e.csv": csv()}
LATE_ITEMS: Files = {
    "e.csv": "session_id,item_id,timestamp\n"
    + "".join(f"{s},{k}{f' of {s}' * (s < 16)},{1_700_000_000 + 10 * s + k}\n" for s in range(20) for k in range(2))
}
"""Twenty sessions of two events; the items of the first sixteen occur once, those of the others are the same two."""
CASES = {
    # files
    "a folder": Case(GOOD, "is a folder; name the files in it", arguments="."),
    "no file": Case(GOOD, "no such file; check the path", arguments="f.csv"),
    "an empty file": Case({"e.csv": ""}, "the file is empty; give a file with events", fixed=GOOD),
    "blank lines": Case({"e.csv": "\n \n"}, "the file is empty; give a file with events", fixed=GOOD),
    "returns alone": Case({"e.csv": csv().replace("\n", "\r")}, "its lines end in carriage returns alone; save it with line ends of Unix or Windows", fixed={"e.csv": csv().replace("\n", "\r\n")}),
    "a list of lists": Case({"e.json": "[[1, 2], [3]]"}, "a list of something else than objects; write a list of objects, {…}", "e.json", {"e.json": frame().write_json()}, arguments="e.json"),
    "a header alone": Case({"e.csv": "session_id,item_id\n"}, "has a header but no rows; give a file with events", fixed=GOOD),
    "spaces, a header alone": Case({"e.csv": "session_id item_id\n\n"}, "has a header but no rows; give a file", fixed=GOOD),
    "no text": Case({"e.csv": b"a\0b"}, "not a text file; give CSV, TSV, JSON lines, Parquet", fixed=GOOD),
    "a zip": Case({"e.csv": b"PK\x03\x04" + bytes(40)}, "is a zip archive; unpack it, and give the file in it", fixed=GOOD),
    "cut off": Case({"e.csv": gzip.compress(csv().encode())[:-9]}, "gzip compression is cut off or damaged .*; fetch or compress the file again", fixed={"e.csv": gzip.compress(csv().encode())}),
    "no Parquet": Case({"e.parquet": b"PAR1"}, "not a Parquet file .*; write it again", "e.parquet", {"e.parquet": frame()}, arguments="e.parquet"),
    "Parquet without rows": Case({"e.parquet": frame().head(0)}, "the file has no rows; give a file with events", "e.parquet", {"e.parquet": frame()}, arguments="e.parquet"),
    "no names": Case({"e.csv": ",,\n,,\n"}, "the first line has no names; write them above,", fixed={"e.csv": csv()}),
    "names twice": Case({"e.csv": csv("session_id,item_id,item_id")}, "two columns are named 'item_id'; rename one", fixed=GOOD),
    "a field too many": Case({"e.csv": csv(more="9,9,9,9")}, "line 122: 4 fields where the header has 3; fix that line", fixed={"e.csv": csv(more="9,9,1700000000")}),
    "a field too many, spaces": Case({"e.csv": csv("session_id item_id timestamp", "{s} {i} {t}", "9 9 9 9")}, "line 122: 4 fields where the header has 3; fix that line", fixed={"e.csv": csv("session_id item_id timestamp", "{s} {i} {t}", "9 9 1700000000")}),
    "not UTF-8": Case({"e.csv": csv(more="9,é,1700000000").encode("latin-1")}, "line 122: not UTF-8; save the file as UTF-8, or as Parquet", fixed={"e.csv": csv(more="9,é,1700000000")}),
    "a header not UTF-8": Case({"e.csv": csv("session_id,item_id,timestamp,größe", "{s},{i},{t},1").encode("cp1252")}, "line 1: not UTF-8; save the file as UTF-8, or as Parquet", fixed={"e.csv": csv("session_id,item_id,timestamp,größe", "{s},{i},{t},1")}),
    "UTF-16": Case({"e.csv": csv().encode("utf-16")}, "is text in UTF-16; save it as UTF-8", fixed=GOOD),
    "UTF-32": Case({"e.csv": csv().encode("utf-32")}, "is text in UTF-32; save it as UTF-8", fixed=GOOD),
    "UTF-32, big end first": Case({"e.csv": b"\0\0\xfe\xff" + csv().encode("utf-32-be")}, "is text in UTF-32; save it as UTF-8", fixed=GOOD),
    "a workbook": Case({"e.xlsx": b"PK\x03\x04" + bytes(40)}, "is a spreadsheet's workbook; save the sheet as CSV, and give that file", fixed=GOOD, arguments="e.xlsx"),
    "NaN in JSON": Case({"e.jsonl": bare('{{"session_id": {s}, "item_id": {i}, "timestamp": {t}, "price": 1.5}}') + '{"session_id": 9, "item_id": 9, "timestamp": 1700000000, "price": NaN}\n'}, "line 121: NaN is not JSON; write null where a value is missing", "e.jsonl", {"e.jsonl": bare('{{"session_id": {s}, "item_id": {i}, "timestamp": {t}, "price": 1.5}}') + '{"session_id": 9, "item_id": 9, "timestamp": 1700000000, "price": null}\n'}, arguments="e.jsonl"),
    "a user a line, not UTF-8": Case({"e.csv": b"1 2 3\n4 5 6 7\n5 \xe9\n"}, "line 3: not UTF-8; save the file as UTF-8", "e.csv --layout lines --split leave_one_out", {"e.csv": "1 2 3\n4 5 6 7\n5 é\n"}, arguments="e.csv --layout lines"),
    "a user without items": Case({"e.csv": "1 2 3\n4\n5 6 7 8\n"}, "line 2: a user without items; fix that line", "e.csv --split leave_one_out", {"e.csv": "1 2 3\n4 5\n5 6 7 8\n"}),
    "no header": Case({"e.csv": bare("u{s},{i},{t}")}, "the first line looks like data .*; name its 3 columns, for example with (--columns \\S+)", "e.csv {0}"),
    "no header, spaces": Case({"e.csv": bare("{s} {i} {t}")}, "looks like data .*, for example with (--columns [^ ]+),", "e.csv {0}"),
    "no header, perhaps lists": Case({"e.csv": bare("{s} {i} 3")}, "looks like data .*, or read each line as a user and its items with (--layout lines)", "e.csv {0} --split leave_one_out"),
    "names too few": Case({"e.csv": bare("u{s},{i},{t}")}, "--columns names 2 columns, but the first line has 3 .*; name each", "e.csv --columns user_id,item_id,timestamp", arguments="e.csv --columns user_id item_id"),
    "names by another separator": Case({"e.csv": bare("u{s}#{i}#{t}")}, "--columns names 3 columns, but the first line has 1 .*, or say what stands between them with --separator", "e.csv --columns user_id,item_id,timestamp --separator '#'", arguments="e.csv --columns user_id,item_id,timestamp"),
    "a header by another separator": Case({"e.csv": csv("session_id#item_id#timestamp", "{s}#{i}#{t}")}, "no item column among session_id#item_id#timestamp; say what stands between them with --separator", "e.csv --separator '#'"),
    "names for Parquet": Case({"e.parquet": frame()}, "is Parquet, which tells its columns by itself; leave out --columns", "e.parquet", arguments="e.parquet --columns a,b,c"),
    "no JSON": Case({"e.jsonl": '{"a": 1}\n{"a": \n'}, "line 2: not valid JSON at column .*; fix that line", "e.jsonl", {"e.jsonl": bare('{{"session_id": {s}, "item_id": {i}, "timestamp": {t}}}')}, arguments="e.jsonl"),
    "no object": Case({"e.jsonl": '{"a": 1}\n7\n'}, "line 2: is not a JSON object; write each line as", "e.jsonl", {"e.jsonl": bare('{{"session_id": {s}, "item_id": {i}, "timestamp": {t}}}')}, arguments="e.jsonl"),
    "a list here, a number there": Case({"e.jsonl": '{"a": 1}\n{"a": [1]}\n'}, "line 2: 'a' is a list, but a text or number on lines before; fix that line", "e.jsonl", {"e.jsonl": bare('{{"session_id": {s}, "item_id": {i}, "timestamp": {t}}}')}, arguments="e.jsonl"),
    "empty objects": Case({"e.jsonl": "{}\n{}\n"}, "its objects hold nothing; give a file with events", fixed=GOOD, arguments="e.jsonl"),
    "a list of unlike objects": Case({"e.json": '[{"a": 1},\n{"a": [1]}]'}, "cannot be read as JSON .*; write an object a line, each with the same fields", "e.json", {"e.json": bare('{{"session_id": {s}, "item_id": {i}, "timestamp": {t}}}')}, arguments="e.json"),
    "other JSON": Case({"e.json": '{"a": 1}'}, "write an object a line, such as (.*)", "e.json", {"e.json": bare('{{"session_id": {s}, "item_id": {i}, "timestamp": {t}}}')}, arguments="e.json"),
    "unlike files": Case({**GOOD, "f.csv": csv("session_id,item_id,ts")}, "f.csv: its columns are not those of .*e.csv; give files of one kind", "e.csv f.csv", {"f.csv": csv()}, arguments="e.csv f.csv"),
    # roles
    "no item": Case({"e.csv": csv("session_id,what,timestamp")}, "no item column among session_id, what, timestamp; name it with (--item)", "e.csv {0} what"),
    "two items": Case({"e.csv": csv("session_id,sku,timestamp,product", "{s},{i},{t},1")}, "'sku' and 'product' could both be the item column; say which with (--item)", "e.csv {0} sku"),
    "a typo": Case(GOOD, r"column 'itemid' \(--item\) is missing; did you mean '(.*)'\?", "e.csv --item {0}", arguments="e.csv --item itemid"),
    "a typo elsewhere": Case(GOOD, r"column 'times' is missing \(--ignore\); did you mean '(.*)'\?", "e.csv --ignore {0} --split leave_one_out", arguments="e.csv --ignore times"),
    "no session": Case({"e.csv": csv("who,item_id,timestamp")}, "no session or user column among .*; name one with (--session) or (--user)", "e.csv {1} who"),
    "no time": Case({"e.csv": csv("session_id,item_id,when")}, "no time column among .*; name it with (--time),", "e.csv {0} when"),
    "no time at all": Case({"e.csv": csv("session_id,item_id", "{s},{i}")}, "no time column .*, or use (--split leave_one_out)", "e.csv {0}"),
    "a gap without users": Case({"e.csv": csv("who,item_id,timestamp")}, "no user column among .*; name it with (--user)", "e.csv --gap-minutes 9 {0} who", arguments="e.csv --gap-minutes 9"),
    "a gap and sessions": Case({"e.csv": csv("session_id,item_id,timestamp,user_id", "{s},{i},{t},{s}")}, "gap_minutes and session both say what a session is; give one", "e.csv --gap-minutes 9", arguments="e.csv --gap-minutes 9 --session session_id"),
    "two parts": Case(GOOD, "column 'item_id' can't play two parts; name a column for each", "e.csv --user session_id --item item_id", arguments="e.csv --session item_id --item item_id"),
    # values
    "decimal ids": Case({"e.parquet": frame(item_id=pl.col("item_id") + 0.5)}, "holds decimal numbers or NaN .*; use whole numbers or text on every row", "e.parquet", {"e.parquet": frame()}, arguments="e.parquet"),
    "dates as ids": Case({"e.parquet": frame(item_id=pl.lit("2020-01-01").str.to_date())}, "item column 'item_id' holds Date; use whole numbers or text", "e.parquet", {"e.parquet": frame()}, arguments="e.parquet"),
    "no id": Case({"e.csv": csv(more="9,,1700000000")}, "line 122: column 'item_id' has no item; remove the row or fill it in", fixed={"e.csv": csv(more="9,4,1700000000")}),
    "no number": Case({"e.csv": csv("session_id,item_id,timestamp,price", "{s},{i},{t},1.5", "9,9,1700000000,free")}, "line 122: 'free' in column 'price' is not a number; .*use (--kinds price=categorical)", "e.csv {0}", arguments="e.csv --kinds price=continuous"),
    "day or month": Case({"e.csv": csv(row="{s},{i},01/02/2024")}, "which number of '01/02/2024' is the month, .*; say (--time-format day-first) or month-first", "e.csv {0} --split leave_one_out"),
    "no time in it": Case({"e.csv": csv(row="{s},{i},soon")}, "timestamp.* is not a time", "e.csv --split leave_one_out --ignore timestamp"),
    # features
    "scopes of a key": Case(GOOD, "column 'item_id' is neither a feature nor a label; take it out of --scopes", arguments="e.csv --scopes item_id=item"),
    "a key as a label": Case(GOOD, "column 'item_id' is an id or the time of the events, and no label; take it out of --targets", arguments="e.csv --targets item_id"),
    "a key of another kind": Case(GOOD, "column 'item_id' is an id, and no continuous feature; take it out of --kinds", arguments="e.csv --kinds item_id=continuous"),
    "a time of another kind": Case(GOOD, "column 'timestamp' is the time of the events, and no categorical feature; take it out of --kinds", arguments="e.csv --kinds timestamp=categorical"),
    "a label of the item": Case({"e.csv": csv("session_id,item_id,timestamp,good", "{s},{i},{t},1")}, "the label column 'good' can't depend on the item; use (event) or (session)", "e.csv --targets good --scopes good={1}", arguments="e.csv --targets good --scopes good=item"),
    "lists of an event": Case({"e.parquet": frame(tags=pl.Series([["a"]] * 120))}, "column 'tags' holds lists, which are kept by item; use (--scopes tags=item)", "e.parquet {0}", arguments="e.parquet --scopes tags=event"),
    "lists that differ": Case({"e.parquet": frame(tags=pl.concat_list(pl.col("timestamp").cast(pl.String)))}, "lists that differ between events of an item; leave it out with (--ignore tags), or take each item's first with (--scopes tags=item)", "e.parquet {0}", arguments="e.parquet"),
    "lists that differ, the first": Case({"e.parquet": frame(tags=pl.concat_list(pl.col("timestamp").cast(pl.String)))}, "lists that differ .* with (--scopes tags=item)", "e.parquet {0}", arguments="e.parquet"),
    "lists of lists": Case({"e.parquet": frame(tags=pl.Series([[["a"]]] * 120))}, "column 'tags' holds lists of lists; leave it out with (--ignore)", "e.parquet {0} tags", arguments="e.parquet"),
    "items of nothing": Case({"e.parquet": lists(item_id=pl.lit([], dtype=pl.List(pl.Int64)))}, "column 'item_id' has no items on any row; give a file with events", "e.parquet", {"e.parquet": lists()}, arguments="e.parquet"),
    "labels of another count": Case({"e.parquet": lists(price=pl.lit([1.5]))}, "column 'price' has 1 values beside . items; give one for each item, or one for each row without a list", "e.parquet --kinds price=continuous", {"e.parquet": lists(price=pl.lit(1.5))}, arguments="e.parquet --kinds price=continuous"),
    # other tables
    "items without an id": Case({**GOOD, "i.csv": "what,color\n1,red\n"}, "no item column among what, color; name it '(.*)'", "e.csv --items i.csv", {"i.csv": "item_id,color\n1,red\n"}, arguments="e.csv --items i.csv"),
    "items of another shop": Case({**GOOD, "i.csv": "item_id,color\n99,red\n"}, "none of its items is among the events; check the column 'item_id'", "e.csv --items i.csv", {"i.csv": "item_id,color\n1,red\n"}, arguments="e.csv --items i.csv"),
    "users of nobody": Case({"e.csv": csv("session_id,item_id,timestamp,who", "{s},{i},{t},{s}"), "u.csv": "user_id,age\n1,30\n"}, "no user column to join .* by; name it with (--user)", "e.csv --users u.csv {0} who", arguments="e.csv --users u.csv"),
    # parts
    "short sessions": Case(GOOD, "^min_session_length: no session has 9 events or more; .*lower (--min-session-length)", "e.csv {0} 4", arguments="e.csv --min-session-length 9"),
    "rare items": Case(GOOD, "no session has 2 events or more of items with enough support; lower (--min-item-support)", "e.csv {0} 2", arguments="e.csv --min-item-support 99"),
    "rare items before the cut": Case(LATE_ITEMS, "^the training part is empty; no session before the cut is left; cut later, or lower (--min-item-support) or --min-session-length", "e.csv --unseen-items keep {0} 1", arguments="e.csv --unseen-items keep --min-item-support 3"),
    "all after the cut": Case(GOOD, "^test_from: the training part is empty; no session ends before the cut; choose a later (--test-from)", "e.csv {0} 2023-11-15T01:00", arguments="e.csv --test-from 2001-01-01"),
    "all in validation": Case(GOOD, "^valid_days: the training part is empty; no session ends before the cut; choose a smaller (--valid-days)", "e.csv {0} 0.01", arguments="e.csv --valid-days 3000"),
    "validation from the first": Case(GOOD, "^valid_from: the training part is empty; .*; choose a later (--valid-from)", "e.csv {0} 2023-11-15T01:00", arguments="e.csv --valid-from 2001-01-01"),
    "all in test": Case(GOOD, "^test_days: the training part is empty; .*; choose a smaller (--test-days)", "e.csv {0} 0.01", arguments="e.csv --test-days 3000"),
    "all before the cut": Case(GOOD, "^test_from: the test part is empty; .*choose an earlier (--test-from)$", "e.csv {0} 2023-11-15T02:00", arguments="e.csv --test-from 2101-01-01"),
    "pairs, one left out": Case({"e.csv": csv("session_id,item_id,timestamp", "{t},{i},{t}").replace("1700000001,", "1700000000,")}, "^split: the .* part is empty; leave-one-out needs sessions of at least three events; use --split time or longer sessions", "e.csv --split leave_one_out", GOOD, arguments="e.csv --split leave_one_out"),
    "a class written twice": Case({"e.csv": csv("session_id,item_id,timestamp,good", "{s},{i},{t},False", "99,1,1700090000,True\n99,2,1700090001,true")}, "classes 'True' and 'true' of the label column 'good' differ only in writing; write them alike", "e.csv --targets good", {"e.csv": csv("session_id,item_id,timestamp,good", "{s},{i},{t},False", "99,1,1700090000,True\n99,2,1700090001,True")}, arguments="e.csv --targets good"),
    "a stray quote": Case({"e.csv": csv("session_id,item_id,timestamp,title", '{s},{i},{t},"a" {i}')}, "line 2: a quote stands within a text, or isn't closed; enclose the text in quotes and write each one in it twice, such as \"5(\"\") pipe\", or save", fixed={"e.csv": csv("session_id,item_id,timestamp,title", '{s},{i},{t},"""a"" {i}"')}),
    "files joined to one": Case({"e.csv": csv(more=csv().strip())}, "line 122: the header again, as if files were joined; remove it, or give the files apart", "e.csv f.csv", {"e.csv": csv(), "f.csv": csv()}),
    "lists of other lengths": Case({"e.parquet": lists(x=pl.lit([1.5, 2.5]))}, "row 0: column 'x' has 2 values beside 4 items; give one for each item, or one for each row without a list", "e.parquet --kinds x=continuous", {"e.parquet": lists(x=pl.lit(1.5))}, arguments="e.parquet --kinds x=continuous"),
    "a test part without a label": Case({"e.csv": csv("session_id,item_id,timestamp,x", "{s},{i},{t},1"), "t.csv": csv()}, "t.csv: label column 'x' is missing; add it, or take it out of --targets", "e.csv --test t.csv", arguments="e.csv --test t.csv --targets x"),
    "lists beside single values": Case({"e.parquet": lists(x=pl.lit([1.5, 2.5])), "f.parquet": lists(x=pl.lit(1.5))}, "e.parquet: column 'x' holds List.*, and single values in the other files; give files of one kind", "e.parquet f.parquet", {"e.parquet": lists(x=pl.lit(1.5))}, arguments="e.parquet f.parquet"),
    "a test part of others": Case({**GOOD, "t.csv": csv(row="{s},x{i},{t}")}, "^test: the test part is empty; no given test session has two events of items in the training file; check that both have the same ids", "e.csv --test t.csv", {"t.csv": csv()}, arguments="e.csv --test t.csv"),
    "no date": Case(GOOD, "valid_from: 'May' is not a date; use for example (2026-01-31) or", "e.csv --valid-from 2023-11-15T01:00 --test-from {0} --test t.csv", {"t.csv": csv()}, arguments="e.csv --valid-from May"),
    "two cuts": Case(GOOD, "valid_from and valid_days both say where the validation part begins; give one", "e.csv --valid-from 2023-11-15T01:00", arguments="e.csv --valid-from 2023-11-15 --valid-days 1"),
    "ignored and asked for": Case({"e.csv": csv("session_id,item_id,timestamp,x", "{s},{i},{t},1")}, "ignore: column 'x' is also asked for; name it once", "e.csv --ignore x", arguments="e.csv --ignore x --targets x"),
}  # fmt: skip


def write(files: Files, folder: Path) -> None:
    for name, content in files.items():
        if isinstance(content, pl.DataFrame):
            content.write_parquet(folder / name)
        else:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def prepared(arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The error of `prepare`, empty where it went through."""
    status = main(["prepare", *shlex.split(arguments), "--out", "out"])
    error = capsys.readouterr().err
    assert status in (0, 2) and "Traceback" not in error
    return error.strip().splitlines()[-1].partition("error: ")[2] if status else ""


@pytest.mark.parametrize("name", CASES)
def test_the_advice_of_a_refusal_works(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path / "home"))
    write(case.files, tmp_path)
    message = prepared(case.arguments, capsys)
    match = re.search(case.says, message)
    assert match, message
    assert not (tmp_path / "out").exists()
    write(case.fixed, tmp_path)
    assert prepared(case.then.format(*match.groups()), capsys) == ""
    assert (tmp_path / "out" / "manifest.json").is_file()


# ── none is forgotten ───────────────────────────────────────────────────────────────────────────

MODULES = (
    "formats.format_readers", "formats.json_format", "formats.parquet_format", "read.file_format", "read.delimited",
    "read.dialect", "read.quotes", "read.raw_table", "pipeline.raw_events", "read.json_lines", "read.compression", "sessions.column_roles",
    "sessions.session_rows", "pipeline.feature_columns", "pipeline.split",
)  # fmt: skip
ELSEWHERE = {
    "events: no file is given": "of Python: the command line asks for one",
    "events: .*; give a pandas or polars frame": "of Python",
    "events: the data frame is empty": "of Python",
    "cannot be read .*; check the file": "of the file system: tests of faults",
    "cannot be read as a table": "what polars refuses and Python's reader does not: no file is known",
    "cannot be read as lines": "as above",
    "unknown ending": "of writing: tests of the command line",
    "does not exist; make it first": "of writing",
    "cannot be written": "of writing",
    "comes with its": "of tables of items and users: one remedy with the case of lists",
}
"""Refusals without a case here, and why."""


def patterns(module: str) -> list[str]:
    """The text of every refusal in a module, as a regular expression."""
    tree = ast.parse(Path(str(importlib.import_module(f"t4r_lab.data.{module}").__file__)).read_text(encoding="utf-8"))
    messages = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("InputError", "NoHeader") and node.args:
            path, problem, remedy = (_pattern(argument) for argument in node.args[:3])
            messages.append(f"{path}: {problem}; {remedy}" if path else f"{problem}; {remedy}")
    return messages


def _pattern(argument: ast.expr) -> str:
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    return "".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".*" for p in parts)


def test_every_refusal_has_a_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path / "home"))
    messages = []
    for number, case in enumerate(CASES.values()):
        (tmp_path / str(number)).mkdir()
        monkeypatch.chdir(tmp_path / str(number))
        write(case.files, Path())
        messages.append(prepared(case.arguments, capsys))
    for module in MODULES:
        for pattern in patterns(module):
            plain = pattern.replace("\\", "")
            known = any(re.fullmatch(pattern, text) for text in messages) or any(re.search(e, plain) for e in ELSEWHERE)
            assert known, f"{module}: no case follows the advice of {plain!r}"
