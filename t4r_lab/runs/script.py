"""A spec as a Python program: the same model put together block by block, and trained by the same loop."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping

from t4r_lab import spec as spec_names
from t4r_lab.families.custom import Member
from t4r_lab.families.knobs import Part
from t4r_lab.schema.columns import Schema
from t4r_lab.spec import BODIES, BodySpec, ModelSpec, RunSpec, TowerSpec
from t4r_lab.spec.head_specs import BESIDE_TASK, HeadSpec
from t4r_lab.spec.input_columns import resolve, vectors_of, width
from t4r_lab.training.assembly import check, label_column, label_level

LINE = 100


def to_python(spec: RunSpec, schema: Schema) -> str:
    """A program that builds the model of `spec` from the blocks of `t4r_lab.nn`, weight for weight, and trains it.

    Values at their default are left out. Texts of the spec appear as literals only, whatever they contain.

    Raises
    ------
    InputError
        for a spec that doesn't fit `schema`.
    """
    check(spec, schema)
    model, names = spec.model, _Names()
    towers: list[ModelSpec | TowerSpec] = [model, *model.towers]
    parts = [_tower(tower, spec, schema, f"_{n + 1}" if model.towers else "", names) for n, tower in enumerate(towers)]
    body = "body"
    if model.towers:
        merged = _call(
            names.use("Towers"), [_list([f"body_{n + 1}" for n in range(len(towers))]), f"merge={_code(model.merge)}"]
        )
        parts.append(f"body = {merged}")
    parts += [_heads(spec, schema, body, names), _training(spec, names)]
    settings = _settings(spec, names)
    return "\n".join(
        [
            f"# {json.dumps(spec.name)} as a program: the same model, trained in the same way.",
            "from pathlib import Path",
            "",
            "import torch",
            "",
            "import t4r_lab as t4r",
            *names.imports(),
            "",
            f"data = t4r.Dataset.open({_code(spec.data.path)})",
            settings,
            f"torch.manual_seed({spec.train.seed})  # of the first weights",
            "",
            "\n\n".join(parts),
            "",
        ]
    )


class _Names:
    """The names that a program uses, and the modules to import them from."""

    def __init__(self) -> None:
        self._used: dict[str, set[str]] = {"t4r_lab.runs.progress": {"Console"}, "t4r_lab.training.trainer": {"fit"}}

    def use(self, name: str, module: str = "t4r_lab.nn") -> str:
        self._used.setdefault(module, set()).add(name)
        return name

    def imports(self) -> list[str]:
        lines = []
        for module, names in sorted(self._used.items()):
            line = f"from {module} import {', '.join(sorted(names))}"
            wrapped = f"from {module} import (\n" + "".join(f"    {name},\n" for name in sorted(names)) + ")"
            lines.append(line if len(line) <= LINE else wrapped)
        return lines


# ── The parts of a program ──────────────────────────────────────────────────────────────────────


def _tower(part: ModelSpec | TowerSpec, spec: RunSpec, schema: Schema, number: str, names: _Names) -> str:
    """Input block and body of one tower."""
    inputs = part.inputs
    arguments = [
        "data.schema",
        f"max_sequence_length={spec.data.max_length}",
        f"masking={_part(spec.model.masking, names)}",
        f"item_dim={part.body.d_model}",
        *_changed(inputs, names),
        "item_table={name: torch.tensor(values) for name, values in data.item_table().items()}",
    ]
    lines = []
    if any(vectors_of(feature) for feature in (inputs.features or {}).values()):
        inputs_spec = _call(names.use("InputsSpec", "t4r_lab.spec"), _changed(inputs, names))
        vectors_call = _call(
            names.use("read_vectors", "t4r_lab.data.prepared.vectors"),
            [inputs_spec, "data.vocabulary", str(part.body.d_model)],
        )
        lines.append(f"vectors{number} = {vectors_call}")
        arguments.append(f"vectors={{name: torch.tensor(rows) for name, rows in vectors{number}.items()}}")
    block = names.use("TabularSequenceFeatures")
    lines += [f"inputs{number} = {_call(f'{block}.from_schema', arguments)}"]
    input_width = width(resolve(inputs, schema, part.body.d_model), inputs.aggregation)
    project = (
        [] if input_width == part.body.d_model else [f"{names.use('MLPBlock')}([{part.body.d_model}], activation=None)"]
    )
    blocks = [f"inputs{number}", *project, _body(part.body, spec.data.max_length, f"inputs{number}", names)]
    lines += [f"body{number} = {_call(names.use('SequentialBlock'), blocks)}"]
    return "\n".join(lines)


def _body(body: BodySpec, length: int, inputs: str, names: _Names) -> str:
    row = BODIES[body.kind]
    if row.transformer is not None:
        sizes = [f"{name}={_code(value)}" for name, value in body if name != "kind"]
        config = _call(f"{names.use(row.exports)}.build", [*sizes, f"total_seq_length={length}"])
        return _call(names.use("TransformerBlock"), [config, f"masking={inputs}.masking"])
    if row.code is not None:
        block, arguments = row.code(body)
        return _call(names.use(block), [_code(value) for value in arguments])
    return _call(names.use("make_body"), [_part(body, names), str(length)])


def _heads(spec: RunSpec, schema: Schema, body: str, names: _Names) -> str:
    heads = spec.model.heads
    tasks = [_task(head, schema, f"model.heads.{n}", names) for n, head in enumerate(heads)]
    weights = [] if all(h.weight == 1 for h in heads) else [f"task_weights={_code([h.weight for h in heads])}"]
    head = _call(names.use("Head"), [body, _list(tasks), *weights])
    lines = [f"model = {_call(names.use('Model'), [head])}"]
    if spec.model.next_item is not None:
        counts = f"data.part({_code(spec.train.fit_on)}).item_counts(data.schema.n_items)"
        lines += [
            "# the events of each item: where biases start, and by which negatives are drawn",
            f"model.next_item.count(torch.as_tensor({counts}))",
        ]
    return "\n".join(lines)


def _task(head: HeadSpec, schema: Schema, path: str, names: _Names) -> str:
    arguments = _changed(head, names, without=BESIDE_TASK)
    label = head.as_label
    if label is not None:
        level = label_level(label, label_column(label, schema, path))
        of_column = [f"{name}=data.schema[{_code(label.column)}].{name}" for name in label.of_column]
        arguments = [_code(label.column), *of_column, *arguments, *(['level="event"'] if level == "event" else [])]
    return _call(names.use(head.task), arguments)


def _settings(spec: RunSpec, names: _Names) -> str:
    """The settings that the loop reads; of the model, only its label heads, which are also metrics."""
    sections = {"name": _code(spec.name), "data": _part(spec.data, names)}
    if spec.model.labels:
        sections["model"] = _call(
            names.use("ModelSpec", "t4r_lab.spec"),
            [f"heads={_list([_part(head, names) for head in spec.model.heads])}"],
        )
    for name, section in (("train", spec.train), ("evaluation", spec.evaluation)):
        if section != type(section)():
            sections[name] = _part(section, names)
    return f"settings = {_call('t4r.RunSpec', [f'{name}={text}' for name, text in sections.items()])}"


def _training(spec: RunSpec, names: _Names) -> str:
    lines = [
        "with Console() as show:",
        f'    for report in fit(model, data, settings, Path("by-hand", {_code(_folder(spec.name))})):',
        "        show(report)",
    ]
    if spec.train.fit_on == "train":
        if spec.model.fits_temperature:
            fitted = names.use("fit_temperature", "t4r_lab.training.evaluation")
            lines.append(f'{fitted}(model, data.part("valid"), settings)')
        for name in ("evaluate_tasks", "task_metrics"):
            names.use(name, "t4r_lab.training.evaluation")
        lines.append('print(task_metrics(*evaluate_tasks(model, data.part("valid"), settings)))')
    return "\n".join(lines)


def _folder(name: str) -> str:
    """`name` with a dash for each character that a folder name may not have."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)


