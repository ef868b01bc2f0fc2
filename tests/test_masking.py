"""Maskings: what is hidden and predicted, on hand-worked batches."""

from __future__ import annotations

import pytest
import torch

from t4r_lab.errors import InputError
from t4r_lab.nn.flow import Batch
from t4r_lab.nn.masking import CausalLM, MaskedLM, make_masking


def batch() -> Batch:
    return Batch({"item_id": torch.tensor([[5, 6, 7, 8], [3, 4, 0, 0], [9, 0, 0, 0]])}, torch.tensor([4, 2, 1]))


def test_clm_predicts_the_next_item_and_never_reads_the_last() -> None:
    masked = CausalLM().training(batch())
    assert masked.batch.ids.tolist() == [[5, 6, 7], [3, 0, 0], [0, 0, 0]]
    assert masked.predict.tolist() == [[True, True, True], [True, False, False], [False, False, False]]
    assert masked.labels.tolist() == [6, 7, 8, 4]
    assert masked.causal and masked.hidden is None


def test_clm_can_train_on_the_last_item_only() -> None:
    masked = CausalLM(predict="last").training(batch())
    assert masked.labels.tolist() == [8, 4]
    assert masked.predict.sum(1).tolist() == [1, 1, 0]


def test_clm_reads_the_last_position_at_inference() -> None:
    assert CausalLM().inference(batch()).predict.nonzero().tolist() == [[0, 3], [1, 1], [2, 0]]


@pytest.mark.parametrize("probability", [0.01, 0.3, 0.99])
def test_mlm_hides_at_least_one_and_leaves_at_least_one(probability: float) -> None:
    for seed in range(50):
        torch.manual_seed(seed)
        masked = MaskedLM(probability).training(batch())
        assert masked.hidden is not None
        counts = masked.hidden.sum(1)
        assert 1 <= counts[0] <= 3 and counts[1] == 1 and counts[2] == 0
        assert not (masked.hidden & ~batch().valid).any()
        assert torch.equal(masked.labels, batch().ids[masked.hidden])


def test_mlm_hides_the_asked_share() -> None:
    torch.manual_seed(0)
    long = Batch({"item_id": torch.ones(200, 100, dtype=torch.long)}, torch.full((200,), 100))
    masked = MaskedLM(0.3).training(long)
    assert masked.hidden is not None
    assert float(masked.hidden.float().mean()) == pytest.approx(0.3, abs=0.01)  # 20,000 draws: three deviations


def test_mlm_appends_one_hidden_position_at_inference() -> None:
    masked = MaskedLM().inference(batch())
    assert masked.predict.nonzero().tolist() == [[0, 4], [1, 2], [2, 1]]
    assert masked.batch.lengths.tolist() == [5, 3, 2]
    assert torch.equal(masked.batch.ids[:, :4], batch().ids)


def test_wrong_maskings_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'mlm'"):
        make_masking("mlmm")
    with pytest.raises(InputError, match="between 0 and 1"):
        MaskedLM(1.5)
