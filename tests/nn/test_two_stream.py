"""Two-stream attention: who sees whom, on a session worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from t4r_lab.base.errors import InputError
from t4r_lab.nn import RNNBlock, SequentialBlock, TransformerBlock, XLNetConfig
from t4r_lab.nn.layers.flow import Batch
from t4r_lab.nn.layers.query_stream import query_stream, unseen
from t4r_lab.nn.masking import PermutationLM
from tests.support.blocks import features

ORDER = torch.tensor([[0.0, 0.7, 0.0, 0.3]])
"""Events 0 and 2 are visible; 3 is predicted first, then 1."""


def block(n_layer: int = 2) -> TransformerBlock:
    torch.manual_seed(0)
    return TransformerBlock(XLNetConfig.build(8, 2, n_layer, 20), masking="plm").eval()


def test_the_mask_of_four_events_by_hand() -> None:
    may_not = torch.tensor(
        [  # to: 0      1     2      3
            [False, True, False, True],  # 0 is visible: it sees what is visible
            [False, True, False, False],  # 1 comes last: it sees all but itself
            [False, True, False, True],
            [False, True, False, True],  # 3 comes first: it sees what is visible
        ]
    )
    assert torch.equal(unseen(ORDER)[0], may_not)


@pytest.mark.parametrize("n_layer", [1, 3])
def test_a_prediction_depends_on_what_comes_before_it_in_the_order_and_on_nothing_else(n_layer: int) -> None:
    body = block(n_layer)
    hidden = torch.randn(1, 4, 8, requires_grad=True)
    out = query_stream(body.transformer, hidden, torch.ones(1, 4) > 0, ORDER, ORDER > 0)
    for target, seen in ((1, [True, False, True, True]), (3, [True, False, True, False])):
        (slope,) = torch.autograd.grad(out[0, target, 0], hidden, retain_graph=True)
        assert (slope[0].abs().amax(1) > 1e-7).tolist() == seen
    assert float(out[0, [0, 2]].detach().abs().max()) == 0  # nothing is read there


def test_it_reads_what_a_stream_of_all_positions_reads() -> None:
    body, count, longest = block(), 40, 9
    torch.manual_seed(1)
    lengths = torch.randint(2, longest + 1, (count,))
    batch = Batch({"item_id": (torch.arange(longest) < lengths[:, None]).long()}, lengths)
    masked = PermutationLM(probability=0.4, max_span_length=3).training(batch)
    assert masked.order is not None
    hidden = torch.randn(count, longest, 8)
    everywhere = body.transformer(
        inputs_embeds=hidden,
        attention_mask=batch.valid.float(),
        perm_mask=unseen(masked.order).float(),
        target_mapping=torch.eye(longest).expand(count, -1, -1),
    ).last_hidden_state
    torch.testing.assert_close(body(hidden, masked)[masked.predict], everywhere[masked.predict], atol=1e-5, rtol=1e-5)


def test_the_query_stream_learns_what_it_starts_from() -> None:
    assert block().transformer.mask_emb.requires_grad
    other = TransformerBlock(XLNetConfig.build(8, 2, 1, 20), masking="mlm")
    assert not other.transformer.mask_emb.requires_grad
    assert features("plm").hidden_vector is None


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ([nn.Linear(28, 8)], "masking: 'plm' needs one transformer with a query stream, the body has 0"),
        ([nn.Linear(28, 8), TransformerBlock(XLNetConfig.build(8, 2, 1, 20))], "the body has 0"),
        ([nn.Linear(28, 8), block(), block()], "the body has 2"),
        ([RNNBlock("gru", 28, 8)], "masking 'plm' is not for body 'gru'"),
    ],
)
def test_a_body_that_would_see_its_targets_is_refused(blocks: list[nn.Module], words: str) -> None:
    with pytest.raises(InputError, match=words):
        SequentialBlock(features("plm"), *blocks)
