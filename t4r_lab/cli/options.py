"""Shared by all commands: their type, options made of knobs, and output as text or JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import IO, TYPE_CHECKING, NamedTuple

from t4r_lab.base.terminal import lines_of

if TYPE_CHECKING:
    from t4r_lab.families.knobs import Knob


class Command(NamedTuple):
    """A command of the command line."""

    run: Callable[[argparse.Namespace], int | None]
    """returns the exit status, None for 0"""
    help: str
    example: str
    """without the name of the program"""
    add_options: Callable[[argparse.ArgumentParser], None]


def add_json(sub: argparse.ArgumentParser) -> None:
    """Add ``--json`` to a command."""
    sub.add_argument("--json", action="store_true", help="print one JSON document on standard output")


@contextmanager
def document() -> Iterator[IO[str]]:
    """Standard output for the result of a command; all other output within the block, by libraries and child processes
    too, goes to standard error."""
    before = sys.stdout
    try:
        before.flush()
        descriptor = before.fileno()
    except (AttributeError, OSError, ValueError):  # not a file, as in a notebook or a test
        with redirect_stdout(sys.stderr):
            yield before
        return
    with os.fdopen(os.dup(descriptor), "w", encoding=before.encoding, errors=before.errors) as out:
        os.dup2(2, descriptor)
        try:
            with redirect_stdout(sys.stderr):
                yield out
        finally:
            os.dup2(out.fileno(), descriptor)


def show(options: argparse.Namespace, content: object, text: Callable[[], str]) -> None:
    """Print the result of a command, as JSON `content` or as `text`, onto ``options.document``.

    A text that isn't `Lines` is one line, whatever names it quotes.
    """
    if os.environ.get("RANK", "0") == "0":  # only one of several processes prints
        result = json.dumps(content, indent=2, default=str) if options.json else lines_of([text()])
        print(result, file=options.document, flush=True)


def add_flag(sub: argparse.ArgumentParser, knob: Knob) -> None:
    """Add an option with the name, type, choices and help of a knob."""
    flag = f"--{knob.path.replace('_', '-')}"
    if knob.type is bool:
        sub.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=knob.help)
    elif knob.type in (list, tuple):
        sub.add_argument(flag, nargs="+", default=None, help=knob.help)
    elif knob.type is dict:
        sub.add_argument(flag, nargs="+", default=None, metavar="COLUMN=VALUE", help=knob.help)
    else:
        default = "" if knob.default is None else f" (default {knob.default})"
        spelled = (lambda text: text.replace("-", "_")) if knob.choices else str  # leave-one-out is accepted too
        sub.add_argument(flag, default=None, type=spelled, choices=knob.choices or None, help=f"{knob.help}{default}")
