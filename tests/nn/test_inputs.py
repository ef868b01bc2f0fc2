"""The input block: shared tables, vectors, aggregations and noise, against formulas worked by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from t4r_lab.base.errors import InputError
from t4r_lab.families.encoders.column_encoder import ColumnEncoder, EncoderInput
from t4r_lab.nn.batches import make_batch, training_windows
from t4r_lab.nn.inputs.encoders import make_encoders
from t4r_lab.nn.inputs.noise import InputNoise, donors, swap_ids
from t4r_lab.nn.inputs.tabular import TabularSequenceFeatures
from t4r_lab.nn.layers.flow import Batch, Masked
from t4r_lab.nn.masking import make_masking
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec import FeatureSpec, InputsSpec
from t4r_lab.spec.input_columns import TOGETHER, Feature, resolve
from t4r_lab.training import assembly, trainer
from tests.support.toy import N_ITEMS, SCHEMA, Toy, toy_spec

ITEM_TABLE = {name: torch.as_tensor(values) for name, values in Toy().item_table().items()}
TWO = Schema(columns=(*SCHEMA, Column(name="age", kind="continuous", scope="session")))
BLOG = FeatureSpec(vectors={"path": "blog.npy"})  # type: ignore[arg-type]


def make(inputs: dict[str, object], schema: Schema = SCHEMA, **more: object) -> TabularSequenceFeatures:
    spec = InputsSpec.model_validate(inputs)
    return TabularSequenceFeatures.from_spec(spec, schema, 16, masking="clm", item_table=ITEM_TABLE, **more)  # type: ignore[arg-type]


def batch(schema: Schema = SCHEMA) -> Batch:
    sessions = Toy().part("train")
    events = make_batch(sessions, training_windows(sessions, 8).take(np.arange(20)))
    if "age" in schema:
        events.columns["age"] = torch.randn(20, 1).expand_as(events.ids) * events.valid
    return events


def masked(of: Batch) -> Masked:
    return Masked(of, None, of.valid, of.ids[of.valid], True)


def parts(inputs: TabularSequenceFeatures, of: Batch) -> dict[str, Tensor]:
    """The vector of each feature of one column, by its encoder alone."""
    columns = {**of.columns, **{n: t[of.ids] for n, t in ITEM_TABLE.items()}}
    return {name: encoder(columns[name]) for name, encoder in inputs.encoders.items()}


# ── Aggregation ─────────────────────────────────────────────────────────────────────────────────


def test_item_multi_is_the_formula_of_the_paper() -> None:
    inputs, events = make({"aggregation": "element-wise-sum-item-multi"}), batch()
    x = parts(inputs, events)
    wanted = x["item_id"] * (1 + x["category"] + x["genres"] + x["price"] + x["device"])
    torch.testing.assert_close(inputs(masked(events)), wanted)
    alone = make({"aggregation": "element-wise-sum-item-multi", "features": {"item_id": {}}})
    torch.testing.assert_close(alone(masked(events)), parts(alone, events)["item_id"])


@pytest.mark.parametrize("aggregation", ["element-wise-sum", "element-wise-sum-item-multi"])
def test_unlike_widths_are_refused_by_name(aggregation: str) -> None:
    words = rf"features.category.dim: {aggregation} needs one width, but the item has 16 and category has 3; give both"
    with pytest.raises(InputError, match=words):
        make({"aggregation": aggregation, "features": {"category": {"dim": 3}}})
    with pytest.raises(InputError, match=r"continuous_projection: .* the item has 16 and all continuous has 5"):
        make({"aggregation": aggregation, "continuous_projection": 5})


def test_concatenation_puts_the_item_first_and_widths_come_from_cardinalities() -> None:
    inputs, events = make({"features": {"category": {}, "device": {}}}), batch()
    x = parts(inputs, events)
    torch.testing.assert_close(inputs(masked(events)), torch.cat([x["item_id"], x["category"], x["device"]], -1))
    assert x["category"].shape[-1] == 4 == math.ceil(7**0.25 * 2) and x["device"].shape[-1] == 3  # of 7 ids and of 4


# ── Continuous, layer norm ──────────────────────────────────────────────────────────────────────


def test_continuous_encodings_follow_their_formulas() -> None:
    events = batch()
    price = events.columns["price"].tolist()
    scalar, projected, soft = (
        make({"features": {"price": {"encoding": name, "dim": 3, "bins": 4}}}).eval()
        for name in ("scalar", "projected", "soft_one_hot")
    )
    encoded = [inputs(masked(events))[..., 16:] for inputs in (scalar, projected, soft)]
    w, b = (p.flatten().tolist() for p in projected.encoders["price"].linear.parameters())
    encoder = soft.encoders["price"]
    weight, bias, table = encoder.linear.weight[:, 0].tolist(), encoder.linear.bias.tolist(), encoder.table.tolist()
    for row, position in ((0, 0), (3, 1), (19, 0)):
        x = price[row][position]
        assert encoded[0][row, position].tolist() == pytest.approx([x])
        assert encoded[1][row, position].tolist() == pytest.approx(
            [w[k] * x + b[k] for k in range(3)], rel=1e-5, abs=1e-6
        )
        power = [math.exp(weight[k] * x + bias[k]) for k in range(4)]
        mixed = [sum(power[k] / sum(power) * table[k][d] for k in range(4)) for d in range(3)]
        assert encoded[2][row, position].tolist() == pytest.approx(mixed, rel=1e-5, abs=1e-6)


def test_continuous_columns_are_projected_together() -> None:
    events = batch(TWO)
    inputs = make({"features": {"item_id": {}, "price": {}, "age": {}}, "continuous_projection": 5}, TWO)
    assert list(inputs.encoders) == ["item_id", TOGETHER] and inputs.output_dim == 16 + 5
    linear = inputs.encoders[TOGETHER].linear
    both = torch.stack([events.columns["price"], events.columns["age"]], -1)
    projected, real = inputs(masked(events))[..., 16:], events.valid
    torch.testing.assert_close(projected[real], (both @ linear.weight.T + linear.bias)[real])
    assert not projected[~real].any()
    features = {"item_id": {}, "price": {}, "age": {"encoding": "soft_one_hot", "dim": 3}}
    assert list(make({"features": features, "continuous_projection": 5}, TWO).encoders) == ["item_id", "age", TOGETHER]


def test_each_feature_has_its_own_layer_norm() -> None:
    chosen = {"item_id": {}, "price": {"encoding": "projected", "dim": 4}, "device": {"dim": 6}}
    inputs, events = make({"features": chosen, "layer_norm": True}), batch()
    item, price, device = inputs(masked(events)).split([16, 4, 6], -1)
    for name, vector in (("item_id", item), ("price", price), ("device", device)):
        norm = torch.nn.functional.layer_norm(parts(inputs, events)[name], vector.shape[-1:])
        torch.testing.assert_close(vector[events.valid], norm[events.valid])
    scalar = make({"features": {"item_id": {}, "price": {}}, "layer_norm": True})
    torch.testing.assert_close(scalar(masked(events))[..., -1], events.columns["price"])  # one channel has no norm


# ── Shared tables ───────────────────────────────────────────────────────────────────────────────


def test_columns_that_name_a_table_share_it_and_it_is_the_largest() -> None:
    chosen = {"category": {"table": "kind"}, "genres": {"table": "kind", "dim": 5}, "device": {}}
    inputs = make({"features": chosen})
    assert inputs.encoders["category"].table is inputs.encoders["genres"].table
    assert inputs.encoders["category"].table.weight.shape == (9, 5)
    assert inputs.encoders["device"].table is not inputs.encoders["category"].table
    assert inputs.output_dim == 16 + 5 + 5 + 3


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"category": {"table": "a", "dim": 3}, "genres": {"table": "a", "dim": 4}}, "genres.dim: .*category has 3"),
        ({"price": {"table": "a"}}, "price.table: price is continuous"),
        ({"price": {"vectors": {"path": "x.npy"}}}, "price.vectors: price is continuous"),
        ({"blog": {}}, "blog: the data has no such feature"),
        ({"blog": {"vectors": {"path": "x.npy"}, "encoding": "embedding"}}, "blog: pre-trained vectors take neither"),
        ({"a.b": {"vectors": {"path": "x.npy"}}}, "no dots"),
        (
            {
                "category": {"table": "a", "vectors": {"path": "x.npy"}},
                "genres": {"table": "a", "vectors": {"path": "y.npy"}},
            },
            "genres.vectors: table 'a' already starts from those of category",
        ),
    ],
)
def test_features_that_do_not_fit_are_refused(chosen: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        resolve(InputsSpec.model_validate({"features": chosen}), SCHEMA, 16)


def test_a_table_larger_than_the_items_cannot_be_the_items() -> None:
    large = Schema(columns=(*SCHEMA, Column(name="query", kind="categorical", size=N_ITEMS + 5)))
    chosen = {"item_id": {"table": "a"}, "query": {"table": "a"}}
    with pytest.raises(InputError, match=r"query\.table: has 45 ids, but the items' table 'a' has 41 rows"):
        resolve(InputsSpec.model_validate({"features": chosen}), large, 16)
    shared = make({"features": {"item_id": {"table": "a"}, "device": {"table": "a"}}})
    assert shared.encoders["device"].table is shared.item_embedding and shared.item_embedding.num_embeddings == 41


# ── Vectors ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("trainable", [False, True])
def test_vectors_of_items_are_read_by_item_trained_or_not_and_travel_with_the_weights(
    trainable: bool, tmp_path: Path
) -> None:
    toy, vectors = Toy(), np.random.default_rng(0).normal(size=(N_ITEMS + 1, 7)).astype(np.float32)
    spec = toy_spec("gru", "clm", train__weight_decay=0.1).override(
        {
            "model.inputs.features": {
                "item_id": {},
                "blog": {"dim": 3, "vectors": {"path": "gone.npy", "trainable": trainable}},
            }
        }
    )
    model = assembly.build(spec, toy.schema, toy.item_table(), {"blog": vectors})
    vectors[0] = 0
    inputs, events = model.head.body.inputs, batch()
    linear = inputs.encoders["blog"].project
    wanted = torch.as_tensor(vectors)[events.ids] @ linear.weight.T + linear.bias
    torch.testing.assert_close(inputs(masked(events))[..., 16:][events.valid], wanted[events.valid])
    list(trainer.fit(model, toy, spec, tmp_path / "fit"))  # type: ignore[arg-type]
    moved = (inputs.item_table_blog.detach() - torch.as_tensor(vectors)).abs().sum(1)
    assert bool((moved[1:] > 0).all()) == trainable and float(moved[0]) == 0
    assembly.save(model, tmp_path / "model", spec, toy.schema)
    loaded, *_ = assembly.load(tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(model.score(events), loaded.score(events))


def test_vectors_as_wide_as_the_feature_need_no_projection() -> None:
    vectors = {"blog": torch.randn(N_ITEMS + 1, 7)}
    inputs, events = make({"features": {"blog": {**BLOG.model_dump(), "dim": 7}}}, vectors=vectors), batch()
    torch.testing.assert_close(
        inputs(masked(events))[..., 16:][events.valid], vectors["blog"][events.ids[events.valid]]
    )
    with pytest.raises(InputError, match=r"blog.vectors: are \(40, 7\), but there are 40 items; give \(41, width\)"):
        make({"features": {"blog": BLOG}}, vectors={"blog": torch.randn(N_ITEMS, 7)})
    with pytest.raises(InputError, match=r"blog\.vectors: were not given"):
        make({"features": {"blog": BLOG}})


@pytest.mark.parametrize("trainable", [False, True])
def test_an_embedding_starts_from_given_vectors_frozen_or_trained(trainable: bool, tmp_path: Path) -> None:
    toy, vectors = Toy(), np.random.default_rng(0).normal(size=(N_ITEMS + 1, 16)).astype(np.float32)
    spec = toy_spec("gpt2", "clm").override(
        {"model.inputs.features": {"item_id": {"vectors": {"path": "gone.npy", "trainable": trainable}}}}
    )
    model = assembly.build(spec, toy.schema, {}, {"item_id": vectors})
    weight = model.head.body.inputs.item_embedding.weight
    assert np.array_equal(weight.detach()[1:], vectors[1:]) and float(weight.detach()[0].abs().sum()) == 0
    list(trainer.fit(model, toy, spec, tmp_path / "fit"))  # type: ignore[arg-type]
    assert np.array_equal(weight.detach()[1:], vectors[1:]) != trainable
    assembly.save(model, tmp_path / "model", spec, toy.schema)
    loaded, *_ = assembly.load(tmp_path / "model")
    assert torch.equal(loaded.head.body.inputs.item_embedding.weight, weight)
    with pytest.raises(InputError, match="set dim to 9"):
        assembly.build(spec, toy.schema, {}, {"item_id": vectors[:, :9]})


# ── Noise ───────────────────────────────────────────────────────────────────────────────────────


def test_an_id_is_swapped_for_every_other_alike_and_never_for_padding() -> None:
    torch.manual_seed(0)
    ids = torch.full((40_000,), 3)
    ids[:10_000] = 0
    swapped = swap_ids(ids, 7, 0.4)
    assert bool((swapped[:10_000] == 0).all())
    count = torch.bincount(swapped[10_000:], minlength=7)
    assert count[0] == 0
    chance = np.array([0.08, 0.08, 0.6, 0.08, 0.08, 0.08])  # 0.4 over the five others of 1..6
    deviation = (chance * (1 - chance) * 30_000) ** 0.5
    assert bool((np.abs(count[1:].numpy() - chance * 30_000) < 4 * deviation).all())
    assert not bool((swap_ids(ids, 7, 1.0)[10_000:] == 3).any())
    assert torch.equal(swap_ids(ids, 2, 1.0), ids)  # one id alone has no other


def test_values_come_from_other_real_events() -> None:
    torch.manual_seed(0)
    real = torch.rand(50, 40) < 0.5
    source, places = donors(real, 0.3).view_as(real), torch.arange(2000).view(50, 40)
    assert bool((source[~real] == places[~real]).all()) and bool(real.flatten()[source[real]].all())
    share = float((source[real] != places[real]).float().mean())
    assert abs(share - 0.3) < 4 * (0.21 / int(real.sum())) ** 0.5
    rows = torch.arange(50)[:, None].expand_as(real)
    moved = donors(real, 1.0).view_as(real)
    assert bool((moved[real] // 40 != rows[real]).all())  # none of its own session: it could be the target


def test_every_event_of_the_other_sessions_gives_alike_and_a_session_alone_keeps_its_own() -> None:
    torch.manual_seed(0)
    real = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])
    drawn = torch.stack([donors(real, 1.0) for _ in range(6000)])
    for position, others in ((0, [3, 6, 7, 8]), (3, [0, 1, 6, 7, 8]), (7, [0, 1, 3])):
        count = torch.bincount(drawn[:, position], minlength=9)
        assert count.nonzero().flatten().tolist() == others
        expected = 6000 / len(others)
        assert bool(((count[others] - expected).abs() < 5 * expected**0.5).all())
    assert torch.equal(donors(real[2:], 1.0), torch.arange(3))
    assert torch.equal(donors(real[:0], 1.0), torch.arange(0))


def test_an_event_is_swapped_whole_or_value_by_value() -> None:
    torch.manual_seed(0)
    real = torch.ones(20, 30, dtype=torch.bool)
    columns = {"a": torch.arange(600).view(20, 30), "b": torch.arange(600).view(20, 30, 1).expand(-1, -1, 2)}
    whole = InputNoise({}, swap_noise=0.5, swap="event")(dict(columns), real)
    single = InputNoise({}, swap_noise=0.5)(dict(columns), real)
    assert torch.equal(whole["a"], whole["b"][..., 0]) and not torch.equal(whole["a"], columns["a"])
    assert not torch.equal(single["a"], single["b"][..., 0])


@pytest.mark.parametrize("masking", ["clm", "mlm"])
@pytest.mark.parametrize("knob", ["shared_embeddings", "swap_noise"])
def test_noise_changes_inputs_in_training_alone_and_no_label(masking: str, knob: str) -> None:
    toy, body = Toy(), "xlnet"
    quiet = assembly.build(toy_spec(body, masking), toy.schema, toy.item_table())
    noisy = assembly.build(toy_spec(body, masking, **{f"model__inputs__{knob}": 0.5}), toy.schema, toy.item_table())
    assert all(torch.equal(a, b) for a, b in zip(quiet.parameters(), noisy.parameters(), strict=True))
    events = batch()
    before = {name: values.clone() for name, values in events.columns.items()}

    def step(model: torch.nn.Module, seen: list[Tensor]) -> float:
        loss = model.head.task.loss
        model.head.task.loss = lambda hidden, labels: (seen.append(labels), loss(hidden, labels))[1]
        torch.manual_seed(1)
        return float(model.loss(events).mean.detach())

    labels: list[Tensor] = []
    assert step(quiet.train(), labels) != step(noisy.train(), labels)
    assert torch.equal(*labels) and all(torch.equal(events.columns[n], v) for n, v in before.items())
    quiet.eval(), noisy.eval()
    with torch.no_grad():
        assert torch.equal(quiet.score(events), noisy.score(events))
    assert step(quiet, []) == step(noisy, [])


def test_a_hidden_event_gives_its_values_to_no_other() -> None:
    events = batch()
    inputs = make({"swap_noise": 1.0, "swap": "event", "features": {"item_id": {}}})
    torch.manual_seed(0)
    hidden = make_masking("mlm").training(events).hidden
    alone = torch.where(
        hidden, N_ITEMS, events.ids % (N_ITEMS - 1) + events.valid
    )  # hidden places hold an id of their own
    of = Batch({**events.columns, "item_id": alone}, events.lengths)
    values = inputs._values(Masked(of, hidden, hidden, alone[hidden], False))
    assert not bool((values["item_id"][events.valid & ~hidden] == N_ITEMS).any())


class Flat(ColumnEncoder):
    takes: ClassVar[tuple[str, ...]] = ("continuous",)
    broken: bool = False

    def build(self, of: EncoderInput) -> nn.Module:
        return nn.Linear(1, of.dim) if self.broken else nn.Flatten(0)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (False, r"the module of .*:Flat makes \(2,\) of two events, not \(2, 3\); let what its build returns"),
        (True, r"the module of .*:Flat fails \(RuntimeError: .*; fix what its build returns"),
    ],
)
def test_an_encoder_of_the_users_own_is_tried_before_it_trains(broken: bool, words: str) -> None:
    state = torch.random.get_rng_state()
    with pytest.raises(InputError, match=words) as error:
        make_encoders({"price": Feature(Flat(broken=broken), 3, ("price",))}, {}, 0.05)
    assert error.value.path == "model.inputs.features.price.encoding"
    assert torch.equal(state, torch.random.get_rng_state()) or broken  # the layer that is built draws its weights
