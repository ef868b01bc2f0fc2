"""The program `t4r-lab`: its parser, and the exit status of its commands.

Exit status: 0 done; 2 the user's input is wrong (one line ``error: …``); 1 anything else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from t4r_lab import __version__
from t4r_lab.base import processors
from t4r_lab.base.errors import ERROR_FILE, LONGEST, InputError, did_you_mean, is_panic
from t4r_lab.base.files import write_json
from t4r_lab.base.private import long_options
from t4r_lab.base.terminal import say
from t4r_lab.cli.data_commands import DATA_COMMANDS
from t4r_lab.cli.job_commands import JOB_COMMANDS
from t4r_lab.cli.options import Command, document
from t4r_lab.cli.removal_commands import REMOVAL_COMMANDS
from t4r_lab.cli.run_commands import RUN_COMMANDS
from t4r_lab.cli.study_commands import STUDY_COMMANDS
from t4r_lab.families.custom import trust

COMMANDS: dict[str, Command] = {
    **DATA_COMMANDS,
    **RUN_COMMANDS,
    **STUDY_COMMANDS,
    **JOB_COMMANDS,
    **REMOVAL_COMMANDS,
}

SYNONYMS = {
    "--labels": ("--targets",),
    "--label": ("--targets",),
    "--target": ("--targets",),
    "--timestamp": ("--time",),
    "--output": ("--out",),
    "--epochs": ("--set train.epochs=…",),
    "--lr": ("--set train.learning_rate=…",),
    "--learning-rate": ("--set train.learning_rate=…",),
    "--batch-size": ("--set train.batch_size=…",),
    "--seed": ("--seeds", "--set train.seed=…"),
    "--device": ("--set train.device=…",),
}
"""Option of another tool → what stands for it here: the first that the command has."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line with a remedy."""

    def error(self, message: str) -> NoReturn:
        """Raise `InputError` instead of printing the usage and exiting."""
        raise InputError(self.prog, f"{message[0].lower()}{message[1:]}", f"see `{self.prog} --help`")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does.

        Raises
        ------
        InputError
            for an unknown option, with the nearest existing one.
        """
        options, rest = super().parse_known_args(args, namespace)
        unknown = [a for a in rest if a.startswith("-")]
        if unknown and (existing := long_options(self)):
            word = unknown[0].partition("=")[0]
            raise InputError(self.prog, f"unknown option {word}", _nearest(word, existing))
        return options, rest


def _nearest(word: str, existing: Iterable[str]) -> str:
    """The remedy for an unknown option of a command that has the `existing` ones."""
    options = list(existing)
    meant = next((option for option in SYNONYMS.get(word, ()) if option.partition(" ")[0] in options), None)
    return f"did you mean {meant}?" if meant else did_you_mean(word, options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    processors.limit()
    try:
        parser = make_parser()
        _check_command(parser, arguments)
        options = parser.parse_args(arguments)
        trust(options.trust)
        with document() as options.document:
            status: int = options.command(options) or 0
        return status
    except InputError as error:
        _write_parts(error)
        say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        say("interrupted")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except BaseException as error:
        if os.environ.get("T4R_LAB_DEBUG") or not (isinstance(error, Exception) or is_panic(error)):
            raise
        line, kind = (" ".join(str(error).split()) or type(error).__name__)[:LONGEST], type(error).__name__
        _write_parts(InputError("", f"{kind}: {line}", "T4R_LAB_DEBUG=1 shows where"))
        say(f"error: {line} ({kind}; T4R_LAB_DEBUG=1 shows where)")
        return 1


def _write_parts(error: InputError) -> None:
    """Write the parts of an error into the file named by `ERROR_FILE`, for the process that started this one."""
    if path := os.environ.get(ERROR_FILE):
        with suppress(OSError):
            write_json(Path(path), error.parts)


def _check_command(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Refuse an unknown command with the nearest existing one."""
    first = next((a for a in arguments if not a.startswith("-")), None)
    if first is not None and first not in COMMANDS:
        raise InputError(parser.prog, f"unknown command {first!r}", did_you_mean(first, COMMANDS))


def make_parser() -> argparse.ArgumentParser:
    """The parser of `t4r-lab`, one subparser per command of `COMMANDS`."""
    parser = Parser(prog="t4r-lab", description="A lab for session-based recommendation.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            epilog=f"example: t4r-lab {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_options(sub)
        sub.add_argument(
            "--trust",
            action="append",
            default=[],
            metavar="PACKAGE",
            help="allow specs to name classes of this package, whose code then runs; repeatable",
        )
        sub.set_defaults(command=command.run)
    return parser
