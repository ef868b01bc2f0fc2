"""YAML and JSON: any text is a value or one line, at once, and a value of it never makes a message long."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from t4r_lab.base.documents import DEPTH, read_document, read_json, read_yaml
from t4r_lab.base.errors import LONGEST, InputError, did_you_mean
from t4r_lab.cli import program as main
from t4r_lab.schema import merlin
from t4r_lab.spec import RunSpec, parse_assignment
from t4r_lab.spec.domains import parse_search
from t4r_lab.spec.study_options import StudyOptions, load_study
from tests.support.timing import at_most


def laughs(first: str, each: str, levels: int) -> str:
    """Aliases of which each repeats the one before nine times."""
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{i}: &a{i} {each % ', '.join([f'*a{i - 1}'] * 9)}" for i in range(1, levels)]
    return "\n".join(lines)


BAD_YAML = {
    "name: !!timestamp 2024-13-45": "line 1, column 7: '2024-13-45' is not a valid timestamp",
    "a: 1\nb: !!timestamp 2024-02-30": "line 2, column 4: '2024-02-30' is not a valid timestamp",
    "a: !!timestamp 9999-12-31 23:59:59.1-99:99": "is not a valid timestamp",
    f"a: {'9' * 5000}": "a number of 5,000 characters",
    f"a: !!int 0x{'f' * 100_000}": "a number of 100,002 characters",
    f"a: !!int 1:{'59:' * 1000}5": "a number of 3,003 characters",
    "a: !!int 0x_": "'0x_' is not a valid int",
    "!!bool maybe": "'maybe' is not a valid bool",
    "!!timestamp soon": "'soon' is not a valid timestamp",
    "!!python/object/apply:os.system [x]": "could not determine a constructor",
    "{": "line",
    '"': "found unexpected end of stream",
    "*a": "undefined alias",
    "a: 1\na: 2": "line 2, column 1: the key 'a' stands twice",
    "{a: {b: 1, b: 2}}": "the key 'b' stands twice",
    "? [a]\n: 1": "unhashable key",
    "a: &x [*x]": "an alias for what it lies in",
    laughs("[x]", "[%s]", 10): "aliases that multiply what they stand for",
    laughs("{k: 1}", "{<<: [%s]}", 10): "aliases that multiply what they stand for",
    "name: " + "[" * 3000 + "]" * 3000: "nest",
    "[" * 200 + "]" * 200: f"nested deeper than {DEPTH} levels",
    "- " * 499: f"nested deeper than {DEPTH} levels",
    "[" + "x," * 200_000 + "]": "more than 30,000 values",
    "x" * 600_000: "has 600,000 characters, up to 500,000 are read",
    "\x07": "not allowed",
    '"\\ud800"': "not valid YAML",
    "a: \ud800": "half of a surrogate pair",
    f"a: !!{'t' * 100_000} 1": "could not determine a constructor",
}
BAD_JSON = {
    '{"a": 1,\n "a": 2}': "the key 'a' stands twice",
    '{"a":\n}': "line 2, column 1: expecting value",
    "[" * 100_000: f"nested deeper than {DEPTH} levels",
    "[" * (DEPTH + 1) + "]" * (DEPTH + 1): f"nested deeper than {DEPTH} levels",
    f'{{"a": {"9" * 5000}}}': "a whole number of 5,000 digits",
    '"\\ud800"': "half of a surrogate pair",
    '"\ud800"': "half of a surrogate pair",
    "": "not valid JSON at column 1",
}


def refusal(read: Callable[[], Any]) -> str:
    """The line with which `read` refuses, within a second."""
    with at_most(1), pytest.raises(InputError) as error:
        read()
    text = str(error.value)
    assert "\n" not in text and len(text) <= LONGEST + 3
    return text


@pytest.mark.parametrize("text", BAD_YAML, ids=range(len(BAD_YAML)))
def test_bad_yaml_is_one_line_with_its_place_and_a_remedy(text: str) -> None:
    message = refusal(lambda: read_yaml(text, "spec.yaml"))
    assert message.startswith("spec.yaml: ") and BAD_YAML[text] in message and message.rpartition("; ")[2]


@pytest.mark.parametrize("text", BAD_JSON, ids=range(len(BAD_JSON)))
def test_bad_json_is_one_line_with_its_place_and_a_remedy(text: str) -> None:
    message = refusal(lambda: read_json(text, "spec.json"))
    assert message.startswith("spec.json: ") and BAD_JSON[text] in message and message.rpartition("; ")[2]


def test_json_is_read_as_json() -> None:
    text = '{"name": "\\ud83d\\ude00 1e3", "time": 2024, "yes": "2024-02-30", "rate": 1e-3}'
    wanted = {"name": "\U0001f600 1e3", "time": 2024, "yes": "2024-02-30", "rate": 0.001}
    assert read_document(text, "a.json") == read_document(text, "pasted") == read_document(text, "a.yaml") == wanted
    assert "not valid JSON" in refusal(lambda: read_document("data: {path: x}", "a.json"))
    assert read_document("{data: {path: x}}", "pasted") == {"data": {"path": "x"}}


def test_what_people_write_in_yaml_is_read() -> None:
    text = "base: &b {<<: {a: 1, c: 3}, a: 2}\nother: {<<: *b, c: 4}\nlist: [*b, *b]\nsign: =\nloss: .nan"
    document = read_yaml(text, "x")
    assert document["base"] == {"a": 2, "c": 3} and document["other"] == {"a": 2, "c": 4} and document["sign"] == "="
    assert document["list"] == [{"a": 2, "c": 3}] * 2 and document["loss"] != document["loss"]
    several = "one: &one {long: 1, s: 1}\ntwo: &two {long: 2, s: 2, t: 2}\nall: {<<: [*one, *two], u: 3}"
    assert read_yaml(several, "x")["all"] == {"long": 1, "s": 1, "t": 2, "u": 3}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
@settings(max_examples=150, deadline=None)
def test_values_come_back_as_they_were_written(value: Any) -> None:
    assert read_json(json.dumps(value), "x") == value
    assert read_json(json.dumps(value, ensure_ascii=False), "x") == value


@given(VALUES)
@settings(max_examples=100, deadline=None)
def test_yaml_is_read_as_its_library_reads_it(value: Any) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    assert read_yaml(text, "x") == yaml.safe_load(text)


PIECES = st.sampled_from(
    ["a", ": ", "- ", "{", "}", "[", "]", ",", "\n", "  ", "&a ", "*a", "!!int ", "!!set ", "<<: ", "? ", "| ", "#", "'", '"',
     "1", "-", "0x", "1e9", ".", "2024-02-3", ":", "%TAG ", "---\n", "=", "~", "\\u", "d8", "\x00", "\ud800", "é", "null", "kind",
     "data", "path", "model", "body", "train", "search", "space", "feature {", "name:"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60)


@given(TEXTS)
@settings(max_examples=150, deadline=None)
@example("model: {kind: {}}\ndata: {path: x}")
@example("data: {path: x}\nmodel: {body: {kind: [gpt2]}}")
def test_any_text_is_a_spec_or_one_line(text: str) -> None:
    """In every place where a person's text is read."""
    readers: list[Callable[[], Any]] = [
        lambda: RunSpec.loads(text), lambda: RunSpec.loads(text, "x.json"), lambda: parse_assignment(f"name={text}"),
        lambda: RunSpec.parse({"data": {"path": "x"}}).override(dict([parse_assignment(f"model.body={text}")])),
        lambda: parse_search(f"train.epochs={text}"), lambda: StudyOptions.parse(read_yaml(text, "x")),
        lambda: StudyOptions.parse({"space": read_yaml(text, "x")}), lambda: merlin.columns(text, "x"),
        lambda: merlin.columns("{" + text, "x"),
    ]  # fmt: skip
    assert all(len(answer(read)) <= LONGEST + 3 for read in readers)


