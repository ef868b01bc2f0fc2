"""Output for a terminal: text without control characters, tables within its width."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

from t4r_lab.base.private import open_bars

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move the cursor, color, ring, turn the direction of text or can't be written: no newline or tab."""
WIDE, NARROW = 20, 10
"""The most characters of a head over numbers, and the fewest to which a column of texts is shortened."""


def clean(text: str) -> str:
    r"""`text` with its control characters escaped, so that no name of a column, an item or a run affects the terminal.

    >>> clean("a\x1b[31mb\u202ec\n")
    'a\\x1b[31mb\\u202ec\n'
    """
    return CONTROLS.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def clean_line(text: str) -> str:
    """`clean` text in one line."""
    return clean(text.replace("\n", "\\n").replace("\t", " "))


class Lines(str):
    """Lines for a terminal that are clean already, in which a line break ends a line and is part of no name."""


def lines_of(lines: Iterable[str]) -> Lines:
    r"""Texts as lines: each is cleaned as one line, unless it is `Lines`.

    >>> lines_of(["run a\nb", table(["x"], [["1"]])])
    'run a\\nb\nx\n1'
    """
    return Lines("\n".join(line if isinstance(line, Lines) else clean_line(line) for line in lines))


def say(line: str) -> None:
    """Print a line on standard error, after closing any progress bar."""
    for bar in open_bars():
        bar.close()
    print(clean_line(line), file=sys.stderr, flush=True)


def width() -> int:
    """The number of columns of the terminal; 80 without one."""
    return max(shutil.get_terminal_size((80, 24)).columns, 40)


def wrapped(line: str, indent: int) -> Lines:
    """A long line, cleaned and wrapped to the terminal, all but the first line indented."""
    return Lines(textwrap.fill(clean_line(line), width(), subsequent_indent=" " * indent, break_on_hyphens=False))


def shortened_to(text: str, most: int) -> str:
    """`text`, or its beginning and end if it is longer than `most`.

    >>> shortened_to("xlnet-with-everything-2", 12)
    'xlnet-…ing-2'
    """
    return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = (), most: int | None = None
) -> Lines:
    """A table within `most` columns of the terminal; `numbers` are the indices of right-aligned columns.

    In a table that is too wide texts are shortened; then it is cut into blocks that all begin with the first column.
    """
    most = most or width()
    columns = []
    for index, name in enumerate(head):
        cells = [name, *(row[index] for row in rows)]
        columns.append(
            [shortened_to(clean_line(cell), WIDE) if index in numbers else clean_line(cell) for cell in cells]
        )
    widths = [max(map(len, column)) for column in columns]
    texts = [index for index in range(len(head)) if index not in numbers]
    while sum(widths) + 2 * (len(widths) - 1) > most and texts:
        widest = max(texts, key=lambda index: widths[index])
        if widths[widest] <= NARROW:
            break
        widths[widest] -= 1
    return Lines(
        "\n\n".join(
            "\n".join(
                _line([columns[i][row] for i in block], [widths[i] for i in block], [i in numbers for i in block])
                for row in range(len(rows) + 1)
            )
            for block in _blocks(widths, most)
        )
    )


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    short = [shortened_to(cell, size) for cell, size in zip(cells, widths, strict=True)]
    padded = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(short, widths, right, strict=True)]
    return "  ".join(padded).rstrip()


def _blocks(widths: Sequence[int], most: int) -> list[list[int]]:
    """Indices of columns that fit beside the first one."""
    blocks, used = [[0]], widths[0]
    for index in range(1, len(widths)):
        if used + 2 + widths[index] > most and len(blocks[-1]) > 1:
            blocks.append([0])
            used = widths[0]
        blocks[-1].append(index)
        used += 2 + widths[index]
    return blocks
