"""Packed events: what each body reads from them against the padded model of `transformers`, and a session alone."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from t4r_lab.base.errors import InputError
from t4r_lab.nn import Qwen3Config as SizedQwen3
from t4r_lab.nn import XLNetConfig
from t4r_lab.nn.bodies import transformers
from t4r_lab.nn.bodies.blocks import SequentialBlock, TransformerBlock
from t4r_lab.nn.inputs.encoders import CategoricalFeature, embedding_table
from t4r_lab.nn.inputs.tabular import FeatureReader, Joining, TabularSequenceFeatures
from t4r_lab.nn.kernels import packed_attention
from t4r_lab.nn.kernels import packing as packing_module
from t4r_lab.nn.kernels.packing import ATTENTION, FEWEST, WHOLE, Packing, PackingCost, length_groups
from t4r_lab.nn.layers.content_stream import shift
from t4r_lab.nn.layers.flow import Batch, Masked
from t4r_lab.nn.layers.recurrent import RNNBlock
from t4r_lab.nn.masking import CausalLM, MaskedLM

LENGTHS = torch.cat([torch.randint(1, 8, (50,), generator=torch.Generator().manual_seed(0)), torch.tensor([12, 0, 1])])
REAL = torch.arange(12) < LENGTHS[:, None]
BOTH_WAYS = ("xlnet", "bert", "roberta", "electra")


@pytest.fixture(autouse=True)
def _several_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions as short as these would be one group."""
    monkeypatch.setattr(packing_module, "ATTENTION", PackingCost(16, 100))
    assert len(Packing.of(LENGTHS, 12, 2).groups) > 1


def model_of(kind: str) -> torch.nn.Module:
    config = transformers.TRANSFORMERS[kind].configuration.build(d_model=16, n_head=2, n_layer=2, total_seq_length=12)
    model, _ = transformers.make_transformer(config)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.2, generator=generator)
    return model.eval()


def hidden_of(seed: int = 2) -> torch.Tensor:
    return torch.randn(len(LENGTHS), 12, 16, generator=torch.Generator().manual_seed(seed)) * REAL[..., None]


@pytest.mark.parametrize(
    ("kind", "causal"),
    [(kind, False) for kind in BOTH_WAYS] + [(kind, True) for kind in (*BOTH_WAYS, "gpt2", "llama", "qwen3")],
)
def test_outputs_and_gradients_are_those_of_the_padded_model(kind: str, causal: bool) -> None:
    model, results = model_of(kind), []
    assert transformers.reads_packed(model, kind)
    for packed in (True, False):
        hidden = hidden_of().requires_grad_()
        if packed:
            out = transformers.sequence_output(model, kind, hidden, LENGTHS, causal)
        else:
            if kind != "xlnet":
                model.set_attn_implementation("sdpa")
            out = transformers.TRANSFORMERS[kind].reading.padded(model, hidden, REAL, causal)
        (out[REAL] ** 2).sum().backward()
        assert hidden.grad is not None
        weights = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        results.append((out[REAL].detach(), hidden.grad[REAL], weights))
        model.zero_grad()
    (ours, ours_hidden, ours_weights), (theirs, theirs_hidden, theirs_weights) = results
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours_hidden, theirs_hidden, atol=1e-4, rtol=1e-4)
    assert set(ours_weights) == set(theirs_weights)
    for name, gradient in theirs_weights.items():
        torch.testing.assert_close(ours_weights[name], gradient, atol=2e-3, rtol=1e-3, msg=name)


@pytest.mark.parametrize("kind", ["xlnet", "sasrec", "ligr"])
@pytest.mark.parametrize("chance", [0.0, 0.2, 1.0])
def test_the_last_layer_done_for_predicted_events_alone_changes_nothing_there(kind: str, chance: float) -> None:
    model, results = model_of(kind), []
    predict = REAL & (torch.rand(REAL.shape, generator=torch.Generator().manual_seed(3)) <= chance)
    for events in (predict, None):
        hidden = hidden_of().requires_grad_()
        out = transformers.sequence_output(model, kind, hidden, LENGTHS, False, events)
        if 0 < chance < 1 and events is not None:
            assert not out[~predict].any()
        (out[predict] ** 2).sum().backward()
        assert hidden.grad is not None
        weights = [p.grad.clone() for p in model.parameters() if p.requires_grad and p.grad is not None]
        results.append([out[predict].detach(), hidden.grad, *weights])
        model.zero_grad()
    assert len(results[0]) == len(results[1])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


