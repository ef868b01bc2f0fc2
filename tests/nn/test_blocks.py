"""Blocks by their public names, put together by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from t4r_lab.base.errors import InputError
from t4r_lab.nn import (
    BertConfig,
    GPT2Config,
    Head,
    LongformerConfig,
    MLPBlock,
    Model,
    NextItemPredictionTask,
    RNNBlock,
    SequentialBlock,
    TabularSequenceFeatures,
    TransformerBlock,
    XLNetConfig,
)
from t4r_lab.nn.batches import make_batch, training_windows
from t4r_lab.spec import FeatureSpec
from tests.support.blocks import ITEM_TABLE, features
from tests.support.toy import N_ITEMS, PAIRS, SCHEMA, Toy


def batch():  # type: ignore[no-untyped-def]
    sessions = Toy().part("train")
    return make_batch(sessions, training_windows(sessions, 20))


@pytest.mark.parametrize("masking", ["clm", "mlm", "plm", "rtd"])
def test_the_model_of_the_reference_page_builds_and_trains(masking: str) -> None:
    tabular_inputs = features(masking, continuous_projection=4, aggregation="concat", d_output=32)
    config = XLNetConfig.build(d_model=16, n_head=4, n_layer=2, total_seq_length=20)
    body = SequentialBlock(tabular_inputs, MLPBlock([16]), TransformerBlock(config, masking=tabular_inputs.masking))
    model = Model(Head(body, NextItemPredictionTask(weight_tying=True)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for step in range(30):
        torch.manual_seed(step)
        loss = model.loss(batch()).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < sum(losses[:5])
    assert model.score(batch()).shape == (len(batch().lengths), N_ITEMS)


def test_plain_modules_stand_in_a_body() -> None:
    body = SequentialBlock(
        features(), nn.Linear(16 + 4 + 4 + 1 + 3, 12), nn.LSTM(12, 10, batch_first=True), nn.LayerNorm(10)
    )
    assert body.output_dim == 10
    model = Model(Head(body, NextItemPredictionTask()))
    assert model.head.task.project.weight.shape == (16, 10)  # a tied head of another width gets one linear layer
    model.loss(batch()).mean.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_an_rnn_by_its_block() -> None:
    body = SequentialBlock(features(), MLPBlock([8], activation=None), RNNBlock("lstm", 8, 6, n_layer=2, dropout=0.1))
    model = Model(Head(body, NextItemPredictionTask(weight_tying=False)))
    assert model.head.task.items.weight.shape == (N_ITEMS + 1, 6)
    assert torch.isfinite(model.loss(batch()).mean)


def test_a_pair_that_is_not_allowed_is_refused_with_suggestions() -> None:
    with pytest.raises(
        InputError,
        match=r"masking 'clm' is not for body 'longformer'; use mlm.* with longformer, or clm with xlnet, gpt2",
    ):
        TransformerBlock(LongformerConfig.build(16, 2, 1, 20), masking="clm")
    with pytest.raises(InputError, match="masking 'mlm' is not for body 'gpt2'"):
        TransformerBlock(GPT2Config.build(16, 2, 1, 20), masking="mlm")
    with pytest.raises(InputError, match="masking 'mlm' is not for body 'gru'"):
        SequentialBlock(features("mlm"), RNNBlock("gru", 28, 6))


def test_widths_that_do_not_fit_are_refused_when_the_body_is_made() -> None:
    with pytest.raises(InputError, match=r"block 1 \(Linear\): can't take the 8 channels"):
        SequentialBlock(features(), MLPBlock([8]), nn.Linear(9, 3))
    with pytest.raises(InputError, match="batch_first=True"):
        SequentialBlock(features(), nn.GRU(28, 3))


def test_every_argument_of_a_configuration_reaches_the_model() -> None:
    for config, names in (
        (XLNetConfig, ["dropout"]),
        (GPT2Config, ["resid_pdrop", "embd_pdrop", "attn_pdrop"]),
        (BertConfig, ["hidden_dropout_prob", "attention_probs_dropout_prob"]),
    ):
        built = config.build(d_model=16, n_head=2, n_layer=3, total_seq_length=20, dropout=0.37, activation="relu")
        assert all(getattr(built, name) == 0.37 for name in names)
        block = TransformerBlock(built)
        rates = {m.p for m in block.modules() if isinstance(m, nn.Dropout)}
        assert rates == {0.37}
        assert any(isinstance(m, nn.ReLU) for m in block.modules())


def test_hidden_events_show_nothing_of_themselves() -> None:
    inputs = features("mlm").eval()
    model_batch = batch()
    torch.manual_seed(0)
    masked = inputs.masking.training(model_batch)
    vectors = inputs(masked)[masked.hidden]
    assert bool((vectors == vectors[0]).all())


def test_summed_features_have_one_width_and_mismatches_are_named() -> None:
    inputs = features(aggregation="element-wise-sum")
    assert inputs.output_dim == 16
    masked = inputs.masking.training(batch())
    columns = {**masked.batch.columns, **{n: t[masked.batch.ids] for n, t in ITEM_TABLE.items()}}
    by_hand = sum(encoder(columns[name]) for name, encoder in inputs.encoders.items())
    torch.testing.assert_close(inputs(masked)[masked.batch.valid], by_hand[masked.batch.valid])
    with pytest.raises(InputError, match="element-wise-sum needs one width"):
        features(
            aggregation="element-wise-sum", features={"item_id": FeatureSpec(dim=16), "category": FeatureSpec(dim=3)}
        )


def test_padding_rows_are_zero_and_stay_so() -> None:
    model = Model(Head(SequentialBlock(features(), MLPBlock([16], None)), NextItemPredictionTask()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        model.loss(batch()).mean.backward()
        optimizer.step()
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            assert float(module.weight[0].detach().abs().sum()) == 0


def test_multi_valued_attributes_are_averaged() -> None:
    inputs = features()
    encoder = inputs.encoders["genres"]
    ids = torch.tensor([[[3, 0, 5], [0, 0, 0]]])
    table = encoder.table.weight
    torch.testing.assert_close(encoder(ids)[0], torch.stack([(table[3] + table[5]) / 2, torch.zeros_like(table[0])]))


@pytest.mark.parametrize(
    ("arguments", "words"), [({"label_smoothing": 1.0}, "label_smoothing"), ({"temperature": 0.0}, "temperature")]
)
def test_wrong_arguments_of_the_task(arguments: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        NextItemPredictionTask(**arguments)


@pytest.mark.parametrize(("body", "masking"), [pair for pair in PAIRS if pair[0] not in ("gru", "lstm")])
def test_groups_of_like_length_change_nothing(body: str, masking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from t4r_lab.nn.bodies import blocks
    from t4r_lab.nn.bodies.transformers import TRANSFORMERS
    from t4r_lab.nn.kernels import packing
    from t4r_lab.nn.layers.flow import Batch
    from t4r_lab.nn.masking import make_masking

    config = TRANSFORMERS[body].configuration.build(d_model=16, n_head=2, n_layer=2, total_seq_length=13)
    block = blocks.TransformerBlock(config, masking).eval()
    lengths = torch.randint(1, 8, (64,), generator=torch.Generator().manual_seed(0))
    lengths[5], lengths[6] = 12, 0
    ids = (torch.arange(12) < lengths[:, None]).long()
    batch = Batch({"item_id": ids}, lengths)
    masked = make_masking(masking).inference(batch)
    hidden = torch.randn(*masked.batch.ids.shape, 16, generator=torch.Generator().manual_seed(1))
    real = masked.batch.valid
    several, one = packing.PackingCost(16, 100), packing.PackingCost(16, 10**9)
    assert [len(packing.length_groups(masked.batch.lengths, cost)) > 1 for cost in (several, one)] == [True, False]
    for name in ("WHOLE", "ATTENTION"):
        monkeypatch.setattr(packing, name, several)
    grouped = block(hidden, masked)[real]
    for name in ("WHOLE", "ATTENTION"):
        monkeypatch.setattr(packing, name, one)
    torch.testing.assert_close(grouped, block(hidden, masked)[real], atol=1e-5, rtol=1e-5)


def test_columns_may_be_called_like_attributes_of_a_module() -> None:
    names = {"category": "type", "price": "keys", "device": "embedding", "genres": "training"}
    schema = SCHEMA.model_copy(
        update={"columns": tuple(c.model_copy(update={"name": names.get(c.name, c.name)}) for c in SCHEMA)}
    )
    table = {names[name]: values for name, values in ITEM_TABLE.items()}
    inputs = TabularSequenceFeatures.from_schema(schema, masking="clm", item_dim=16, item_table=table)
    assert set(inputs.encoders) == {"item_id", *names.values()}
    assert inputs.training
