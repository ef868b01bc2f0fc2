"""Files of every form that can be read: separators, headers, JSON, compressions; and how each was told."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.data.formats.format_readers import read_file
from t4r_lab.data.pipeline.prepare_events import prepare
from t4r_lab.data.prepared.vocabulary import Vocabulary
from t4r_lab.data.read.dialect import recognize
from t4r_lab.spec.preparation import PrepareOptions
from tests.support.small import sequences

EVENTS = [(s + 1, (3 * s + 7 * j) % 30 + 1, 1_700_000_000 + 600 * s + j) for s in range(40) for j in range(4)]
"""Session, item, time."""
SESSIONS = {str(s): [i for t, i, _ in EVENTS if t == s] for s in range(1, 41)}
LOO = PrepareOptions(split="leave_one_out")


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def iso(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def compressed(content: bytes, how: str) -> bytes:
    if how == "gzip":
        return gzip.compress(content)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, how) as stream:
        stream.write(content)
    return bytes(sink.getvalue())


CLICKS = [f"{s},{iso(t)},{i},{'S' if i % 3 else 0}" for s, i, t in EVENTS]
RATINGS = [f"{s}::{i}::{i % 5 + 1}::{t}" for s, i, t in EVENTS]
OTTO = [
    json.dumps({"session": s, "events": [{"aid": i, "ts": 1000 * t, "type": "clicks"} for n, i, t in EVENTS if n == s]})
    for s in range(1, 41)
]
REVIEWS = [
    json.dumps({"user_id": s, "asin": i, "overall": 5.0, "at": {"day": 1}, "timestamp": t}) for s, i, t in EVENTS
]
FORMS: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "yoochoose-clicks.dat": (CLICKS, {}, "no header: columns taken as session_id,timestamp,item_id,category"),
    "ratings.dat": (RATINGS, {}, "no header: columns taken as user_id::item_id::rating::timestamp"),
    "u.data": (
        [line.replace("::", "\t") for line in RATINGS],
        {},
        "no header: columns taken as user_id item_id rating timestamp",
    ),
    "named.dat": (["user_id::item_id::rating::timestamp", *RATINGS], {}, "fields separated by ::"),
    "checkins.txt": (
        [f"{s}\t{iso(t)}\t30.2\t-97.7\t{i}" for s, i, t in EVENTS],
        {},
        "no header: columns taken as user_id timestamp latitude longitude item_id",
    ),
    "spaces.inter": (
        ["user_id:token item_id:token timestamp:float", *(f"{s} {i} {t}.0" for s, i, t in EVENTS)],
        {},
        "fields separated by spaces",
    ),
    "pairs.txt": (
        [f"{s} {i}" for s, i, _ in EVENTS],
        {"split": "leave_one_out"},
        "no header: columns taken as user_id item_id",
    ),
    "named.txt": (
        ["user_id  item_id", *(f"{s}   {i}" for s, i, _ in EVENTS)],
        {"split": "leave_one_out"},
        "fields separated by spaces",
    ),
    "bare.csv": ([f"{i};{s};{t}" for s, i, t in EVENTS], {"columns": "item_id,user_id, timestamp"}, ""),
    "words.csv": ([f"{i};{s};{t}" for s, i, t in EVENTS], {"columns": ["item_id", "user_id", "timestamp"]}, ""),
    "other.csv": (
        ["what;who;when", *(f"{i};{s};{t}" for s, i, t in EVENTS)],
        {"columns": "item_id,user_id,timestamp"},
        "",
    ),
    "odd.txt": (
        [f"{s}~|{i}~|{t}" for s, i, t in EVENTS],
        {"separator": "~|", "columns": "user_id,item_id,timestamp"},
        "",
    ),
    "hash.txt": (["user_id#item_id#timestamp", *(f'{s}#"{i}"#{t}' for s, i, t in EVENTS)], {"separator": "#"}, ""),
    "tab.txt": (
        [f"{s}\t{i}\t{t}" for s, i, t in EVENTS],
        {"separator": "tab", "columns": "user_id,item_id,timestamp"},
        "",
    ),
    "otto.jsonl": (OTTO, {}, ""),
    "reviews.json": (REVIEWS, {}, ""),
    "list.json": (["[", ",\n".join(REVIEWS), "]"], {}, ""),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_read_as_the_same_sessions(name: str, tmp_path: Path) -> None:
    lines, options, note = FORMS[name]
    path = write(tmp_path / name, *lines)
    data = prepare(path, tmp_path / "data", PrepareOptions.parse({"split": "leave_one_out", **options}))
    assert sequences(data, "test") == SESSIONS
    assert data.profile["reading"] == ([note] if note else [])
    if "timestamp" in data.schema:
        assert data.part("test").values["timestamp"].tolist() == [t for _, _, t in EVENTS]


@pytest.mark.parametrize("how", ["gzip", "zstd", "bz2"])
@pytest.mark.parametrize(
    "name", ["yoochoose-clicks.dat", "ratings.dat", "pairs.txt", "otto.jsonl", "list.json", "bare.csv"]
)
def test_compression_is_told_by_content(name: str, how: str, tmp_path: Path) -> None:
    lines, options, _ = FORMS[name]
    content = "".join(line + "\n" for line in lines).encode()
    half = content.index(b"\n", len(content) // 2) + 1
    path = tmp_path / name  # whatever its name; in two parts, as `cat a.gz b.gz` makes it
    path.write_bytes(compressed(content[:half], how) + compressed(content[half:], how))
    plain = tmp_path / "plain" / name
    plain.parent.mkdir()
    plain.write_bytes(content)
    how_read = PrepareOptions.parse(options)
    assert read_file(path, how_read).frame.equals(read_file(plain, how_read).frame)


def test_a_user_a_line_and_attributes_may_be_compressed(tmp_path: Path) -> None:
    lines, attributes = tmp_path / "l.txt.gz", tmp_path / "a.json.gz"
    lines.write_bytes(gzip.compress(b"1 5 6\n2 7 8 9\n"))
    attributes.write_bytes(gzip.compress(b'{"5": ["red"], "7": []}'))
    assert read_file(lines).frame["item_id"].to_list() == [5, 6, 7, 8, 9]
    assert read_file(attributes).frame["attributes"].to_list() == [["red"], []]


def test_a_recbole_file_brings_its_items_compressed_too(tmp_path: Path) -> None:
    rows = "".join(f"{s}\t{i}\t{t}\n" for s, i, t in EVENTS)
    header = "user_id:token\titem_id:token\ttimestamp:float\n"
    (tmp_path / "x.inter.gz").write_bytes(gzip.compress((header + rows).encode()))
    (tmp_path / "x.item.gz").write_bytes(
        gzip.compress(b"item_id:token\tcolor:token\n" + b"".join(b"%d\tred\n" % i for i in range(31)))
    )
    assert "color" in prepare(tmp_path / "x.inter.gz", tmp_path / "data", LOO).schema


DAMAGES = [(how, d) for how in ("gzip", "zstd", "bz2") for d in ("cut off", "flipped", "garbage behind")]


@pytest.mark.parametrize(("how", "damage"), [d for d in DAMAGES if d != ("zstd", "flipped")])  # Arrow's has no checksum
def test_a_damaged_compression_is_said(how: str, damage: str, tmp_path: Path) -> None:
    content = "".join(
        f"{line}\n" for line in ["session_id,item_id,timestamp", *(f"{s},{i},{t}" for s, i, t in EVENTS * 50)]
    )
    raw = compressed(content.encode(), how)
    middle = len(raw) // 2
    contents = {
        "cut off": raw[:-9],
        "flipped": raw[:middle] + b"\xff" * 20 + raw[middle + 20 :],
        "garbage behind": raw + b"x" * 50,
    }
    (tmp_path / "e.csv.gz").write_bytes(contents[damage])
    with pytest.raises(
        InputError, match=f"e.csv.gz: its {how} compression is cut off or damaged .*; fetch or compress"
    ):
        read_file(tmp_path / "e.csv.gz")


@pytest.mark.parametrize(
    ("start", "what"), [(b"PK\x03\x04", "zip"), (b"\xfd7zXZ\x00", "xz"), (b"7z\xbc\xaf\x27\x1c", "7z")]
)
def test_an_archive_of_files_is_to_be_unpacked(start: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_bytes(start + b"\0" * 50)
    with pytest.raises(InputError, match=f"is a {what} archive; unpack it"):
        read_file(tmp_path / "e.csv")


# ── is there a header ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("head", "header"),
    [
        (["session_id,item_id,timestamp", "1,2,3"], True),
        (["a,b,c", "x,y,z"], True),  # nothing says that it isn't
        (["visit;2019;2020", "v;3;4"], False),
        (["item,2019,2020", "1,3,4"], True),
        ([",0,1,2", "0,5,6,7"], True),  # pandas without names
        (["0,1,2", "5,6,7"], True),
        (['"session, or visit",b', "1,2"], True),
        (["A39HTATAQ9V7YF,0205616461,5.0,1369699200", "A3,0205616462,5.0,1369699200"], False),
        (["2020-01-01 10:00,5", "2020-01-02 10:00,6"], False),
        (["x,1", "y,free"], True),
        (["who,\rwhat", "y,2"], True),
    ],
)
def test_a_first_line_of_values_is_no_header(head: list[str], header: bool) -> None:
    if header:
        assert recognize(Path("x.csv"), head).header
    else:
        with pytest.raises(InputError, match="the first line looks like data"):
            recognize(Path("x.csv"), head)


def test_lines_are_named_without_a_header_and_behind_long_separators(tmp_path: Path) -> None:
    path = write(tmp_path / "r.dat", *RATINGS[:2], "", "1::::3::1700000000", *RATINGS[2:])
    with pytest.raises(InputError, match=r"r\.dat, line 4: column 'item_id' has no item"):
        prepare(path, tmp_path / "data", PrepareOptions(columns=["user_id", "item_id", "rating", "timestamp"]))
    path = write(tmp_path / "r.dat", *RATINGS[:2], "", "1::2::3::soon", *RATINGS[2:])
    with pytest.raises(InputError, match=r"r\.dat, line 4: timestamp 'soon' is not a time"):
        prepare(path, tmp_path / "data", PrepareOptions(columns=["user_id", "item_id", "rating", "timestamp"]))
    path = write(tmp_path / "r.dat", *RATINGS[:60], "1::2::3::4::5", *RATINGS[60:])
    with pytest.raises(InputError, match="line 61: 5 fields where 4 names are given"):
        read_file(path, PrepareOptions(separator="::", columns=["user_id", "item_id", "rating", "timestamp"]))


def test_ids_keep_their_zeros_in_every_text_form(tmp_path: Path) -> None:
    for name, separator in (("a.dat", "::"), ("b.txt", " "), ("c.csv", ",")):
        path = write(
            tmp_path / name,
            separator.join(("user_id", "item_id")),
            separator.join(("1", "042")),
            separator.join(("1", "42")),
        )
        assert read_file(path).frame["item_id"].to_list() == ["042", "42"], name


# ── JSON ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["a[1].jsonl", "*.jsonl", "a?.json", "[2024] {x}.dat"])
def test_a_path_is_no_pattern(name: str, tmp_path: Path) -> None:
    for other in ("a1.jsonl", "ab.json"):
        write(tmp_path / other, '{"item_id": 1}', '{"item_id": 1}')
    lines = FORMS["ratings.dat"][0] if name.endswith(".dat") else ['{"item_id": 7}', '{"item_id": 8}']
    for content in (lines, [*lines[:1], *lines]):
        path = write(tmp_path / name, *content)
        assert len(read_file(path).frame) == len(content)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert len(read_file(path).frame) == len(content)


def test_json_keeps_ids_of_every_size(tmp_path: Path) -> None:
    rows = [{"session_id": "a", "item_id": item} for item in (7, "7a", "007", 12345678901234567890123)]
    frame = read_file(write(tmp_path / "e.jsonl", *map(json.dumps, rows))).frame
    assert frame["item_id"].to_list() == ["7", "7a", "007", "12345678901234567890123"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (['{"a": 1}', '{"a": 2', '{"a": 3}'], "line 2: not valid JSON at column .*; fix that line"),
        (['{"a": 1}', "[1]"], "line 2: is not a JSON object; write each line as"),
        (['{"a": 1}', '{"a": [1]}'], "line 2: 'a' is a list, but a text or number on lines before; fix that line"),
        (['{"a": {"b": 1}}', "", '{"a": true}'], "line 3: 'a' is true or false, but an object on lines before"),
        (["{}", "{}"], "its objects hold nothing"),
        (["{'a': 1}", "{'a': 2}"], "line 1: not valid JSON at column 2"),
    ],
)
def test_broken_json_is_named_by_its_line(lines: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words) as error:
        read_file(write(tmp_path / "e.jsonl", *lines))
    assert "\n" not in str(error.value)


def test_lists_of_objects_are_sessions_in_parquet_and_frames_alike(tmp_path: Path) -> None:
    frame = pl.DataFrame([json.loads(line) for line in OTTO])
    frame.write_parquet(tmp_path / "otto.dat")  # told by its first bytes
    for number, source in enumerate((frame, tmp_path / "otto.dat", frame.to_pandas())):
        data = prepare(source, tmp_path / str(number), PrepareOptions())
        assert {k: v for part in ("train", "valid", "test") for k, v in sequences(data, part).items()} == SESSIONS
    new = data.encode(frame.head(3))
    assert new.lengths.tolist() == [4, 4, 4] and new.ids.tolist() == ["1", "2", "3"]


def test_lists_of_objects_beside_an_item_are_left_out(tmp_path: Path) -> None:
    """As the pictures in Amazon's reviews."""
    rows = [{"reviewerID": s, "asin": i, "unixReviewTime": t, "images": [{"url": f"{t}"}]} for s, i, t in EVENTS]
    data = prepare(write(tmp_path / "r.jsonl", *map(json.dumps, rows)), tmp_path / "data", LOO)
    assert sequences(data, "test") == SESSIONS
    assert data.profile["columns_left_out"]["images"].startswith("holds List(Struct")