def test_an_input_block_is_refused_a_masking_that_it_has_no_vector_for() -> None:
    item = FeatureReader(CategoricalFeature(embedding_table(5, 16, 1.0)), ("item_id",))
    with pytest.raises(InputError, match="no vector stands for them"):
        TabularSequenceFeatures({"item_id": item}, Joining(16), MaskedLM())
    TabularSequenceFeatures({"item_id": item}, Joining(16), CausalLM())  # hides nothing


def test_only_the_last_block_of_a_body_leaves_events_out() -> None:
    """A block before it is read everywhere: the second one attends to what the first makes of all events."""
    config = XLNetConfig.build(d_model=16, n_head=2, n_layer=1, total_seq_length=12)
    blocks = [TransformerBlock(config, masking="mlm"), TransformerBlock(config, masking="mlm")]
    item = CategoricalFeature(embedding_table(5, 16, 1.0))
    joining = Joining(16, hidden=nn.Parameter(torch.ones(16)))
    inputs = TabularSequenceFeatures({"item_id": FeatureReader(item, ("item_id",))}, joining, MaskedLM())
    body = SequentialBlock(inputs, *blocks).eval()
    masked = MaskedLM().inference(Batch({"item_id": REAL.long()}, LENGTHS))
    hidden = body.inputs(masked)
    for block in blocks:
        hidden = block(hidden, masked)
    torch.testing.assert_close(body(masked)[masked.predict], hidden[masked.predict])
    cut = blocks[1](blocks[0](body.inputs(masked), masked, last=True), masked)
    assert not torch.allclose(cut[masked.predict], hidden[masked.predict])


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_a_recurrent_body_reads_packed_events_as_padded_ones(kind: str) -> None:
    block, results = RNNBlock(kind, 16, 24, n_layer=2), []
    batch = Batch({"item_id": REAL.long()}, LENGTHS)
    masked = Masked(batch, None, REAL, LENGTHS[:0], causal=True)
    for packed in (True, False):
        hidden = hidden_of().requires_grad_()
        out = block(hidden, masked) if packed else block.rnn(hidden)[0]
        (out[REAL] ** 2).sum().backward()
        assert hidden.grad is not None
        results.append([out[REAL].detach(), hidden.grad, *(p.grad.clone() for p in block.parameters())])
        block.zero_grad()
        assert not packed or not out[~REAL & (LENGTHS > 0)[:, None]].any()
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["sasrec", "ligr", "xlnet", "gpt2", "bert"])
def test_a_session_in_a_batch_is_read_as_it_is_alone(kind: str) -> None:
    model, hidden = model_of(kind), hidden_of()
    together = transformers.sequence_output(model, kind, hidden, LENGTHS, kind != "bert")
    for row in (0, 7, 50, 52):
        length = int(LENGTHS[row])
        alone = transformers.sequence_output(
            model, kind, hidden[row : row + 1, :length], LENGTHS[row : row + 1], kind != "bert"
        )
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-5, rtol=1e-5)


def test_places_are_shifted_as_transformers_does_it() -> None:
    from transformers.models.xlnet.modeling_xlnet import XLNetRelativeAttention

    scores = torch.randn(3, 2, 5, 10, requires_grad=True)
    shifted = [shift(scores, 5), shift(scores.transpose(0, 1), 5).transpose(0, 1)]
    wanted = XLNetRelativeAttention.rel_shift_bnij(scores, klen=5)
    (expected,) = torch.autograd.grad((wanted**3).sum(), scores)
    for ours in shifted:
        assert torch.equal(ours, wanted)
        torch.testing.assert_close(torch.autograd.grad((ours**3).sum(), scores)[0], expected)


def test_packing_and_padding_are_inverse_and_groups_hold_each_event_once() -> None:
    packing, hidden = Packing.of(LENGTHS, 12, 2), hidden_of()
    packed = packing.pack(hidden)
    assert packed.shape[0] == int(LENGTHS.clamp(min=1).sum())
    torch.testing.assert_close(packing.pad(packed), hidden)
    rows = [packed.unflatten(1, (2, -1))[group].transpose(1, 2).flatten(0, 2) for group in packing.groups]
    torch.testing.assert_close(torch.cat(rows)[packing.grouped].flatten(1), packed)
    seen = torch.cat([group[valid] for group, valid in zip(packing.groups, packing.valid, strict=True)])
    assert sorted(seen.tolist()) == list(range(len(packed)))