# ── Values as code ──────────────────────────────────────────────────────────────────────────────


def _changed(part: Part, names: _Names, without: tuple[str, ...] = ()) -> list[str]:
    """``name=value`` of every knob of `part` that isn't at its default."""
    changes = []
    tag = part.tag if isinstance(part, Member) else "kind"
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if name not in (tag, *without) and (field.is_required() or value != field.get_default()):
            changes.append(f"{name}={_code(value, names)}")
    return changes


def _part(part: Part, names: _Names) -> str:
    """A part as a call of its class, imported from `t4r_lab.spec` if it is exported there."""
    name = type(part).__name__
    is_exported = getattr(spec_names, name, None) is type(part)
    module = "t4r_lab.spec" if is_exported else type(part).__module__
    return _call(names.use(name, module), _changed(part, names))


def _code(value: object, names: _Names | None = None) -> str:
    """A value as a literal, a part of the spec as a call of its class."""
    if isinstance(value, Part) and names is not None:
        return _part(value, names)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a JSON text is a Python literal
    if isinstance(value, Mapping):
        rows = [f"{_code(key)}: {_code(item, names)}" for key, item in value.items()]
        return _wrap("{", rows, "}")
    if isinstance(value, (list, tuple)):
        return _list([_code(item, names) for item in value])
    return repr(value)


def _call(name: str, arguments: list[str]) -> str:
    return _wrap(f"{name}(", arguments, ")")


def _list(items: list[str]) -> str:
    return _wrap("[", items, "]")


def _wrap(opening: str, items: list[str], closing: str) -> str:
    """The items on one line if it is short enough, else one item per line."""
    line = f"{opening}{', '.join(items)}{closing}"
    if "\n" not in line and len(line) <= LINE - 24:
        return line
    return f"{opening}\n{textwrap.indent(''.join(f'{item},' + chr(10) for item in items), '    ')}{closing}"
