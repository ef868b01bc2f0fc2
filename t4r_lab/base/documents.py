"""Read YAML and JSON of any origin in time linear in the text, or refuse it in one line.

Refused is what would be read otherwise than it looks (a repeated key, half of a surrogate pair) and what takes very
long (depth, aliases that multiply, numbers of thousands of digits). NaN and infinity are read, since a loss may be
either; no knob of a spec takes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import yaml
from yaml.composer import Composer, ComposerError
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.resolver import Resolver

from t4r_lab.base.errors import InputError, shortened

Document = dict[str, Any]
"""The content of a JSON or YAML document, or of a part of one: plain values, lists and mappings, however deep."""
YAML_CHARACTERS = 500_000
"""The longest YAML text; those written by people or forms are far shorter."""
YAML_NODES = 30_000
"""The most keys and values, with those that aliases repeat counted each time."""
JSON_CHARACTERS = 500_000_000
"""The longest JSON text; one file may hold the attributes of all items of a shop."""
DEPTH = 100
DIGITS = 400
"""The longest whole number: above any useful one, below those that take Python long."""
MERGE = "tag:yaml.org,2002:merge"
BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
UNREADABLE = (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError)
"""Errors of PyYAML's constructors for values that only look right, such as a 30th of February."""


def read_document(text: str, where: str) -> Any:
    """The value of JSON or YAML `text`: JSON if the name `where` ends in ``.json`` or the text is JSON, else YAML."""
    if where.endswith(".json"):
        return read_json(text, where)
    if text.lstrip().startswith("{"):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            pass  # YAML too may begin with a brace
        else:
            return read_json(text, where)
    return read_yaml(text, where)


def read_json(text: str, where: str) -> Any:
    """The value of JSON `text`.

    Raises
    ------
    InputError
        which begins with `where` and names line and column.
    """
    _check_length(text, where, JSON_CHARACTERS)
    _check_depth(text, where)
    try:
        text.encode()
        content = json.loads(text, object_pairs_hook=_object, parse_int=_whole)
        if "\\u" in text:
            json.dumps(content, ensure_ascii=False).encode()  # half of a surrogate pair is not a character
        return content
    except json.JSONDecodeError as error:
        problem = f"{error.msg[:1].lower()}{error.msg[1:]}"
        line = f"in line {error.lineno}, " if "\n" in text.strip() else "at "
        raise InputError(where, f"not valid JSON {line}column {error.colno}: {problem}", "fix that line") from None
    except UnicodeEncodeError:
        raise InputError(where, "not valid JSON: half of a surrogate pair is not a character", "fix it") from None
    except (ValueError, RecursionError) as error:
        raise InputError(where, f"not valid JSON: {error}", "fix it") from None


def _check_length(text: str, where: str, most: int) -> None:
    if len(text) > most:
        raise InputError(where, f"has {len(text):,} characters, up to {most:,} are read", "make it smaller")


def _check_depth(text: str, where: str) -> None:
    if text.count("[") + text.count("{") <= DEPTH:
        return
    depth = 0
    for bracket in BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket.group(), 0)
        if depth > DEPTH:
            raise InputError(where, f"nested deeper than {DEPTH} levels", "make it flatter")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shortened(twice)} stands twice")
    return content


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a whole number of {len(digits):,} digits")
    return int(digits)


# ── YAML ────────────────────────────────────────────────────────────────────────────────────────


def read_yaml(text: str, where: str) -> Any:
    """The value of YAML `text`.

    Raises
    ------
    InputError
        which begins with `where` and names line and column.
    """
    _check_length(text, where, YAML_CHARACTERS)
    try:
        return _Reader(_events(text)).get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
        raise InputError(where, f"not valid YAML{line}: {_short_lines(problem)}", "fix that line") from None
    except UnicodeError:
        raise InputError(where, "not valid YAML: half of a surrogate pair is not a character", "fix it") from None
    except RecursionError:  # the caller is deep in the stack already
        raise InputError(where, "nested too deep", "make it flatter") from None


def _short_lines(problem: str) -> str:
    """A message of PyYAML in one line, shortened, since it may quote a key or tag of any length."""
    words = " ".join(problem.split())
    return words if len(words) <= 200 else f"{words[:200]}…"


def _events(text: str) -> list[yaml.Event]:
    """The events of a YAML text, whose size is checked before values are made of them."""
    events: list[yaml.Event] = []
    depth = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        events.append(event)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ComposerError(None, None, f"nested deeper than {DEPTH} levels", event.start_mark)
        if len(events) > 2 * YAML_NODES:
            raise ComposerError(None, None, f"more than {YAML_NODES:,} values", event.start_mark)
    return events


