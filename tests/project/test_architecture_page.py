"""docs/architecture.md is true: its tables are those of the spec, its YAML trains, its Python runs.

``python -m tests.project.test_architecture_page`` writes the tables anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from t4r_lab.data.pipeline.prepare_events import prepare
from t4r_lab.data.pipeline.synthetic import Generator
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.families.knobs import Part, element, variants
from t4r_lab.families.metrics.metric_table import METRICS
from t4r_lab.nn import __all__ as PUBLIC
from t4r_lab.nn.batches import make_batch, training_windows
from t4r_lab.spec import BODIES, BODY_MASKINGS, EvaluationSpec, FeatureSpec, InputsSpec, ModelSpec, RunSpec, VectorsSpec
from t4r_lab.spec.preparation import PrepareOptions
from t4r_lab.training import assembly
from tests import ROOT

PAGE = ROOT / "docs" / "architecture.md"
MARK = re.compile(r"(<!-- knobs of (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
METRIC_MARK = re.compile(r"(<!-- metrics -->\n).*?(<!-- end -->)", re.DOTALL)
BODY_MARK = re.compile(r"(<!-- bodies -->\n).*?(<!-- end -->)", re.DOTALL)


def union(part: type[Part], field: str) -> dict[str, type[Part]]:
    annotation = part.model_fields[field].annotation
    return variants(element(annotation) or annotation)


KINDS: dict[str, Mapping[str, type[Part]]] = {
    "model.inputs": {"": InputsSpec},
    "model.inputs.features.NAME": {"": FeatureSpec},
    "model.inputs.features.NAME.vectors": {"": VectorsSpec},
    "model.masking": union(ModelSpec, "masking"),
    "model.body": union(ModelSpec, "body"),
    "model": {"": ModelSpec},
    "model.heads.N": union(ModelSpec, "heads"),
    "model.heads.N.loss": union(union(ModelSpec, "heads")["next_item"], "loss"),
    "evaluation": {"": EvaluationSpec},
}
"""Where parts stand in a spec, with the kinds that can stand there."""


# ── Tables ──────────────────────────────────────────────────────────────────────────────────────


def values(field: Any) -> str:
    """What a knob may be."""
    text = str(field.annotation).replace("typing.", "")
    choices = re.findall(r"Literal\[(.*?)\]", text)
    bounds = {key: getattr(m, key) for m in field.metadata for key in ("ge", "le") if hasattr(m, key)}
    if choices:
        words = choices[0].replace("'", "")
    elif "bool" in text:
        words = "true, false"
    elif "list" in text:
        words = "list of whole numbers" if "int" in text else "list of texts"
    elif "str" in text:
        words = "text"
    else:
        low, high = (f"{bounds[key]:,.10g}" if key in bounds else "" for key in ("ge", "le"))
        words = f"{low} to {high}" if high else f"{low} and more"
    return words + (", empty" if "None" in text else "")


def is_leaf(field: Any) -> bool:
    """Whether a field is a knob itself and holds no parts, which have tables of their own."""
    inner = element(field.annotation) or field.annotation
    try:
        return not variants(inner)
    except (AttributeError, TypeError, IndexError, KeyError):
        return True


def shown(default: Any) -> str:
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def table(path: str) -> str:
    """The knobs of the parts at `path`; those that several kinds have alike in one row."""
    kinds, rows = KINDS[path], {}
    for kind, part in kinds.items():
        for name, field in part.model_fields.items():
            if name != "kind" and is_leaf(field):
                default = "required" if field.is_required() else shown(field.get_default(call_default_factory=True))
                row = (name, default, values(field), (field.description or "").replace("|", "or"))
                rows.setdefault(row, []).append(kind)
    lines = ["| knob | of | default | values | what it does |", "|---|---|---|---|---|"]
    for (name, default, may_be, meaning), owners in rows.items():
        others = [kind for kind in kinds if kind not in owners]
        of = "all" if not others else f"all but {', '.join(others)}" if len(others) < len(owners) else ", ".join(owners)
        lines.append(f"| `{name}` | {of} | {default} | {may_be} | {meaning} |")
    if list(kinds) == [""]:
        lines = [re.sub(r"^(\|[^|]*)\|[^|]*", r"\1", line) for line in lines]
    return "\n".join(lines) + "\n"


def body_table() -> str:
    rows = ["| kind | made by | what it is | maskings |", "|---|---|---|---|"]
    for kind, body in BODIES.items():
        rows.append(f"| `{kind}` | `{body.exports or 'make_body'}` | {body.summary} | {', '.join(body.maskings)} |")
    return "\n".join(rows) + "\n"


def metric_table() -> str:
    rows = ["| metric | of | better | what is computed |", "|---|---|---|---|"]
    rows += [f"| `{m.name}` | {m.source} | {m.better} | {m.help.replace('|', chr(92) + '|')} |" for m in METRICS]
    return "\n".join(rows) + "\n"


def with_tables(text: str) -> str:
    text = METRIC_MARK.sub(lambda mark: f"{mark[1]}{metric_table()}{mark[2]}", text)
    text = BODY_MARK.sub(lambda mark: f"{mark[1]}{body_table()}{mark[2]}", text)
    return MARK.sub(lambda mark: f"{mark[1]}{table(mark[2])}{mark[3]}", text)


def test_the_tables_are_those_of_the_spec() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run python -m tests.project.test_architecture_page"
    assert {mark[1] for mark in MARK.findall(text)} == set(KINDS)


def test_every_knob_of_a_model_stands_in_a_table() -> None:
    heads = [{"kind": "next_item"}, *({"kind": k, "column": k} for k in ("binary", "categorical", "regression"))]
    vectors = {"features": {"text": {"vectors": {"path": "x.npy"}}}}
    tables = {path: table(path) for path in KINDS}
    content = {"data": {"path": "x"}, "model": {"heads": heads, "inputs": vectors}}
    for path in RunSpec.parse(content).knobs():
        if path.startswith(("model.", "evaluation.")):
            path = re.sub(r"features\.\w+", "features.NAME", re.sub(r"heads\.\d", "heads.N", path))
            part, _, name = path.rpartition(".")
            assert name in ("kind", "towers") or f"| `{name}` |" in tables[part], path


def test_every_body_masking_and_public_name_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in PUBLIC:
        assert f"`{name}" in text or f"{name}(" in text or f"{name}.build" in text, name
    for body, maskings in BODY_MASKINGS.items():
        assert re.search(rf"^\| `{body}` \|.*\| {', '.join(maskings)} \|$", text, re.MULTILINE), body


# ── Samples ─────────────────────────────────────────────────────────────────────────────────────


def samples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    events = Generator().events(300)
    return prepare(events, tmp_path_factory.mktemp("page") / "shop", PrepareOptions(targets=["purchase"]))


@pytest.mark.parametrize("sample", samples("yaml"))
def test_each_fragment_of_a_spec_trains(sample: str, data: Dataset) -> None:
    content = {"data": {"path": str(data.path)}, **yaml.safe_load(sample)}
    spec = RunSpec.parse(content)
    assembly.check(spec, data.schema)
    named = {n for n, f in (spec.model.inputs.features or {}).items() if f.vectors is not None}
    vectors = {name: np.ones((data.schema.item.size, 24), np.float32) for name in named}
    counts = data.part("train").item_counts(data.schema.n_items)
    model = assembly.build(spec, data.schema, data.item_table(), vectors, counts)
    windows = training_windows(data.part("train"), spec.data.max_length).take(np.arange(8))
    loss = model.loss(make_batch(data.part("train"), windows)).mean
    loss.backward()
    assert loss.isfinite()


def test_the_samples_of_python_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, sample in enumerate(samples("python")):
        exec(compile(sample, f"{PAGE.name}, sample {number}", "exec"), names)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
