"""What the commands of the command line share: options made of knobs, and output as text or JSON."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from typing import Any


def add_json(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--json", action="store_true", help="print one JSON document on standard output")


def show(options: argparse.Namespace, content: Any, text: Callable[[], str]) -> None:
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        print(json.dumps(content, indent=2, default=str) if options.json else text(), flush=True)


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
