"""Schema files of Merlin and NVTabular (protobuf as text or JSON), converted to columns of `Schema`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from t4r_lab.base.documents import DEPTH, DIGITS, Document, read_json
from t4r_lab.base.errors import InputError, shortened

Message = dict[str, list[Any]]
"""A protobuf message: field → its values, in order; nested messages are dictionaries again."""

CLASSES = frozenset(("binary_classification", "binary", "multi_class_classification", "multi_class", "classification"))
"""Tags of labels that are classes: a binary one has two."""
TARGETS = CLASSES | {"target", "regression"}
KEYS = {"item": "item_id", "session": "session_id", "user": "user_id"}
"""Role → tag of its column, which is also its name here. Newer files split the tag in two, ``item`` and ``id``."""
TOKEN = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<mark>[{}<>:;,\[\]])
    |(?P<word>[^\s{}<>:;,\[\]"'\#]+)""",
    re.VERBOSE,
)


def is_merlin(text: str) -> bool:
    """True if the text of a schema file is Merlin's and not a `Schema`."""
    if text.lstrip().startswith("{"):
        try:
            return "feature" in read_json(text, "")
        except InputError:
            return False
    return re.search(r"^[ \t]*+feature\s*+:?\s*+[{<]", text, re.MULTILINE) is not None


def columns(text: str, source: str) -> list[dict[str, object]]:
    """Return the fields of each `Column` that the file at `source` describes.

    Kept are the features tagged categorical or continuous, labels, and the keys of item, session and user; lists are
    by event, single values by session. Ids run from 0, padding, to the maximum of ``int_domain``.

    Raises
    ------
    InputError
        if the text isn't a schema, has not exactly one item column, or a categorical column has no maximum.
    """
    message = _snake(read_json(text, source)) if text.lstrip().startswith("{") else _parse(text, source)
    try:
        fields = [c for feature in message.get("feature", []) if (c := _column(feature, source)) is not None]
    except (AttributeError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(source, f"a feature holds what none does ({error})", "write the schema again") from None
    items = [c["source"] for c in fields if c["role"] == "item"]
    if len(items) != 1:
        named = " and ".join(map(repr, items)) or "no feature"
        raise InputError(source, f"{named} has the tag item_id", "tag exactly one")
    return fields


def _column(feature: Message, source: str) -> Document | None:
    name, tags = (
        str(_one(feature, "name", "")),
        {str(t).lower() for t in _one(feature, "annotation", {}).get("tag", [])},
    )
    role = next((r for r, tag in KEYS.items() if tag in tags or tags >= {r, "id"}), None)
    if role is None:
        role = "target" if tags & TARGETS else "feature"
    domain = _one(feature, "int_domain", {})
    categorical = "categorical" in tags or role in KEYS
    if role == "target":
        categorical = bool(tags & CLASSES) or ("categorical" in tags and "regression" not in tags)
    elif not categorical and "continuous" not in tags:
        return None
    column: Document = {
        "name": KEYS.get(role, name.replace(".", "_")),  # a module can't be called by a name with dots
        "source": name,
        "role": role,
        "kind": "categorical" if categorical else "continuous",
        "scope": "event" if role == "item" or _is_list(feature, tags) else "session",
    }
    if categorical and role not in ("session", "user"):
        largest = 1 if tags & {"binary_classification", "binary"} else _whole(domain, "max")
        if largest < 1:
            raise InputError(source, f"feature {name!r} has no int_domain max", "give it the number of its ids")
        column["size"] = largest + (3 if role == "target" else 1)  # ids of labels stand behind padding and unknown
    return column


def _is_list(feature: Message, tags: set[str]) -> bool:
    count = _one(feature, "value_count", {})
    extra = _one(_one(feature, "annotation", {}), "extra_metadata", {})
    return bool(tags & {"list", "sequence"}) or _whole(count, "max") > 1 or _one(extra, "is_list", False) is True


def _one(message: Message, name: str, default: Any) -> Any:
    values = message.get(name) or [default]
    return values[0]


def _whole(message: Message, name: str) -> int:
    """A whole number, also one with a point; 0 if the message lacks it. A ValueError for any other value."""
    value = _one(message, name, 0)
    try:
        return int(str(value))
    except ValueError:
        number = float(value)
    if not number.is_integer():
        raise ValueError(f"{name}: {shortened(value)} is not a whole number")
    return int(number)


# ── Reading ─────────────────────────────────────────────────────────────────────────────────────


def _snake(content: Any) -> Any:
    """Convert JSON to a message: ``intDomain`` becomes ``int_domain``, and every value is put in a list."""
    if not isinstance(content, dict):
        return content
    return {
        re.sub(r"([A-Z])", r"_\1", key).lower(): [_snake(v) for v in (value if isinstance(value, list) else [value])]
        for key, value in content.items()
    }


def _parse(text: str, source: str) -> Message:
    """Parse protobuf's text format: ``name: value``, ``name { … }``, lists in brackets, comments."""
    return _message(_tokens(text, source), source, "", 1)


def _tokens(text: str, source: str) -> Iterator[tuple[str, str, int]]:
    """Iterate over kind, text and line of each token."""
    at, line = 0, 1
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise InputError(f"{source}, line {line}", "a text is not closed", "write the schema again")
        if match.lastgroup != "skip":
            yield str(match.lastgroup), match.group(), line
        line += match.group().count("\n")
        at = match.end()
    yield "end", "", line


def _message(tokens: Iterator[tuple[str, str, int]], source: str, close: str, depth: int) -> Message:
    """Parse fields up to the mark that closes the message, at nesting level `depth`."""
    message: Message = {}
    if depth > DEPTH:
        raise InputError(source, f"nested deeper than {DEPTH} levels", "write the schema again")
    for kind, name, line in tokens:
        if name == close and kind in ("mark", "end"):
            return message
        if kind == "end":
            break
        if name in (",", ";"):
            continue
        if kind != "word":
            raise InputError(f"{source}, line {line}", f"{shortened(name)} where a field should begin", "fix that line")
        kind, value, line = next(tokens)
        if value == ":":
            kind, value, line = next(tokens)
        if value == "[":
            message.setdefault(name, []).extend(_list(tokens, source, depth))
        else:
            message.setdefault(name, []).append(_value(tokens, source, kind, value, line, depth))
    raise InputError(source, "ends within a feature", "write the schema again")


def _value(tokens: Iterator[tuple[str, str, int]], source: str, kind: str, value: str, line: int, depth: int) -> Any:
    if value in ("{", "<") and kind == "mark":
        return _message(tokens, source, "}" if value == "{" else ">", depth + 1)
    if kind == "text":
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    if kind != "word":
        raise InputError(
            f"{source}, line {line}", f"{shortened(value or 'the end')} where a value should stand", "fix that line"
        )
    if value in ("true", "false"):
        return value == "true"
    return int(value) if len(value) <= DIGITS and re.fullmatch(r"-?[0-9]+", value) else value


def _list(tokens: Iterator[tuple[str, str, int]], source: str, depth: int) -> list[Any]:
    values = []
    for kind, value, line in tokens:
        if value == "]" and kind == "mark":
            break
        if value != ",":
            values.append(_value(tokens, source, kind, value, line, depth))
    return values
