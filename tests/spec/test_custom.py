"""Custom classes and metrics in a spec: by name, with their knobs, and only where their module is trusted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
from pydantic import Field, SerializeAsAny, TypeAdapter, ValidationError

from t4r_lab.base.errors import InputError
from t4r_lab.families import custom
from t4r_lab.families.custom import Member, is_custom, load, or_custom, trust, trusted
from t4r_lab.families.knobs import Part, knob, walk
from t4r_lab.families.metrics.metric_table import check_metrics, is_paired, is_ranked, lower_is_better
from t4r_lab.nn import ColumnEncoder, CustomBody, ItemLoss, ItemSampler, Masking, SampledItemLoss
from t4r_lab.nn.metrics.ranking import Ranks
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec import RunSpec
from t4r_lab.spec.input_columns import resolve


class Shape(Member):
    """A family for these tests."""


class Circle(Shape):
    kind: Literal["circle"] = "circle"
    radius: float = knob(1.0, "half its width", low=0, high=10)


class Square(Shape):
    kind: Literal["square"] = "square"


class Drawing(Part):
    shape: Annotated[SerializeAsAny[Annotated[Circle | Square, Field(discriminator="kind")]], or_custom(Shape)] = (
        Circle()
    )


MODULE = """
import pathlib
pathlib.Path(__file__).with_name("ran").touch()
from t4r_lab.families.knobs import knob
from tests.spec.test_custom import Shape

class Star(Shape):
    points: int = knob(5, "how many", low=2, high=9, search=(3, 7))

