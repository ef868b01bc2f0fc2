"""Filters of runs as words: ``body:gru name:shop ndcg>0.1``.

| term | runs that |
|---|---|
| ``shop`` | have the word in their name, id, model, data, state, tags or notes |
| ``body:gru`` | have it in that fact; ``body:gru,lstm``: one of several |
| ``state=finished``, ``state!=failed`` | are exactly that, or are not |
| ``ndcg@10>0.1``, ``time<5min``, ``started>=2026-11-01`` | compare so; ``ndcg`` is at its largest cutoff |
| ``-body:gru`` | don't match the term |
| ``archived:yes`` | are archived; without a term of ``archived`` they are left out |

All terms must hold. A knob is called by its path or the end of it (``learning_rate<0.01``); quotes keep spaces
(``name:"my run"``), and keep a word from being read as a comparison (``"a:b"``).
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from t4r_lab import tracking
from t4r_lab.base.errors import InputError, did_you_mean, shortened

Facts = Mapping[str, float | str]
"""What a run can be filtered by: name of the fact → its value; see `facts`."""
STATES = {"KILLED": "stopped"}
"""MLflow's status → our word, where they differ."""
SEARCHED = ("name", "id", "body", "masking", "data", "state", "tag", "notes")
"""Facts that a plain word is looked for in."""
COMPARED = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
TOKEN = re.compile(r'(?:[^\s"]|"[^"]*")+')
OPERATOR = re.compile(r"<=|>=|!=|[:=<>]")
AMOUNT = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(s|min|h)?", re.IGNORECASE)
SECONDS = {None: 1, "s": 1, "min": 60, "h": 3600}
REMEDY = "write for example body:gru or ndcg>0.1; quotes make it a plain word"


def facts(row: tracking.RunRow) -> dict[str, float | str]:
    """What a recorded run can be filtered by: its metrics on the validation part, times in seconds, knobs by path."""
    tags = tracking.user_tags(row.tags)
    return {
        **{path: _number(text) for path, text in row.knobs.items()},
        **row.valid,
        "name": row.name,
        "id": row.run_id,
        "body": row.body,
        "masking": row.masking,
        "data": Path(row.data).name,
        "state": STATES.get(row.status, row.status.lower()),
        "tag": ", ".join(f"{key}: {value}" for key, value in tags.items()),
        "notes": row.tags.get(tracking.NOTE, ""),
        "host": row.host,
        "archived": "yes" if tracking.ARCHIVED in row.tags else "no",
        "started": row.started,
        "time": row.seconds,
    }


def _number(text: str) -> float | str:
    """The number that a recorded value is, else the text.

    >>> _number("0.001"), _number("gru"), _number("nan")
    (0.001, 'gru', 'nan')
    """
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


@dataclass(frozen=True)
class Term:
    """One condition: `text` as typed, and its parts; a plain word has no `name`."""

    text: str
    name: str
    compare: str
    values: tuple[str, ...]
    negated: bool = False

    def matches(self, run: Facts) -> bool:
        """True if a run with those facts fulfills it."""
        return self._holds(run) is not self.negated

    def _holds(self, run: Facts) -> bool:
        if not self.name:
            return any(self.values[0] in str(run.get(name, "")).lower() for name in SEARCHED)
        value = run.get(self.name)
        if self.compare == "!=":
            return not any(_equal(value, given) for given in self.values)
        if value is None:
            return False
        if self.compare in COMPARED:
            return isinstance(value, float | int) and bool(
                COMPARED[self.compare](value, _amount(self.name, self.values[0]))
            )
        if self.compare == "=" or isinstance(value, float | int):
            return any(_equal(value, given) for given in self.values)
        return any(given in value.lower() for given in self.values)