# ── new sessions ────────────────────────────────────────────────────────────────────────────────


def test_new_sessions_without_a_header_are_read_as_training_was(tmp_path: Path) -> None:
    lines = [f"{i};{s};{t}" for s, i, t in EVENTS]
    options = PrepareOptions.parse({"split": "leave_one_out", "columns": "item_id,user_id,timestamp"})
    data = prepare(write(tmp_path / "e.csv", *lines), tmp_path / "data", options)
    vocabulary = Vocabulary.open(data.path)
    bare = vocabulary.read(write(tmp_path / "new.csv", *lines[:8]))
    named = vocabulary.read(
        write(tmp_path / "named.csv", "user_id,item_id,timestamp", *(f"{s},{i},{t}" for s, i, t in EVENTS[:8]))
    )
    for frame in (bare, named):
        assert vocabulary.encode(frame).ids.tolist() == ["1", "2"]
        assert data.own_ids(vocabulary.encode(frame).values["item_id"]) == SESSIONS["1"] + SESSIONS["2"]


@pytest.mark.parametrize("is_list", [False, True])
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"session": 1, "item": "7", "item": "9"}', "the key 'item' stands twice"),
        ('{"session": 1, "item": null, "item": "9"}', "the key 'item' stands twice"),
        ('{"session": 1, "item": "\\ud800"}', "half of a surrogate pair"),
        ('{"session": 1, "item": "x\\udc00"}', "half of a surrogate pair"),
        ('{"session": 1, "item": "\\ud83d\\ud83d\\ude00"}', "half of a surrogate pair"),
    ],
)
def test_json_that_reads_otherwise_than_it_looks_is_refused(
    line: str, words: str, is_list: bool, tmp_path: Path
) -> None:
    """Polars takes the first of two values, and half of a pair for a character."""
    first = '{"session": 1, "item": "1"}'
    lines = [f"[{first},", f"{line}]"] if is_list else [first, '{"session": 2}', line]
    with pytest.raises(InputError, match=words) as error:
        read_file(write(tmp_path / "e.json", *lines))
    assert is_list or error.value.path.endswith("line 3")


