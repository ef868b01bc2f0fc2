"""What the commands of the command line share: options made of knobs, and output as text or JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import IO, Any, NamedTuple

from t4r_lab.base.terminal import clean


class Command(NamedTuple):
    """A command of the command line."""

    run: Callable[[argparse.Namespace], int | None]
    """gives the exit status, None for 0"""
    help: str
    example: str
    """without the name of the program"""
    add_options: Callable[[argparse.ArgumentParser], None]


def add_json(sub: argparse.ArgumentParser) -> None:
    """Add ``--json`` to a command."""
    sub.add_argument("--json", action="store_true", help="print one JSON document on standard output")


@contextmanager
def document() -> Iterator[IO[str]]:
    """Standard output for what a command has found; whatever else is printed meanwhile, by libraries and processes
    too, goes to standard error."""
    before = sys.stdout
    try:
        before.flush()
        own = before.fileno()
    except (AttributeError, OSError, ValueError):  # no file, as in a notebook or a test
        with redirect_stdout(sys.stderr):
            yield before
        return
    with os.fdopen(os.dup(own), "w", encoding=before.encoding, errors=before.errors) as out:
        os.dup2(2, own)
        try:
            with redirect_stdout(sys.stderr):
                yield out
        finally:
            os.dup2(out.fileno(), own)


def show(options: argparse.Namespace, content: Any, text: Callable[[], str]) -> None:
    """What a command has found, onto ``options.document``."""
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        found = json.dumps(content, indent=2, default=str) if options.json else clean(text())
        print(found, file=options.document, flush=True)


def add_flag(sub: argparse.ArgumentParser, knob: Any) -> None:
    """An option of the command line from a knob's own name, type, choices and help."""
    flag = f"--{knob.path.replace('_', '-')}"
    if knob.type is bool:
        sub.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=knob.help)
    elif knob.type in (list, tuple):
        sub.add_argument(flag, nargs="+", default=None, help=knob.help)
    elif knob.type is dict:
        sub.add_argument(flag, nargs="+", default=None, metavar="COLUMN=VALUE", help=knob.help)
    else:
        default = "" if knob.default is None else f" (default {knob.default})"
        spelled = (lambda text: text.replace("-", "_")) if knob.choices else str  # leave-one-out is understood too
        sub.add_argument(flag, default=None, type=spelled, choices=knob.choices or None, help=f"{knob.help}{default}")
