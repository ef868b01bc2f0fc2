"""The error that a user can fix, printed in one line without a traceback."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable


class InputError(ValueError):
    """An error in the user's input: its path, the problem and the remedy.

    The command line prints it as ``error: …`` and exits with status 2; the notebook shows it beside the field it
    belongs to. As text it is one sentence of at most `LONGEST` characters, whatever it quotes.

    Parameters
    ----------
    path
        the knob of the spec, option, argument, column, run or file at fault, as the user can type it; empty where
        nothing in particular is at fault (`tests/base/test_errors.py` lists where).
    problem
        the fault.
    remedy
        the way to fix it. Remedy and problem name an option as the command line does, see `OPTION`; a form finds it in
        `options`, and may use another name.
    columns
        the names of the raw columns concerned.

    >>> str(InputError("train.epochs", "0 is too small", "give 1 or more"))
    'train.epochs: 0 is too small; give 1 or more'
    """

    def __init__(self, path: object, problem: str, remedy: str, columns: Iterable[str] = ()) -> None:
        self.path, self.problem, self.remedy, self.columns = str(path), problem, remedy, tuple(columns)
        super().__init__(self.path, problem, remedy)  # so that it can be pickled

    def __str__(self) -> str:
        return _within_limit(f"{self.path}: {self.problem}; {self.remedy}".removeprefix(": "))

    @property
    def sentence(self) -> str:
        """Problem and remedy: what a form shows beside the field that the path names."""
        return _within_limit(f"{self.problem}; {self.remedy}")

    @property
    def parts(self) -> tuple[str, str, str]:
        """Path, problem and remedy, to hand to another process: ``InputError(*parts)`` is the same error."""
        return self.path, self.problem, self.remedy

    def at(self, path: object) -> InputError:
        """The same error at another `path`."""
        return InputError(path, self.problem, self.remedy, self.columns)

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options in problem and remedy, spelled as in Python.

        >>> InputError("clicks.csv", "no time column", "name it with --time, or use --split leave_one_out").options
        ('time', 'split')
        """
        return tuple(name.replace("-", "_") for name in OPTION.findall(f"{self.problem} {self.remedy}") if name)


def _within_limit(sentence: str) -> str:
    """`sentence` in at most about `LONGEST` characters, with its end: the remedy stands there."""
    if len(sentence) > LONGEST:
        return f"{sentence[: LONGEST // 2]} … {sentence[-LONGEST // 3 :]}"
    return sentence


ERROR_FILE = "T4R_LAB_ERROR_FILE"
"""The variable that names a file for the parts of an error of the command line, when it runs in the background."""
OPTION = re.compile(r"`[^`]*`|--([a-z][a-z-]*)")
"""An option in a problem or a remedy, unless it is part of a whole `command`."""


def is_panic(error: BaseException) -> bool:
    """True if a library written in Rust, such as polars, has panicked, which in Python is no `Exception`.

    Each library defines its own class for that, so the name decides.
    """
    return type(error).__name__ == "PanicException"


def first_line(error: BaseException) -> str:
    """The first line of another library's error, without the address of a manual; its type if it has no message.

    >>> first_line(ValueError("\\n  no such column \\n  in line 2")), first_line(KeyError())
    ('no such column', 'KeyError')
    """
    lines = (MANUAL.sub("", line).strip() for line in str(error).splitlines())
    return next((line if len(line) <= LINE else f"{line[:LINE]}…" for line in lines if line), type(error).__name__)


MANUAL = re.compile(r"\(?Background on this error at: \S+")
"""SQLAlchemy's, at the end of its lines."""
LINE = 300
MOST = 24
"""Choices that an error lists."""
LONGEST = 2000
WORD = 80
"""Characters of a value, a key or a choice that an error quotes."""

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = WORD
_brief.maxlevel = 3


def shortened(value: object) -> str:
    """The `repr` of a user's value, shortened.

    >>> shortened("gpt2"), shortened([1, 2, 3])
    ("'gpt2'", '[1, 2, 3]')
    >>> len(shortened("x" * 10**6)), shortened([[[[1]]]] * 100)
    (80, '[[[[...]]], [[[...]]], [[[...]]], [[[...]]], [[[...]]], [[[...]]], ...]')
    """
    try:
        return _brief.repr(value)
    except ValueError:  # Python prints no number of more than 4,300 digits
        return f"a {type(value).__name__} of thousands of digits"


def clipped(word: str) -> str:
    """A key or a name for a sentence, shortened, without quotes."""
    return word if len(word) <= WORD else f"{word[: WORD // 2]}…{word[-WORD // 3 :]}"


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """A remedy for an unknown `word`: one of `choices` that ends in it or nearly so, or else the list of `choices`.

    >>> did_you_mean("epoch", ["epochs", "batch_size"])
    "did you mean 'epochs'?"
    >>> did_you_mean("seed", ["train.epochs", "train.seed"])
    "did you mean 'train.seed'?"
    >>> did_you_mean("dropuot", ["train.seed", "model.body.dropout"])
    "did you mean 'model.body.dropout'?"
    >>> did_you_mean("zzz", ["a", "b"])
    'choose from: a, b'
    """
    choices, query = list(choices), (word if isinstance(word, str) else shortened(word))[: 2 * WORD]
    last = {choice.rpartition(".")[2]: choice for choice in reversed(choices)}  # the first of several wins
    near = [last[query]] if query in last else difflib.get_close_matches(query, choices, n=1, cutoff=0.6)
    near = near or [last[name] for name in difflib.get_close_matches(query, last, n=1, cutoff=0.6)]
    if near:
        return f"did you mean {shortened(near[0])}?"
    more = f" and {len(choices) - MOST} more" if len(choices) > MOST else ""
    return f"choose from: {', '.join(map(clipped, choices[:MOST]))}{more}"
