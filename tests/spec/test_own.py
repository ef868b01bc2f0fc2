"""Classes of the user's own in a spec: by name, with their knobs, and only where their module is trusted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, SerializeAsAny, TypeAdapter, ValidationError

from t4r_lab.base.errors import InputError
from t4r_lab.families import own
from t4r_lab.families.knobs import Part, knob, walk
from t4r_lab.families.own import Member, is_own, load, or_own, trust, trusted
from t4r_lab.nn import ColumnEncoder, CustomBody, ItemLoss, ItemSampler, Masking, SampledItemLoss
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
    shape: Annotated[SerializeAsAny[Annotated[Circle | Square, Field(discriminator="kind")]], or_own(Shape)] = Circle()


MODULE = """
import pathlib
pathlib.Path(__file__).with_name("ran").touch()
from t4r_lab.families.knobs import knob
from tests.spec.test_own import Shape

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
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(own.VARIABLE, raising=False)
    yield tmp_path / "shapes"
    for name in [name for name in sys.modules if name.partition(".")[0] == "shapes"]:
        del sys.modules[name]


def drawing(shape: Any) -> Drawing:
    return Drawing.model_validate({"shape": shape})


def test_a_class_is_named_with_its_knobs_once_it_is_trusted(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(own.VARIABLE, "numbers, shapes")
    found = drawing({"kind": "shapes.stars:Star", "points": 7})
    assert found.model_dump() == {"shape": {"kind": "shapes.stars:Star", "points": 7}}
    assert drawing(found.model_dump()["shape"]) == found
    assert drawing(type(found.shape)(points=7)) == found  # made in Python
    (kind, points) = walk(found)
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
        (("shapes",), "shapes.stars:Other", "is no Shape"),
        (("shapes",), "shapes.none:Star", "can't be imported (ModuleNotFoundError: No module named 'shapes.none')"),
        (("shapes",), "shapes.broken:Star", "can't be imported (ZeroDivisionError: division by zero)"),
        (("shapes",), "os:system", "isn't trusted"),
        ((), "__main__:Star", "put the class into a file, since a notebook's cells are in its own process alone"),
    ],
)
def test_what_is_not_allowed_or_not_there_is_refused(
    module: Path, monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...], kind: str, words: str
) -> None:
    monkeypatch.setenv(own.VARIABLE, "")
    trust(packages)
    with pytest.raises(InputError) as error:
        load(kind, Shape)
    assert words in str(error.value)
    if not packages:
        assert not (module / "ran").exists()  # its code has not run


def test_trust_is_handed_on_to_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(own.VARIABLE, "a")
    trust(["b", "a", "c.d"])
    assert trusted() == ("a", "b", "c.d")
    assert own.os.environ[own.VARIABLE] == "a,b,c.d"


def test_words_of_the_table_are_as_they_were() -> None:
    assert drawing({"kind": "circle", "radius": 2}).shape == Circle(radius=2)
    assert drawing({"kind": "square"}).model_dump() == {"shape": {"kind": "square"}}
    assert [is_own(kind) for kind in ("circle", "a:B", None, 3)] == [False, True, False, False]
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
        own.check_whole(Bare)
    assert words in str(error.value)
    own.check_whole(
        type(
            "Whole",
            (Bare,),
            dict.fromkeys(base.needs, "defined") | {"__annotations__": dict.fromkeys(base.needs, ClassVar[str])},
        )
    )


SPIKES = """
from t4r_lab.nn import ColumnEncoder, knob

class Spike(ColumnEncoder):
    takes = ("continuous",)
    height: int = knob(2, "how high", low=1, high=9)

    def build(self, of):
        raise NotImplementedError
"""


def test_an_encoder_is_named_beside_its_knobs_and_is_for_its_columns_alone(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (module / "spikes.py").write_text(SPIKES)
    monkeypatch.setenv(own.VARIABLE, "shapes")
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
    back = chosen.override({f"{path}.encoding": "projected"})
    assert price_of(back) == price_of(spec(price={"encoding": "projected", "dim": 3}))
    with pytest.raises(InputError, match=rf"{path}.height: 10 is wrong"):
        chosen.override({f"{path}.height": 10})
    with pytest.raises(InputError, match="is a class of this notebook"):
        own.refuse_notebook({f"{path}.encoding": "__main__:Spike"})
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
        raise NotImplementedError

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
    monkeypatch.setenv(own.VARIABLE, "shapes")
    tag = "encoding" if base == "ColumnEncoder" else "kind"
    part: Any = {tag: f"shapes.gauges:{base}Gauge", "calibr": 3}
    *parents, last = path.split(".")
    model: Any = content | {last: part}
    for key in reversed(parents):
        model = [{"kind": "next_item"} | model] if key == "0" else {key: model}
    with pytest.raises(InputError) as error:
        RunSpec.parse({"data": {"path": "x"}, "model": model})
    assert (error.value.path, error.value.remedy) == (f"spec: model.{path}.calibr", "did you mean 'calibre'?")