def parse(text: str, names: Collection[str]) -> list[Term]:
    """The terms of a filter over runs that have facts of these `names`.

    >>> [(t.name, t.compare, t.values) for t in parse('shop body:gru ndcg>.1', ["body", "ndcg@10", "ndcg@20"])]
    [('', '', ('shop',)), ('body', ':', ('gru',)), ('ndcg@20', '>', ('.1',))]

    Raises
    ------
    InputError
        for a name that no fact has or several have, and for values that can't be compared.
    """
    if text.count('"') % 2:
        raise InputError("filter", "a double quote has no partner", "close it, or leave it out")
    return [_term(token, names) for token in TOKEN.findall(text)]


def chosen(runs: Iterable[tracking.RunRow], text: str) -> list[tracking.RunRow]:
    """Those of `runs` that match a filter.

    Raises
    ------
    InputError
        as `parse`.
    """
    pairs = [(row, facts(row)) for row in runs]
    terms = parse(text, {name for _, run in pairs for name in run}) if pairs else []
    return [row for row, run in pairs if all_match(terms, run)]


def all_match(terms: Sequence[Term], run: Facts) -> bool:
    """True if a run with those facts fulfills all terms, and isn't archived unless one of them asks for that."""
    is_hidden = run.get("archived") == "yes" and all(term.name != "archived" for term in terms)
    return not is_hidden and all(term.matches(run) for term in terms)


def _term(token: str, names: Collection[str]) -> Term:
    negated = token.startswith("-") and len(token) > 1
    body = token[1:] if negated else token
    outside = re.sub(r'"[^"]*"', lambda quoted: "_" * len(quoted[0]), body)
    marks = list(OPERATOR.finditer(outside))
    if not marks:
        return Term(token, "", "", (body.replace('"', "").lower(),), negated)
    mark = next((m for m in reversed(marks) if _resolved(body[: m.start()], names)), marks[0])
    key, compare, rest = body[: mark.start()], mark[0], body[mark.end() :]
    matching = _resolved(key, names)
    if not matching:
        raise InputError("filter", f"runs have no {shortened(key)}", did_you_mean(key, sorted(names)) or REMEDY)
    if len(matching) > 1:
        raise InputError("filter", f"{shortened(key)} may be {' or '.join(matching[:3])}", "give more of the path")
    values = tuple(part.replace('"', "").lower() for part in re.findall(r'(?:[^,"]|"[^"]*")+', rest))
    if not values:
        raise InputError("filter", f"{shortened(body)} has no value", REMEDY)
    if compare in COMPARED:
        _amount(matching[0], values[0])
    return Term(token, matching[0], compare, values, negated)


def _resolved(key: str, names: Collection[str]) -> list[str]:
    """The facts that `key` may mean: of that name, a metric at its largest cutoff, or knobs whose path ends so."""
    key = key.lower()
    if exact := [name for name in names if name.lower() == key]:
        return exact[:1]
    if at := [name for name in names if name.lower().startswith(f"{key}@") and name.rpartition("@")[2].isdecimal()]:
        return [max(at, key=lambda name: int(name.rpartition("@")[2]))]
    return sorted(name for name in names if key and name.lower().endswith(f".{key}"))


def _equal(value: float | str | None, given: str) -> bool:
    if isinstance(value, float | int):
        number = _number(given)
        return isinstance(number, float) and math.isclose(value, number, rel_tol=1e-9)
    return value is not None and value.lower() == given


def _amount(name: str, text: str) -> float:
    """The number to compare with: seconds for ``5min``, seconds since 1970 for a date."""
    if name == "started":
        try:
            return datetime.fromisoformat(text).timestamp()
        except ValueError:
            raise InputError("filter", f"{shortened(text)} is not a date", "write it as 2026-11-30") from None
    match = AMOUNT.fullmatch(text)
    if match is None or (match[2] and name != "time"):
        raise InputError("filter", f"{shortened(text)} is not a number", f"compare {name} with a number, such as 0.1")
    return float(match[1]) * SECONDS[match[2].lower() if match[2] else None]
