"""The one kind of error a user can mend: said in one line, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The user's input is wrong. The message says what, where and what to do.

    The command line prints it as ``error: …`` and exits with status 2; the notebook shows it
    beside the field it belongs to.
    """


MOST = 24
"""Choices that an error lists."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A remedy for an unknown `word`: one of `choices` that ends in it or nearly so, or what there is to choose from.

    >>> did_you_mean("epoch", ["epochs", "batch_size"])
    "did you mean 'epochs'?"
    >>> did_you_mean("seed", ["train.epochs", "train.seed"])
    "did you mean 'train.seed'?"
    >>> did_you_mean("dropuot", ["train.seed", "model.body.dropout"])
    "did you mean 'model.body.dropout'?"
    >>> did_you_mean("zzz", ["a", "b"])
    'choose from: a, b'
    """
    choices = list(choices)
    last = {choice.rpartition(".")[2]: choice for choice in reversed(choices)}  # the first of several wins
    near = [last[word]] if word in last else difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    near = near or [last[name] for name in difflib.get_close_matches(word, last, n=1, cutoff=0.6)]
    more = f" and {len(choices) - MOST} more" if len(choices) > MOST else ""
    return f"did you mean {near[0]!r}?" if near else f"choose from: {', '.join(choices[:MOST])}{more}"
