"""Bodies made by hand: our own layers against their formulas, foreign configurations, Keras layers, towers."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from t4r_lab.base.errors import InputError
from t4r_lab.nn import (
    GPT2Config,
    Head,
    LiGRConfig,
    MLPBlock,
    Model,
    NextItemPredictionTask,
    RNNBlock,
    SASRecConfig,
    SequentialBlock,
    TabularSequenceFeatures,
    Towers,
    TransformerBlock,
    TransfoXLConfig,
    XLNetConfig,
)
from t4r_lab.nn.batches import make_batch, training_windows
from t4r_lab.nn.layers.flow import Batch
from t4r_lab.spec import FeatureSpec, RunSpec
from tests.support.toy import N_ITEMS, SCHEMA, Toy

ITEM_TABLE = {name: torch.as_tensor(values) for name, values in Toy().item_table().items()}


def features(masking: str = "clm", **options: Any) -> TabularSequenceFeatures:
    options = {"max_sequence_length": 20, "item_dim": 16, "item_table": ITEM_TABLE, **options}
    return TabularSequenceFeatures.from_schema(SCHEMA, masking=masking, **options)


def batch() -> Batch:
    sessions = Toy().part("train")
    return make_batch(sessions, training_windows(sessions, 20))


# ── Our own layers ──────────────────────────────────────────────────────────────────────────────


def attention_by_hand(layer: Any, hidden: Tensor, visible: Tensor) -> Tensor:
    """softmax(QKᵀ/√d)·V head by head, each session by itself."""
    normed, (b, t, d) = layer.attention_norm(hidden), hidden.shape
    q, k, v = (
        normed @ w.T + c
        for w, c in zip(layer.attention.read.weight.chunk(3), layer.attention.read.bias.chunk(3), strict=True)
    )
    heads, out = layer.attention.n_head, torch.zeros(b, t, d)
    for row in range(b):
        for head in range(heads):
            part = slice(head * d // heads, (head + 1) * d // heads)
            logits = (q[row, :, part] @ k[row, :, part].T / math.sqrt(d // heads)).masked_fill(~visible[row], -math.inf)
            out[row, :, part] = logits.softmax(-1) @ v[row, :, part]
    return out @ layer.attention.write.weight.T + layer.attention.write.bias


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("config", [SASRecConfig, LiGRConfig])
def test_own_layers_follow_their_formulas(config: Any, causal: bool) -> None:
    torch.manual_seed(0)
    built = config.build(d_model=12, n_head=3, n_layer=1, total_seq_length=7, activation="silu", initializer_range=0.3)
    stack = TransformerBlock(built).transformer.eval()
    layer, hidden = stack.layers[0], torch.randn(2, 6, 12)
    valid = torch.arange(6) < torch.tensor([[6], [4]])
    visible = torch.ones(6, 6, dtype=torch.bool).tril().expand(2, 6, 6) if causal else valid[:, None].expand(2, 6, 6)
    x = hidden + stack.positions.weight[:6]
    if built.model_type == "sasrec":
        x = x + attention_by_hand(layer, x, visible)
        first, _, _, second = layer.feed_forward
        inner = layer.feed_forward_norm(x) @ first.weight.T + first.bias
        x = x + inner * inner.sigmoid() @ second.weight.T + second.bias
    else:
        gate = (x @ layer.attention_gate.weight.T + layer.attention_gate.bias).sigmoid()
        x = x + gate * attention_by_hand(layer, x, visible)
        gate = (x @ layer.feed_forward_gate.weight.T + layer.feed_forward_gate.bias).sigmoid()
        read, write = layer.feed_forward.read, layer.feed_forward.write
        a, b = (layer.feed_forward_norm(x) @ read.weight.T + read.bias).chunk(2, -1)
        x = x + gate * ((a * a.sigmoid() * b) @ write.weight.T + write.bias)
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    expected = (x - mean) / (variance + 1e-5).sqrt() * stack.norm.weight + stack.norm.bias
    torch.testing.assert_close(stack(hidden, valid.sum(1), causal)[valid], expected[valid], atol=1e-5, rtol=1e-4)


def test_transformer_xl_is_refused_with_what_to_use() -> None:
    with pytest.raises(InputError, match=r"left the `transformers` library.*use xlnet"):
        TransfoXLConfig.build(d_model=16, n_head=2, n_layer=1, total_seq_length=20)
    with pytest.raises(InputError, match=r"model\.body\.kind: Transformer-XL left"):
        RunSpec.parse({"data": {"path": "x"}, "model": {"body": {"kind": "transfo-xl"}}})


def test_rotary_heads_must_have_pairs_of_channels() -> None:
    with pytest.raises(InputError, match=r"model.body: n_head 2 leaves heads 3 wide.*choose n_head from \[1, 3\]"):
        RunSpec.parse({"data": {"path": "x"}, "model": {"body": {"kind": "llama", "d_model": 6, "n_head": 2}}})


# ── Any configuration of transformers ───────────────────────────────────────────────────────────

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 8,
    "max_position_embeddings": 32,
}


TOGETHER = """
import threading, time
from t4r_lab.nn import GPT2Config
found = []
def make(after):
    time.sleep(after)
    found.append(GPT2Config.build(d_model=8, n_head=2, n_layer=1, total_seq_length=4).model_type)