def answer(read: Callable[[], Any]) -> str:
    """What `read` refuses with; nothing where it doesn't."""
    try:
        read()
        return ""
    except InputError as error:
        return str(error)


ODD: list[Any] = [
    {},
    [],
    ["gpt2"],
    {"a": 1},
    3,
    None,
    True,
    10**4000,
    "x" * 10**6,
    [[[["x"] * 99] * 99] * 99],
]
PLACES = ["model.kind", "model.body.kind", "model.body.d_model", "train.device", "name", "model.body", "model", "data"]


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("path", PLACES)
def test_no_value_is_too_odd_to_be_explained(path: str, value: Any) -> None:
    content: dict[str, Any] = {"data": {"path": "x"}}
    *parents, last = path.split(".")
    here = content
    for key in parents:
        here = here.setdefault(key, {})
    here[last] = value
    with at_most(1):
        assert len(answer(lambda: RunSpec.parse(content))) < 600


def test_an_unhashable_kind_does_not_hide_the_unknown_key() -> None:
    message = refusal(lambda: RunSpec.loads('{"data": {"path": "x"}, "model": {"kind": {}}}'))
    assert message.startswith("spec: model.kind: unknown key; choose from: inputs, masking, body")


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_no_knob_takes_what_is_no_number(value: str) -> None:
    message = refusal(lambda: RunSpec.loads(f"data: {{path: x}}\ntrain: {{learning_rate: {value}}}"))
    assert "train.learning_rate: " in message and "finite number" in message


