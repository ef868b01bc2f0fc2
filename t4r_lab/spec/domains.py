"""Ranges that a user gives, and the domains of knobs that come of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from t4r_lab.base.documents import Document, read_yaml
from t4r_lab.base.errors import InputError, shortened
from t4r_lab.families.knobs import Part, knob

GRID_POINTS = 5
"""Values of a range that a grid tries; give choices for others."""


class Range(Part):
    """The user's limits of one path: the ends of a range, or choices."""

    low: float | None = knob(None, "lower end, included")
    high: float | None = knob(None, "upper end, included")
    log: bool = knob(False, "sampled on a log scale")
    step: float | None = knob(None, "step between values", low=1e-12)
    choices: list[Any] | None = Field(None, description="values instead of a range", min_length=1)

    @model_validator(mode="after")
    def _range_or_choices(self) -> Range:
        if self.choices is not None:
            if (self.low, self.high, self.log, self.step) != (None, None, False, None):
                raise InputError("choices", "choices have no low, high, log or step", "leave those out")
            return self
        if self.low is None or self.high is None:
            end = "low" if self.low is None else "high"
            raise InputError(end, "a range needs low and high, for example {low: 0, high: 0.5}", "or give choices")
        if not self.low < self.high:
            empty = "is empty" if self.low == self.high else "is the wrong way round"
            raise InputError("", f"the range {self.low:g} to {self.high:g} {empty}", "give the smaller end first")
        if self.log and self.low <= 0:
            raise InputError(
                "low", f"a log scale can't reach {self.low:g}", "start above 0, for example at 1e-6, or leave log"
            )
        if self.log and self.step is not None:
            raise InputError("step", "a log scale has no step", "leave one of them out")
        return self


def parse_search(text: str) -> tuple[str, Document | None]:
    """``path``, ``path=low:high[:log]`` or ``path=a,b,c`` of the command line as path and content of a `Range`.

    >>> parse_search("train.learning_rate=1e-4:1e-2:log")
    ('train.learning_rate', {'low': 0.0001, 'high': 0.01, 'log': True})
    >>> parse_search("model.body.kind=gpt2,sasrec")
    ('model.body.kind', {'choices': ['gpt2', 'sasrec']})

    A custom class stands among the choices by its name, ``package.module:Name``.
    """
    path, equals, value = (part.strip() for part in text.partition("="))
    where = f"--search {shortened(text)}"
    if not path or (equals and not value):
        raise InputError(where, "not a range", "write path, path=low:high[:log] or path=a,b,c")
    if not equals:
        return path, None
    low, colon, rest = value.partition(":")
    if "," in value or not colon:
        return path, parse_choices(value, path, where)
    high, _, scale = rest.partition(":")
    if scale not in ("", "log"):
        raise InputError(where, f"{shortened(scale)} is not a scale", "write log or nothing after the range")
    try:
        return path, {"low": float(low), "high": float(high), "log": bool(scale)}
    except ValueError:
        raise InputError(where, "the ends of a range are numbers", f"write for example {path}=0:0.5") from None


def parse_choices(text: str, path: str, where: str) -> Document:
    """Choices of the knob at `path` with commas between as content of a `Range`.

    >>> parse_choices("gru,package.module:Body", "model.body.kind", "")
    {'choices': ['gru', 'package.module:Body']}
    """
    try:
        return {"choices": [read_yaml(choice, where) for choice in text.split(",")]}
    except InputError as error:
        raise InputError(where, error.problem, f"""quote it, as in --search {path}='"{{a}}",b'""") from None


@dataclass(frozen=True)
class Domain:
    """The values over which one knob is searched: `choices`, or else numbers from `low` to `high`, both included."""

    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    step: float | None = None
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        if self.choices:
            return value in self.choices
        return isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high

    def points(self) -> list[Any]:
        """The values that a grid tries: every choice, every step of a short range, or some evenly spread."""
        if self.choices:
            return list(self.choices)
        step = self.step or (1 if self.whole else None)
        if step and not self.log and (self.high - self.low) / step < GRID_POINTS:
            values = [self.low + i * step for i in range(int((self.high - self.low) / step + 1e-9) + 1)]
        else:
            ends = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
            spread = [ends[0] + (ends[1] - ends[0]) * i / (GRID_POINTS - 1) for i in range(GRID_POINTS)]
            values = [min(max(math.exp(x) if self.log else x, self.low), self.high) for x in spread]
            if step:
                values = [self.low + round((x - self.low) / step) * step for x in values]
        return list(dict.fromkeys(round(x) for x in values)) if self.whole else values

    @property
    def words(self) -> str:
        """The domain in words: its choices, or its bounds with the step or scale."""
        if self.choices:
            return ", ".join(map(str, self.choices))
        how = ", log" if self.log else f" by {self.step:g}" if self.step else ""
        return f"{self.low:g} to {self.high:g}{how}"