@pytest.mark.parametrize("cost", [ATTENTION, WHOLE])
@pytest.mark.parametrize("most", [1, 20, 50, 200])
def test_groups_cost_less_than_one_of_all_and_are_not_too_small(cost: PackingCost, most: int) -> None:
    def paid(groups: tuple[torch.Tensor, ...]) -> int:
        longest = [int(lengths[group].max()) for group in groups]
        pairs = zip(groups, longest, strict=True)
        return sum(len(group) * t * (t + cost.linear) + cost.group for group, t in pairs)

    draws = torch.rand(128, generator=torch.Generator().manual_seed(most)) ** 3
    lengths = (draws * most).long() + 1
    groups = length_groups(lengths, cost._replace(most=2**62))
    assert sorted(torch.cat(groups).tolist()) == list(range(128)) and min(len(group) for group in groups) >= FEWEST
    for shorter, longer in itertools.pairwise(groups):
        assert int(lengths[shorter].max()) <= int(lengths[longer].min())
    halves = [lengths.argsort(stable=True).tensor_split([at]) for at in range(FEWEST, 128 - FEWEST + 1)]
    assert paid(groups) <= min(paid((torch.arange(128),)), *(paid(two) for two in halves))


@pytest.mark.parametrize("longest", [20, 100, 200, 900])
def test_a_group_is_as_large_as_cache_allows_or_one_session(longest: int) -> None:
    lengths = (torch.rand(128, generator=torch.Generator().manual_seed(longest)) * longest).long() + 1
    groups = length_groups(lengths, ATTENTION)
    assert torch.equal(torch.cat(groups), lengths.argsort(stable=True))
    for group in groups:
        assert len(group) == 1 or len(group) * int(lengths[group].max()) ** 2 <= ATTENTION.most
    alike = length_groups(torch.full((128,), longest), ATTENTION)
    assert max(map(len, alike)) <= min(map(len, alike)) + 1


def test_a_few_sessions_are_one_group() -> None:
    assert len(length_groups(torch.tensor([1] * FEWEST + [100] * (FEWEST - 1)), ATTENTION)) == 1
    assert len(length_groups(torch.tensor([200]), ATTENTION)) == 1


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_attention_in_reduced_precision_is_close(dtype: torch.dtype, causal: bool) -> None:
    packing, generator = Packing.of(LENGTHS, 12, 2), torch.Generator().manual_seed(6)
    read = torch.randn(int(LENGTHS.clamp(min=1).sum()), 2, 4, 4, generator=generator)
    distances = torch.randn(2, 24, 4, generator=generator)
    results = []
    for kind in (torch.float32, dtype):
        given = read.detach().to(kind, copy=True).requires_grad_()
        out = packed_attention.attend(given, packing, causal, 0.5, 0.0, distances.to(kind))
        assert out.dtype == kind
        (out.float() ** 2).sum().backward()
        assert given.grad is not None and given.grad.dtype == kind
        results.append((out.float(), given.grad.float()))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=0.06, rtol=0.06)


@pytest.mark.parametrize("causal", [True, False])
def test_gradients_of_attention_are_those_of_what_dropout_left(causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[torch.Size, torch.Tensor] = {}
    monkeypatch.setattr(
        packed_attention,
        "factors",
        lambda values, p: drawn.setdefault(values.shape, 2.0 * (torch.rand_like(values) < 0.5)),
    )
    lengths = torch.tensor([1] * FEWEST + [3] * FEWEST)
    packing = Packing.of(lengths, 3, 2).only(torch.arange(3) < lengths[:, None] - 1)
    assert len(packing.groups) == 2 and packing.kept is not None
    generator = torch.Generator().manual_seed(5)
    read = torch.randn(4 * FEWEST, 2, 4, 2, generator=generator).double().requires_grad_()
    distances = torch.randn(2, 6, 2, generator=generator).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda r, d: packed_attention.attend(r, packing, causal, 0.7, 0.5, d), (read, distances)
    )


def test_a_body_with_another_attention_keeps_it() -> None:
    from transformers import Qwen3Config

    config = SizedQwen3.build(d_model=16, n_head=2, n_layer=1, total_seq_length=9).to_dict()
    model, _ = transformers.make_transformer(Qwen3Config(**{**config, "use_sliding_window": True, "sliding_window": 3}))
    assert not transformers.reads_packed(model, "qwen3")