@pytest.mark.parametrize(
    "row",
    [
        {"session": 1, "item": "\U0001f600"},  # a whole pair, written as two halves
        {"session": 1, "item": "\\ud800"},  # a backslash and five letters
        {"session": 1, "item": '"item":'},
        {"session": 1, "item": "item"},
        {"session": 1, "item": "a\u2028b\x0bc"},
    ],
)
def test_json_that_only_looks_alike_is_read(row: dict[str, Any], tmp_path: Path) -> None:
    rows = [row, {"session": 2, "item": "z"}]
    for name, lines in (("e.jsonl", map(json.dumps, rows)), ("e.json", [json.dumps(rows)])):
        assert read_file(write(tmp_path / name, *lines)).frame.to_dicts() == rows


def test_objects_within_objects_may_repeat_names_of_others(tmp_path: Path) -> None:
    rows = [{"session": s, "events": [{"aid": i, "session": 0} for i in range(3)]} for s in range(3)]
    assert len(read_file(write(tmp_path / "e.jsonl", *map(json.dumps, rows))).frame) == 3


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("s,i,x\n1,2,3\n1,2\n2,2,3\n", "line has fewer fields than 3, the first is line 3"),
        ("s,i,x\n\n1,2\n1\n2,2,3\n", "2 lines have fewer fields than 3, the first is line 3"),
        ("s::i::x\n" + "1::2::3\n" * 100 + "1::2\n", "line has fewer fields than 3, the first is line 102"),
        ("s,i,x\n1,2,\n1,2,\n", ""),  # written as missing
        ('s,i,x\n1,"2,3",\n"1",2,3\n', ""),
        ('s,i,x\n1,"2\nand\n3",\n1,2,3\n', ""),  # a record of three lines
        ("s\ti\tx\n1\t2\t\n", ""),
    ],
)
def test_a_line_that_ends_early_is_told(content: str, note: str, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(content)
    assert note in " ".join(read_file(tmp_path / "e.csv").notes)
    assert note or "fewer" not in " ".join(read_file(tmp_path / "e.csv").notes)
