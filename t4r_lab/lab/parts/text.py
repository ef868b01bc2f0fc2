"""Figures and messages as text: three significant digits, and everything from data escaped."""

from __future__ import annotations

import html
import math
import time
from typing import Literal

from t4r_lab.base.errors import OPTION, InputError
from t4r_lab.pictures.short_numbers import count, number

__all__ = ["clock", "count", "duration", "error_text", "escape", "field_text", "message", "number", "without_flags"]

State = Literal["empty", "loading", "error", "note", "warning"]


def escape(text: object) -> str:
    """`text` escaped for HTML content and attributes.

    >>> escape("<img onerror=x>")
    '&lt;img onerror=x&gt;'
    """
    return html.escape(str(text), quote=True)


def duration(seconds: float | None) -> str:
    """A duration as text, coarse enough not to flicker.

    >>> duration(0.4), duration(42), duration(125), duration(7300), duration(None)
    ('0 s', '42 s', '2 min 5 s', '2 h 1 min', '–')
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = int(max(seconds, 0))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def error_text(error: InputError) -> str:
    """An error in one line, with options named as in the forms."""
    return without_flags(str(error))


def field_text(error: InputError | None) -> str:
    """What a field that the path of `error` names shows of it; empty if there is none."""
    return without_flags(error.sentence) if error else ""


COMMANDS = {
    "prepare": "Prepare in Data",
    "train --again": "Train again in Runs",
    "train --resume": "Resume in Train",
    "train": "Train in Architecture",
    "jobs": "the buttons in Train",
    "tune": "Start in Tune",
    "studies": "the buttons in Tune",
    "finalize": "Finalize in Tune",
    "ui": "Open in MLflow in Runs",
}
"""Beginning of a command → what does its work in the Lab, the longest beginning first."""


def without_flags(text: str) -> str:
    """`text` without words of the command line: options and commands are named as in the Lab.

    >>> without_flags("name it with --time, or use --split leave_one_out; or lower --min-item-support")
    'name it with “time”, or use “split” leave_one_out; or lower “min item support”'
    >>> without_flags("run `t4r-lab prepare` to make it, or add one with `t4r-lab worker --study s`")
    'run Prepare in Data to make it, or add one with “t4r-lab worker --study s” in a terminal'
    """
    return OPTION.sub(lambda match: f"“{match[1].replace('-', ' ')}”" if match[1] else _in_the_lab(match[0]), text)


def _in_the_lab(quoted: str) -> str:
    """What a quoted command is in the Lab; other quoted text in typographic quotes."""
    text = quoted.strip("`")
    if not text.startswith("t4r-lab "):
        return f"“{text}”"
    command = text.removeprefix("t4r-lab ")
    return next((words for start, words in COMMANDS.items() if command.startswith(start)), f"“{text}” in a terminal")


def clock(seconds: float) -> str:
    """A moment, in seconds since 1970, by local time: today's as hour and minute, an earlier one with its date."""
    moment, now = time.localtime(seconds), time.localtime()
    if moment[:3] == now[:3]:
        return time.strftime("%H:%M", moment)
    return time.strftime("%m-%d %H:%M" if moment.tm_year == now.tm_year else "%Y-%m-%d %H:%M", moment)


def message(state: State, text: str) -> str:
    """HTML of a panel's empty, loading or error state; `text` is plain and gets escaped.

    An error is announced by a screen reader at once, the others when it is idle.
    """
    if not text:
        return ""
    role = "alert" if state == "error" else "status"
    sign = {"error": "Error: ", "loading": "", "empty": "", "note": "", "warning": "Warning: "}[state]
    return f'<div class="t4r-message t4r-{state}" role="{role}">{sign}{escape(text)}</div>'
