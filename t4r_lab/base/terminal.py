"""What goes to a terminal: without the control characters that names may hold, a table within its width."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Sequence

from t4r_lab.base.private import open_bars

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves the cursor, colors, rings, turns the direction of text or can't be written: all but newline and tab."""
WIDE, NARROW = 20, 10
"""Characters that a name at the head of numbers takes at most, and to which a column of texts is shortened at most."""


def clean(text: str) -> str:
    r"""`text` with its control characters spelled, so that no name of a column, an item or a run can act.

    >>> clean("a\x1b[31mb\u202ec\n")
    'a\\x1b[31mb\\u202ec\n'
    """
    return CONTROLS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def clean_line(text: str) -> str:
    """The same in one line."""
    return clean(text.replace("\n", "\\n").replace("\t", " "))


def say(line: str) -> None:
    """A line of its own on standard error, whatever bar stands there."""
    for bar in open_bars():
        bar.close()
    print(clean_line(line), file=sys.stderr, flush=True)


def width() -> int:
    """Columns of the terminal; 80 where there is none."""
    return max(shutil.get_terminal_size((80, 24)).columns, 40)


def wrapped(line: str, indent: int) -> str:
    """A long line as several, all but the first indented."""
    return textwrap.fill(line, width(), subsequent_indent=" " * indent, break_on_hyphens=False)


def shortened_to(text: str, most: int) -> str:
    """Beginning and end of a longer text.

    >>> shortened_to("xlnet-with-everything-2", 12)
    'xlnet-…ing-2'
    """
    return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = (), most: int | None = None
) -> str:
    """Columns under their names, `numbers` (their indices) to the right, within `most` columns of the terminal.

    What is too wide has its texts shortened first, and is then cut into blocks that all begin with the first column.
    """
    most = most or width()
    columns = []
    for index, name in enumerate(head):
        own = [name, *(row[index] for row in rows)]
        columns.append([shortened_to(clean_line(cell), WIDE) if index in numbers else clean_line(cell) for cell in own])
    widths = [max(map(len, column)) for column in columns]
    texts = [index for index in range(len(head)) if index not in numbers]
    while sum(widths) + 2 * (len(widths) - 1) > most and texts:
        widest = max(texts, key=lambda index: widths[index])
        if widths[widest] <= NARROW:
            break
        widths[widest] -= 1
    return "\n\n".join(
        "\n".join(
            _line([columns[i][row] for i in block], [widths[i] for i in block], [i in numbers for i in block])
            for row in range(len(rows) + 1)
        )
        for block in _blocks(widths, most)
    )


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    short = [shortened_to(cell, size) for cell, size in zip(cells, widths, strict=True)]
    padded = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(short, widths, right, strict=True)]
    return "  ".join(padded).rstrip()


def _blocks(widths: Sequence[int], most: int) -> list[list[int]]:
    """Indices of columns that fit beside the first one."""
    found, used = [[0]], widths[0]
    for index in range(1, len(widths)):
        if used + 2 + widths[index] > most and len(found[-1]) > 1:
            found.append([0])
            used = widths[0]
        found[-1].append(index)
        used += 2 + widths[index]
    return found
