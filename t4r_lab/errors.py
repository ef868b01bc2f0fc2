"""The one kind of error a user can mend: said in one line, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The user's input is wrong. The message says what, where and what to do.

    The command line prints it as ``error: …`` and exits with status 2; the notebook shows it
    beside the field it belongs to.
    """


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A remedy for an unknown `word`: the nearest of `choices`, or all of them.

    >>> did_you_mean("epoch", ["epochs", "batch_size"])
    "did you mean 'epochs'?"
    >>> did_you_mean("zzz", ["a", "b"])
    'choose from: a, b'
    """
    choices = list(choices)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"choose from: {', '.join(choices)}"