threads = [threading.Thread(target=make, args=(i / 20,)) for i in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert found == ["gpt2"] * 8, found
"""


def test_threads_that_need_transformers_at_once_all_get_it() -> None:
    """As panels of the Lab do; only in a new process has nobody imported it before."""
    process = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


def foreign(name: str, **options: Any) -> Any:
    import transformers

    return getattr(transformers, name)(**options)


@pytest.mark.parametrize(
    ("name", "options", "masking"),
    [
        ("GPTNeoXConfig", SMALL | {"intermediate_size": 32}, "clm"),
        ("MistralConfig", SMALL | {"intermediate_size": 32, "num_key_value_heads": 1, "head_dim": 8}, "clm"),
        ("MPNetConfig", SMALL | {"intermediate_size": 32, "pad_token_id": 0}, "mlm"),
        ("DistilBertConfig", {"dim": 16, "hidden_dim": 32, "n_layers": 1, "n_heads": 2, "vocab_size": 8}, "mlm"),
    ],
)
def test_any_configuration_is_a_body_by_what_it_can(name: str, options: dict[str, Any], masking: str) -> None:
    config = foreign(name, **options)
    block = TransformerBlock(config, masking=masking)
    assert block.maskings == {"clm": ("clm",), "mlm": ("mlm", "rtd")}[masking]
    other = {"clm": "mlm", "mlm": "clm"}[masking]
    with pytest.raises(InputError, match=f"masking '{other}' is not for body '{config.model_type}'; use {masking}"):
        TransformerBlock(config, masking=other)
    with pytest.raises(InputError, match=f"masking '{other}' is not for body"):  # not told, it is seen when composed
        SequentialBlock(features(other), MLPBlock([16]), TransformerBlock(config))
    body = SequentialBlock(features(masking), MLPBlock([16]), block)
    Model(Head(body, NextItemPredictionTask())).loss(batch()).mean.backward()
    assert all(p.grad is not None for p in body.parameters() if p.requires_grad)
    assert any(p.grad is not None for p in block.parameters())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (
            "FNetConfig",
            {"hidden_size": 16, "num_hidden_layers": 1, "vocab_size": 8},
            "FNetModel takes no attention_mask",
        ),
        ("CanineConfig", {}, "CanineModel can't read 6 events"),
        ("T5Config", {"d_model": 16, "num_layers": 1, "vocab_size": 8}, "body 't5': it is an encoder with a decoder"),
        ("ViTConfig", {"hidden_size": 16, "num_hidden_layers": 1}, "ViTModel takes no inputs_embeds"),
        ("ReformerConfig", {"attn_layers": ["lsh"]}, "'lsh' hash by chance.*use attn_layers of 'local'"),
    ],
)
def test_what_a_model_lacks_is_named(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        TransformerBlock(foreign(name, **options))


def test_what_is_no_configuration_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"config: Linear is not a configuration of a transformer; give what XLNetConfig\.build"
    ):
        TransformerBlock(nn.Linear(2, 2))


# ── Keras layers on the torch backend ───────────────────────────────────────────────────────────


def test_a_keras_layer_stands_in_a_body() -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip(
        "keras", minversion="3", reason="keras is an optional extra: pip install 't4r-lab[keras]'"
    )
    if keras.backend.backend() != "torch":
        pytest.skip(f"keras runs on {keras.backend.backend()} here; set KERAS_BACKEND=torch")
    layer = keras.layers.Dense(16, activation="gelu")
    config = SASRecConfig.build(d_model=16, n_head=2, n_layer=1, total_seq_length=20, dropout=0.0)
    body = SequentialBlock(features(), layer, TransformerBlock(config, "clm"))
    model, sessions = Model(Head(body, NextItemPredictionTask())), batch()
    assert body.output_dim == 16
    kernel = next(p for p in layer.parameters() if p.ndim == 2)
    hidden = torch.randn(3, 5, len(kernel))
    bias = next(p for p in layer.parameters() if p.ndim == 1)
    torch.testing.assert_close(layer(hidden), nn.functional.gelu(hidden @ kernel + bias), atol=1e-5, rtol=1e-4)
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=5e-3), []
    for _ in range(15):
        loss = model.loss(sessions).mean
        optimizer.zero_grad()
        loss.backward()
        assert kernel.grad is not None and float(kernel.grad.abs().sum()) > 0
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.1
    twin = Model(
        Head(
            SequentialBlock(features(), keras.layers.Dense(16, activation="gelu"), TransformerBlock(config, "clm")),
            NextItemPredictionTask(),
        )
    )
    names = dict(zip(model.state_dict(), twin.state_dict(), strict=True))  # Keras numbers its layers
    twin.load_state_dict({names[name]: values for name, values in model.state_dict().items()})
    torch.testing.assert_close(twin.eval().score(sessions), model.eval().score(sessions))


# ── Towers ──────────────────────────────────────────────────────────────────────────────────────


def two_towers(width: int = 16, masking: str = "clm") -> list[SequentialBlock]:
    config = GPT2Config.build(d_model=16, n_head=2, n_layer=1, total_seq_length=20)
    price = {"item_id": FeatureSpec(dim=4), "price": FeatureSpec(encoding="soft_one_hot", dim=6)}
    return [
        SequentialBlock(features(), MLPBlock([16]), TransformerBlock(config, "clm")),
        SequentialBlock(features(features=price), MLPBlock([8]), RNNBlock("gru", 8, width)),
    ]


def test_towers_are_merged_by_their_formulas() -> None:
    towers, sessions = [tower.eval() for tower in two_towers()], batch()
    masked = towers[0].masking.inference(sessions)
    a, b = (tower(masked) for tower in towers)
    torch.testing.assert_close(Towers(towers)(masked), torch.cat([a, b], -1))
    torch.testing.assert_close(Towers(towers, merge="sum")(masked), a + b)
    gated = Towers(towers, merge="gate")
    odds = (torch.cat([a, b], -1) @ gated.gate.weight.T + gated.gate.bias).exp()
    first = odds[..., :1] / odds.sum(-1, keepdim=True)
    torch.testing.assert_close(gated(masked), first * a + (1 - first) * b)


@pytest.mark.parametrize(("merge", "width"), [("concat", 32), ("sum", 16), ("gate", 16)])
def test_towers_stand_where_a_sequential_block_stands(merge: str, width: int) -> None:
    body = Towers(two_towers(), merge=merge)
    model = Model(Head(body, NextItemPredictionTask()))
    assert body.output_dim == width
    assert model.head.task.items is body.towers[0].inputs.item_embedding
    model.loss(batch()).mean.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    assert model.score(batch()).shape == (len(batch().lengths), N_ITEMS)


def test_towers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="merge 'sum' needs towers of one width, but theirs are 16, 10; end them with"):
        Towers(two_towers(10), merge="sum")
    with pytest.raises(InputError, match="merge: 'stack' is not known"):
        Towers(two_towers(), merge="stack")
    with pytest.raises(InputError, match="towers: got 1; give two or more"):
        Towers(two_towers()[:1])
    with pytest.raises(InputError, match="towers: they share one masking, but theirs are clm, mlm"):
        Towers([two_towers()[0], SequentialBlock(features("mlm"))])
    with pytest.raises(InputError, match="towers: they read one length of session"):
        Towers([two_towers()[0], SequentialBlock(features(max_sequence_length=9))])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            {"towers": [{"body": {"d_model": 32}}], "merge": "gate"},
            "model: merge 'gate' needs towers of one width, but their d_model are 64, 32",
        ),
        ({"towers": [{"body": {"kind": "modernbert"}}]}, "model: masking 'clm' is not for body 'modernbert'"),
        ({"merge": "stack"}, "model.merge: 'stack' is not a choice"),
        ({"towers": [{"inputs": {"aggregate": "concat"}}]}, "model.towers.0.inputs.aggregate: unknown key"),
    ],
)
def test_towers_of_a_spec_that_do_not_fit_are_refused_by_path(model: dict[str, Any], words: str) -> None:
    for tower in model.get("towers", []):
        tower.setdefault("body", {}).setdefault("kind", "gpt2")
    with pytest.raises(InputError, match=words):
        RunSpec.parse({"data": {"path": "x"}, "model": model})


def test_a_feature_that_a_tower_lacks_is_named_by_its_tower() -> None:
    from t4r_lab.training.assembly import check

    towers = [{"inputs": {"features": {"prise": {}}}, "body": {"kind": "gru"}}]
    spec = RunSpec.parse({"data": {"path": "x"}, "model": {"towers": towers}})
    with pytest.raises(InputError, match=r"model\.towers\.0\.inputs\.features\.prise: the data has no such feature"):
        check(spec, SCHEMA)


def test_xlnet_encodes_its_positions_once_with_the_scores_of_transformers() -> None:
    from transformers import XLNetModel

    config = XLNetConfig.build(d_model=16, n_head=2, n_layer=2, total_seq_length=9)
    ours = TransformerBlock(config, "mlm").transformer.eval()
    theirs = XLNetModel(config).eval()
    theirs.load_state_dict(ours.state_dict())
    hidden, valid = torch.randn(4, 7, 16), torch.ones(4, 7)
    valid[1, 3:] = 0
    assert ours.relative_positional_encoding(7, 7, bsz=4, device=hidden.device).shape == (14, 1, 16)
    torch.testing.assert_close(
        ours(inputs_embeds=hidden, attention_mask=valid).last_hidden_state,
        theirs(inputs_embeds=hidden, attention_mask=valid).last_hidden_state,
    )