class Other:
    pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with the package `shapes`, whose import leaves a file."""
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "__init__.py").write_text("")
    (tmp_path / "shapes" / "stars.py").write_text(MODULE)
    (tmp_path / "shapes" / "broken.py").write_text("1 / 0\n")
    (tmp_path / "shapes" / "typo.py").write_text("import math\nmath.squareroot\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(custom.VARIABLE, raising=False)
    yield tmp_path / "shapes"
    for name in [name for name in sys.modules if name.partition(".")[0] == "shapes"]:
        del sys.modules[name]


def drawing(shape: Any) -> Drawing:
    return Drawing.model_validate({"shape": shape})


def test_a_class_is_named_with_its_knobs_once_it_is_trusted(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(custom.VARIABLE, "numbers, shapes")
    parsed = drawing({"kind": "shapes.stars:Star", "points": 7})
    assert parsed.model_dump() == {"shape": {"kind": "shapes.stars:Star", "points": 7}}
    assert drawing(parsed.model_dump()["shape"]) == parsed
    assert drawing(type(parsed.shape)(points=7)) == parsed  # made in Python
    (kind, points) = walk(parsed)
    assert (kind.path, kind.value, kind.choices) == (
        "shape.kind",
        "shapes.stars:Star",
        ("circle", "square", "shapes.stars:Star"),
    )
    assert (points.path, points.value, points.low, points.high) == ("shape.points", 7, 2, 9)
    assert points.search["low"] == 3
    for wrong in ({"kind": "shapes.stars:Star", "points": 10}, {"kind": "shapes.stars:Star", "color": 1}):
        with pytest.raises(ValidationError):
            drawing(wrong)


@pytest.mark.parametrize(
    ("packages", "kind", "words"),
    [
        ((), "shapes.stars:Star", "isn't trusted; if it may run here, give --trust shapes, in Python trust=['shapes']"),
        (("shape", "shapes.star"), "shapes.stars:Star", "isn't trusted"),
        (("shapes",), "shapes.stars:Moon", "no such class; write a class that derives from t4r_lab.nn.Shape"),
        (("shapes",), "shapes.stars:Other", "does not derive from Shape"),
        (("shapes",), "shapes.none:Star", "can't be imported (ModuleNotFoundError: No module named 'shapes.none')"),
        (("shapes",), "shapes.broken:Star", "can't be imported (ZeroDivisionError: division by zero)"),
        (
            ("shapes",),
            "shapes.typo:Star",
            "(AttributeError: module 'math' has no attribute 'squareroot'); fix the module",
        ),
        (("shapes",), "os:system", "isn't trusted"),
        ((), "__main__:Star", "put the class into a file, since a notebook's cells are in its own process alone"),
    ],
)
def test_what_is_not_allowed_or_not_there_is_refused(
    module: Path, monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...], kind: str, words: str
) -> None:
    monkeypatch.setenv(custom.VARIABLE, "")
    trust(packages)
    with pytest.raises(InputError) as error:
        load(kind, Shape)
    assert words in str(error.value)
    if not packages:
        assert not (module / "ran").exists()  # its code has not run


def test_trust_is_handed_on_to_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(custom.VARIABLE, "a")
    trust(["b", "a", "c.d"])
    assert trusted() == ("a", "b", "c.d")
    assert custom.os.environ[custom.VARIABLE] == "a,b,c.d"


def test_words_of_the_table_are_as_they_were() -> None:
    assert drawing({"kind": "circle", "radius": 2}).shape == Circle(radius=2)
    assert drawing({"kind": "square"}).model_dump() == {"shape": {"kind": "square"}}
    assert [is_custom(kind) for kind in ("circle", "a:B", None, 3)] == [False, True, False, False]
    assert TypeAdapter(Drawing).json_schema()["$defs"].keys() >= {"Circle", "Square"}


@pytest.mark.parametrize(
    ("base", "words"),
    [
        (CustomBody, "Bare has no build; define it as t4r_lab.nn.CustomBody says"),
        (Masking, "Bare has no attention and no training and no inference; define it as t4r_lab.nn.Masking says"),
        (ItemLoss, "Bare has no build"),
        (SampledItemLoss, "Bare has no pair_loss; define it as t4r_lab.nn.SampledItemLoss says"),
        (ItemSampler, "Bare has no build"),
        (ColumnEncoder, "Bare has no takes and no build; define it as t4r_lab.nn.ColumnEncoder says"),
    ],
)
def test_a_class_that_lacks_what_its_family_needs_is_refused(base: type[Member], words: str) -> None:
    class Bare(base):  # type: ignore[misc, valid-type]
        pass

    with pytest.raises(InputError) as error:
        custom.check_whole(Bare)
    assert words in str(error.value)
    missing = [*base.needs, *base.__abstractmethods__]
    custom.check_whole(
        type(
            "Whole",
            (Bare,),
            dict.fromkeys(missing, "defined") | {"__annotations__": dict.fromkeys(missing, ClassVar[str])},
        )
    )


SPIKES = """
from t4r_lab.nn import ColumnEncoder, knob

class Spike(ColumnEncoder):
    takes = ("continuous",)
    height: int = knob(2, "how high", low=1, high=9)

    def build(self, of):
        return None
"""


def test_an_encoder_is_named_beside_its_knobs_and_is_for_its_columns_alone(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (module / "spikes.py").write_text(SPIKES)
    monkeypatch.setenv(custom.VARIABLE, "shapes")
    name = "shapes.spikes:Spike"

    def spec(**features: dict[str, Any]) -> RunSpec:
        return RunSpec.parse({"data": {"path": "x"}, "model": {"inputs": {"features": features}}})

    def price_of(spec: RunSpec) -> Any:
        return spec.to_dict()["model"]["inputs"]["features"]["price"]

    path = "model.inputs.features.price"
    plain = spec(item_id={}, price={"dim": 3, "bins": 4})
    chosen = plain.override({f"{path}.encoding": name, f"{path}.height": 5})
    assert price_of(chosen) == {"dim": 3, "encoding": name, "height": 5}
    assert RunSpec.loads(chosen.to_yaml()) == chosen
    knob_of_own = chosen.knobs()[f"{path}.height"]
    assert (knob_of_own.value, knob_of_own.low, knob_of_own.high) == (5, 1, 9)
    named = chosen.knobs()[f"{path}.encoding"]
    assert (named.value, named.default) == (name, None)  # chosen, as a comparison of two runs shows it
    back = chosen.override({f"{path}.encoding": "projected"})
    assert price_of(back) == price_of(spec(price={"encoding": "projected", "dim": 3}))
    with pytest.raises(InputError, match=rf"{path}.height: 10 is wrong"):
        chosen.override({f"{path}.height": 10})
    with pytest.raises(InputError, match="is a class of this notebook"):
        custom.refuse_notebook({f"{path}.encoding": "__main__:Spike"})
    columns = Schema(
        columns=[
            Column(name="item_id", kind="categorical", role="item", size=9),
            Column(name="price", kind="continuous"),
            Column(name="genre", kind="categorical", size=5),
        ]
    )
    assert resolve(chosen.model.inputs, columns, 16)["price"].dim == 3
    with pytest.raises(InputError, match=r"genre.encoding: 'shapes.spikes:Spike' is not for a categorical column"):
        resolve(spec(genre={"encoding": name}).model.inputs, columns, 16)


GAUGES = "\n".join(
    f"""