class _Reader(Composer, SafeConstructor, Resolver):  # type: ignore[misc]  # PyYAML has no types
    """PyYAML's steps from events to values, with limits at each one."""

    def __init__(self, events: list[yaml.Event]) -> None:
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self._events, self._at = events, 0
        self._extent: dict[int, tuple[int, int]] = {}  # node → values in it and below, and levels

    def check_event(self, *kinds: type[yaml.Event]) -> bool:
        return not kinds or isinstance(self._events[self._at], kinds)

    def peek_event(self) -> yaml.Event:
        return self._events[self._at]

    def get_event(self) -> yaml.Event:
        self._at += 1
        return self._events[self._at - 1]

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node:
        event = self.peek_event()
        alias = isinstance(event, yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if alias:
            if id(node) not in self._extent:
                raise ComposerError(None, None, "an alias for what it lies in", event.start_mark)
            return node
        inner = [] if isinstance(node, yaml.ScalarNode) else node.value
        if isinstance(node, yaml.MappingNode):
            _refuse_repeated(node)
            inner = [part for pair in node.value for part in pair]
        extents = [self._extent[id(part)] for part in inner]
        size, depth = 1 + sum(e[0] for e in extents), 1 + max((e[1] for e in extents), default=0)
        if size > YAML_NODES or depth > DEPTH + 1:
            raise ComposerError(None, None, "aliases that multiply what they stand for", event.start_mark)
        self._extent[id(node)] = size, depth
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge the mappings of ``<<``: the mapping's keys win over merged ones, earlier merged ones over later.

        That of PyYAML 6.0.4 compares keys by identity, so that keys of one letter differ from longer ones.
        """
        merged: list[tuple[yaml.Node, yaml.Node]] = []
        for source in [s for key, value in node.value if key.tag == MERGE for s in _sources(value)]:
            self.flatten_mapping(source)
            merged = [*source.value, *merged]  # the last one wins
        node.value = [*merged, *(pair for pair in node.value if pair[0].tag != MERGE)]

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except UNREADABLE:
            kind = node.tag.rpartition(":")[2]
            words = f"{shortened(node.value)} is not a valid {kind}"
            raise ConstructorError(None, None, words, node.start_mark) from None


def _sources(value: yaml.Node) -> list[yaml.Node]:
    """The mappings to merge for ``<<``."""
    mappings = value.value if isinstance(value, yaml.SequenceNode) else [value]
    for node in mappings:
        if not isinstance(node, yaml.MappingNode):
            raise ConstructorError(None, None, "what << merges is not a mapping", node.start_mark)
    return mappings


def _refuse_repeated(node: yaml.MappingNode) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                raise ComposerError(None, None, f"the key {shortened(key.value)} stands twice", key.start_mark)
            seen.add((key.tag, key.value))


def _checked(construct: Callable[[_Reader, yaml.ScalarNode], object]) -> Callable[[_Reader, yaml.ScalarNode], object]:
    """`construct` for scalars; a ConstructorError for one longer than `DIGITS`."""

    def constructed(reader: _Reader, node: yaml.ScalarNode) -> object:
        if len(node.value) > DIGITS:
            raise ConstructorError(None, None, f"a number of {len(node.value):,} characters", node.start_mark)
        return construct(reader, node)

    return constructed


PLAIN = {
    "bool": ("tTfF", r"true|True|TRUE|false|False|FALSE"),
    "float": ("-+.0123456789", r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|[-+]?\.[0-9][0-9_]*|[-+]?\.inf|\.nan"),
    "int": ("-+0123456789", r"[-+]?(?:0|[1-9][0-9_]*)"),
    "null": (("~", "n", "N", ""), r"~|null|Null|NULL|"),
    "merge": ("<", r"<<"),
}
"""Texts without quotes that aren't text, after their first characters: those of YAML 1.1 that look like what they are.
Left out are its times of day (``1:30`` is 90 there), octal and hexadecimal numbers, dates, and ``no`` for false."""
_Reader.yaml_implicit_resolvers = {}
for _kind, (_first, _pattern) in PLAIN.items():
    _Reader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"^(?:{_pattern})$"), list(_first))
_Reader.add_constructor("tag:yaml.org,2002:int", _checked(SafeConstructor.construct_yaml_int))
_Reader.add_constructor("tag:yaml.org,2002:float", _checked(SafeConstructor.construct_yaml_float))
_Reader.add_constructor("tag:yaml.org,2002:value", SafeConstructor.construct_yaml_str)  # a lone = is text