def test_words_of_any_length_have_a_short_answer() -> None:
    for word in ("x" * 10**6, "path" * 10**5):
        assert len(did_you_mean(word, ["epochs", "y" * 10**6])) < 300


MERLIN = {
    "feature { int_domain " + "{ x " * 3000: f"nested deeper than {DEPTH} levels",
    "feature: { name: " + "9" * 5000: "ends within a feature",
    'feature { name: "a" annotation: 5 }': "holds what none does",
    '{"feature": [5]}': "holds what none does",
    '{"feature": [{"name": "i", "annotation": {"tag": ["item_id"]}, "intDomain": {"max": "many"}}]}': "holds what none does",
    '{"feature": [{"name": "i"}, {"name": "i", "name": "j"}]}': "the key 'name' stands twice",
}


@pytest.mark.parametrize("text", MERLIN, ids=range(len(MERLIN)))
def test_a_schema_of_merlin_that_is_none(text: str) -> None:
    assert MERLIN[text] in refusal(lambda: merlin.columns(text, "schema.pbtxt"))


LONG = ["\n" * 100_000, "feature" + " " * 100_000, "feature\n" * 20_000, 'feature { name: "x" }\n' * 5000]


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
def test_long_schemas_are_read_in_time(text: str) -> None:
    with at_most(1):
        if merlin.is_merlin(text):
            refusal(lambda: merlin.columns(text, "x"))


COMMANDS = {
    "a date that is none": (["train", "SPEC", "--set", "name=!!timestamp 2024-02-30"], "not valid YAML in line 1, column 1: '2024-02-30' is not a valid timestamp; quote it"),
    "a brace": (["tune", "SPEC", "--search", "train.learning_rate={"], "--search 'train.learning_rate={': not valid YAML in line 2, column 1: did not find expected node content; quote it"),
    "an alias": (["train", "SPEC", "--set", "train.epochs={a: &x [*x]}"], "an alias for what it lies in"),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_line_says_what_is_wrong_and_exits_with_2(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("data: {path: x}\nsearch: {presets: [paper]}")
    arguments, words = COMMANDS[name]
    assert main.main([str(spec) if a == "SPEC" else a for a in arguments]) == 2
    assert words in capsys.readouterr().err
    assert load_study(spec)[1] == {"presets": ["paper"]}


def test_the_advice_of_a_refused_value_works() -> None:
    assert parse_assignment('name="a: b"') == ("name", "a: b")
    assert parse_search('name="{a}",b') == ("name", {"choices": ["{a}", "b"]})


@pytest.mark.parametrize("text", ["1:30", "0x1", "010", "0b1", "2026-01-31", "no", "on", "Y", "1:30.5", "1e-3"])
def test_texts_stay_texts(text: str) -> None:
    """YAML 1.1 takes them for numbers, days and truth values, which they are to no one who writes one."""
    assert read_yaml(f"a: {text}", "spec") == {"a": text}
    assert read_yaml(yaml.safe_dump({"a": text}), "spec") == {"a": text}


def test_numbers_and_words_are_read() -> None:
    text = "[1, -2, 1_000, 0, 2.5, -.5, 1.5e+3, .inf, .NaN, true, False, null, ~, , '1']"
    values = read_yaml(text.replace(", ,", ", '',").replace(".NaN", "-.inf"), "spec")
    assert values == [1, -2, 1000, 0, 2.5, -0.5, 1500.0, math.inf, -math.inf, True, False, None, None, "", "1"]
