"""Quotes in text files, and files joined to one: read as Python's csv reads them, or refused by the line."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t4r_lab.base.errors import InputError
from t4r_lab.data.formats.format_readers import read_events, read_file

field = st.lists(st.sampled_from(["a", '"', '""', ",", "\\", "b c", " "]), max_size=4).map("".join)


def rows(content: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content, newline="")))


@settings(max_examples=300, deadline=None)
@given(st.lists(field, min_size=2, max_size=6))
def test_fields_are_those_of_another_reader_or_the_file_is_refused(fields: list[str]) -> None:
    content = "item_id,title,price\n" + "".join(f"i{n},{text},{n}.5\n" for n, text in enumerate(fields))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "e.csv")
        path.write_text(content)
        try:
            frame = read_file(path).frame
        except InputError as error:
            said = str(error)
        else:
            assert [frame.columns, *([v or "" for v in row] for row in frame.rows())] == rows(content)
            return
    assert re.search(r"line \d: (a quote stands|\d+ fields where)", said)


@pytest.mark.parametrize("n", [6, 3000])
@pytest.mark.parametrize(
    "odd", [{3: '5" pipe'}, {2: '5" pipe', 4: '6"'}, {3: 'a "b" c'}, {1: 'a"', 2: 'b"'}, {2: 'a\x01"'}]
)
def test_quotes_are_text_where_no_field_begins_with_one(n: int, odd: dict[int, str], tmp_path: Path) -> None:
    texts = [odd.get(i, "plain") for i in range(n)]
    (tmp_path / "e.csv").write_text("item_id,title\n" + "".join(f"i{i},{text}\n" for i, text in enumerate(texts)))
    assert [text or "" for text in read_file(tmp_path / "e.csv").frame["title"]] == texts


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (r'"a \"b\" c"', 3),  # as MySQL writes them
        (r'"a \" c"', 3),
        ('"b" c', 3),
        ('"a, b" ', 3),
        ('"open', 3),
        ('"', 3),
        ('"several\nlines" more', 3),
        ('5" pipe', 3),  # while others are quoted
    ],
)
def test_a_stray_quote_is_named_and_the_advice_works(text: str, line: int, tmp_path: Path) -> None:
    path, other = tmp_path / "e.csv", '4,"well, ""quoted""\nhere"\n'
    path.write_text(f"item_id,title\n1,plain\n2,{text}\n3,plain\n{other}")
    with pytest.raises(InputError, match=f"line {line}: a quote stands within a text, or isn't closed") as refusal:
        read_file(path)
    assert 'twice, such as "5"" pipe"' in refusal.value.remedy
    doubled = text.replace('"', '""')
    path.write_text(f'item_id,title\n1,plain\n2,"{doubled}"\n3,plain\n{other}')
    assert read_file(path).frame["title"].to_list() == ["plain", text, "plain", 'well, "quoted"\nhere']


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("item_id,price\np3,1.5\n", "line 4: the header again"),
        ("\ufeffitem_id,price\np3,1.5\n", "line 4: the header again"),
    ],
)
def test_files_joined_to_one_are_told_and_may_be_given_apart(second: str, words: str, tmp_path: Path) -> None:
    """Else ``item_id`` is an item and prices are texts."""
    first = "item_id,price\np1,2.5\np2,3\n"
    (tmp_path / "joined.csv").write_text(first + second, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_file(tmp_path / "joined.csv")
    (tmp_path / "a.csv").write_text(first)
    (tmp_path / "b.csv").write_text(second, encoding="utf-8")
    apart = read_events([tmp_path / "a.csv", tmp_path / "b.csv"]).frame
    assert apart.rows() == [("p1", "2.5"), ("p2", "3"), ("p3", "1.5")]


def test_a_value_like_a_name_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("item_id,price\nitem_id,2.5\np2,price\n")
    assert read_file(tmp_path / "e.csv").frame.rows() == [("item_id", "2.5"), ("p2", "price")]