from typing import ClassVar
from t4r_lab.nn import {base}, knob

class {base}Gauge({base}):
    takes: ClassVar = ("continuous",)
    attention: ClassVar = "causal"
    calibre: int = knob(2, "how wide")

    def build(self, *arguments):
        return None

    training = inference = build
"""
    for base in ("CustomBody", "Masking", "ItemLoss", "ItemSampler", "ColumnEncoder")
)


@pytest.mark.parametrize(
    ("path", "content", "base"),
    [
        ("body", {}, "CustomBody"),
        ("masking", {}, "Masking"),
        ("heads.0.loss", {}, "ItemLoss"),
        ("heads.0.loss.sampler", {"kind": "sampled_softmax"}, "ItemSampler"),
        ("inputs.features.price", {}, "ColumnEncoder"),
    ],
)
def test_a_wrong_knob_is_answered_from_the_knobs_of_its_class(
    module: Path, monkeypatch: pytest.MonkeyPatch, path: str, content: dict[str, Any], base: str
) -> None:
    (module / "gauges.py").write_text(GAUGES)
    monkeypatch.setenv(custom.VARIABLE, "shapes")
    tag = "encoding" if base == "ColumnEncoder" else "kind"
    part: Any = {tag: f"shapes.gauges:{base}Gauge", "calibr": 3}
    *parents, last = path.split(".")
    model: Any = content | {last: part}
    for key in reversed(parents):
        model = [{"kind": "next_item"} | model] if key == "0" else {key: model}
    with pytest.raises(InputError) as error:
        RunSpec.parse({"data": {"path": "x"}, "model": model})
    assert (error.value.path, error.value.remedy) == (f"spec: model.{path}.calibr", "did you mean 'calibre'?")


METRICS = """
import numpy as np
from t4r_lab.nn import Metric

def shares(rank, k):
    return np.minimum(rank / k, 1)

def change(rank, k):
    rank[:] = 1
    return rank

share = Metric("share", "ranks", "rank / k, at most 1", shares, "lower")
lists = Metric("lists", "lists", "of lists", shares)
mean = Metric("mean", "ranks", "one number", lambda rank, k: rank.mean())
infinite = Metric("infinite", "ranks", "no number at rank 1", lambda rank, k: np.where(rank == 1, np.inf, rank))
logarithm = Metric("logarithm", "ranks", "no number at the last rank", lambda rank, k: np.where(rank < 90, rank, np.nan))
fails = Metric("fails", "ranks", "a typo", lambda rank, k: rank.klip(k))
changes = Metric("changes", "ranks", "writes into the ranks", change)
text = Metric("text", "ranks", "words", lambda rank, k: np.full(len(rank), "high"))
"""


def metric_spec(*metrics: object, **train: object) -> RunSpec:
    evaluation = {"cutoffs": [2], "metrics": list(metrics)}
    return RunSpec.parse({"data": {"path": "x"}, "train": train, "evaluation": evaluation})


def test_a_metric_is_named_computed_and_monitored_by_its_direction(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (module / "measures.py").write_text(METRICS)
    monkeypatch.setenv(custom.VARIABLE, "shapes")
    name = "shapes.measures:share"
    spec = metric_spec(name, monitor=f"{name}@2")
    assert spec.metrics == ["ndcg@2", "recall@2", "mrr@2", f"{name}@2"]
    assert metric_spec(custom.load_object(name, "", "metric", "")).evaluation == spec.evaluation  # the row itself
    assert RunSpec.loads(spec.to_yaml()) == spec
    assert spec.merit({f"{name}@2": 0.25}) == -0.25
    assert spec.override({"train.monitor": None}).monitor == "ndcg@2"
    check_metrics([name], [1, 2], 100)
    rank = np.array([1.0, 1.5, 3.0, 7.0])
    ranks = Ranks(np.arange(4), np.ones(4, int), np.ones(4, int), rank, (2,), spec.evaluation.rank_metrics)
    assert ranks.metrics()[f"{name}@2"] == (0.5 + 0.75 + 1 + 1) / 4
    assert is_paired(f"{name}@2")
    with pytest.raises(InputError, match=r"train.monitor: 'shapes.measures:share@3' is not computed"):
        metric_spec(name, monitor=f"{name}@3")


def test_a_spec_without_metrics_of_its_own_is_written_as_before() -> None:
    spec = metric_spec()
    assert spec.to_dict()["evaluation"] == {"cutoffs": [2], "positions": "last", "filter_seen": False}
    assert spec.knobs()["evaluation.metrics"].value == []


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (["ndcg"], "'ndcg' names no custom metric; write package.module:name"),
        (["a:b@5"], "'a:b@5' names no custom metric"),
        (["a/b:c"], "'a/b:c' names no custom metric"),
        (["a:b", "a:b"], "'a:b' is named twice"),
        ([3], "evaluation.metrics.0: 3 is wrong"),
    ],
)
def test_what_names_no_metric_is_refused(metrics: list[object], words: str) -> None:
    with pytest.raises(InputError, match=r"evaluation\.metrics") as error:
        metric_spec(*metrics)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("measures:lists", "is computed from lists; give it the source ranks"),
        ("measures:shares", "is not a Metric; write shares = t4r_lab.nn.Metric("),
        ("measures:none", "the module has no such metric; write none = t4r_lab.nn.Metric("),
        ("measures:mean", "has values of shape () for ranks of shape (3,); return one number a case"),
        ("measures:infinite", "is inf at rank 1 and k = 2; return a finite number for every rank"),
        ("measures:logarithm", "is nan at rank 100 and k = 2"),
        ("measures:fails", "fails at k = 2 (AttributeError: 'numpy.ndarray' object has no attribute 'klip')"),
        ("measures:changes", "fails at k = 2 (ValueError: assignment destination is read-only)"),
        ("measures:text", "fails at k = 2 (ValueError: could not convert string to float"),
        ("nowhere:share", "can't be imported (ModuleNotFoundError"),
    ],
)
def test_a_metric_that_gives_no_number_a_case_is_refused_before_training(
    module: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    (module / "measures.py").write_text(METRICS)
    monkeypatch.setenv(custom.VARIABLE, "shapes")
    with pytest.raises(InputError) as error:
        check_metrics([f"shapes.{name}"], [2], 100)
    assert str(error.value).startswith(f"evaluation.metrics: 'shapes.{name}'")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_metric_of_a_notebook_is_for_its_process_alone() -> None:
    with pytest.raises(InputError, match="is a metric of this notebook, which no other process has"):
        custom.refuse_notebook(metric_spec("__main__:share").flat())


def test_a_column_with_a_colon_is_no_metric_of_ones_own() -> None:
    assert [is_ranked(name) for name in ("a:b@5", "a:b/auc", "a:b@c/auc", "ndcg@5", "a:b")] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert lower_is_better("a:b/rmse")
