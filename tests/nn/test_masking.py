"""Maskings: what is hidden and predicted, on hand-worked batches."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
import torch

from t4r_lab.base.errors import InputError
from t4r_lab.nn.layers.flow import Batch
from t4r_lab.nn.layers.query_stream import unseen
from t4r_lab.nn.masking import MASKINGS, CausalLM, MaskedLM, PermutationLM, ReplacedItems, make_masking
from t4r_lab.spec import BODY_MASKINGS, CLM, PLM, RTD


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
        masked = MaskedLM(probability=probability).training(batch())
        assert masked.hidden is not None
        counts = masked.hidden.sum(1)
        assert 1 <= counts[0] <= 3 and counts[1] == 1 and counts[2] == 0
        assert not (masked.hidden & ~batch().valid).any()
        assert torch.equal(masked.labels, batch().ids[masked.hidden])


def test_mlm_hides_the_asked_share() -> None:
    torch.manual_seed(0)
    long = Batch({"item_id": torch.ones(200, 100, dtype=torch.long)}, torch.full((200,), 100))
    masked = MaskedLM(probability=0.3).training(long)
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
    with pytest.raises(InputError, match=r"masking\.probability: 1.5 is wrong: .* less than or equal to 0.99"):
        make_masking("mlm", probability=1.5)


# ── Permutation ─────────────────────────────────────────────────────────────────────────────────

LONG = Batch({"item_id": torch.ones(4000, 30, dtype=torch.long)}, torch.full((4000,), 30))


@pytest.mark.parametrize(
    "masking",
    [
        PermutationLM(probability=0.0),
        PermutationLM(probability=0.01, max_span_length=3),
        PermutationLM(probability=0.4, max_span_length=2),
        PermutationLM(probability=1.0, max_span_length=9),
        PermutationLM(permute_all=True),
    ],
)
def test_plm_predicts_at_least_one_and_leaves_at_least_one(masking: PermutationLM) -> None:
    for seed in range(50):
        torch.manual_seed(seed)
        masked = masking.training(batch())
        assert masked.order is not None and masked.hidden is None and not masked.causal
        counts = masked.predict.sum(1)
        assert 1 <= counts[0] <= 3 and counts[1] == 1 and counts[2] == 0
        assert not (masked.predict & ~batch().valid).any()
        assert torch.equal(masked.order > 0, masked.predict)
        assert torch.equal(masked.labels, batch().ids[masked.predict])
        if masking.probability == 0:
            assert counts.tolist() == [1, 1, 0]
        if masking.permute_all:
            assert counts.tolist() == [3, 1, 0]


def spans_by_hand(length: int, probability: float, longest: int, rng: random.Random) -> list[bool]:
    """One session after the XLNet paper and Hugging Face's collator, event by event."""
    chosen, begin = [False] * length, 0
    while begin < length:
        span = rng.randint(1, longest)
        stretch = round(span / probability)
        start = begin + rng.randint(0, stretch - span)
        for position in range(start, min(start + span, length)):
            chosen[position] = True
        begin += stretch
    return chosen


@pytest.mark.parametrize(("probability", "longest"), [(0.2, 5), (0.5, 3), (0.25, 1)])
def test_plm_spans_are_those_of_the_paper(probability: float, longest: int) -> None:
    torch.manual_seed(0)
    spans = PermutationLM(probability=probability, max_span_length=longest)._spans(LONG.ids).float()
    rng = random.Random(0)
    expected = torch.tensor([spans_by_hand(30, probability, longest, rng) for _ in range(4000)]).float()
    noise = 5 * (0.5 / 4000) ** 0.5  # five deviations of a difference of two shares
    assert float((spans.mean(0) - expected.mean(0)).abs().max()) < noise  # at each place
    neighbors = lambda chosen: (chosen[:, 1:] * chosen[:, :-1]).mean(0)  # noqa: E731
    assert float((neighbors(spans) - neighbors(expected)).abs().max()) < noise  # how long the spans are


def test_plm_predicts_the_asked_share_where_stretches_are_no_whole_numbers() -> None:
    for probability in (0.15, 0.7):
        torch.manual_seed(0)
        share = PermutationLM(probability=probability, max_span_length=2)._spans(LONG.ids).float()[:, 5:25].mean()
        assert float(share) == pytest.approx(probability, abs=0.02)


def test_plm_orders_are_random_and_all_alike() -> None:
    torch.manual_seed(0)
    three = Batch({"item_id": torch.ones(6000, 3, dtype=torch.long)}, torch.full((6000,), 3))
    order = PermutationLM(permute_all=True).training(three).order
    assert order is not None
    count = Counter(tuple(row) for row in order.argsort(dim=1).tolist())
    assert len(count) == 6
    assert all(abs(n - 1000) < 5 * 1000**0.5 for n in count.values())


def test_plm_appends_a_query_that_sees_every_observed_event() -> None:
    masked = PermutationLM().inference(batch())
    assert masked.order is not None
    assert masked.predict.nonzero().tolist() == [[0, 4], [1, 2], [2, 1]]
    assert torch.equal(masked.order, masked.predict.float())
    assert torch.equal(masked.batch.ids[:, :4], batch().ids)
    assert not unseen(masked.order)[0, 4, :4].any()


def test_rtd_hides_as_mlm_does() -> None:
    torch.manual_seed(3)
    masked = ReplacedItems(probability=0.4, weight=3.0).training(batch())
    torch.manual_seed(3)
    expected = MaskedLM(probability=0.4).training(batch())
    assert torch.equal(masked.predict, expected.predict)
    assert torch.equal(ReplacedItems().inference(batch()).predict, MaskedLM().inference(batch()).predict)


def test_a_policy_is_made_from_each_part_of_the_spec_with_its_knobs() -> None:
    plm = make_masking(PLM(probability=0.6, max_span_length=2, permute_all=True))
    assert plm == PermutationLM(probability=0.6, max_span_length=2, permute_all=True)
    rtd = make_masking(RTD(probability=0.6, weight=2.0, discriminator="separate", temperature=0.5))
    assert isinstance(rtd, ReplacedItems)
    assert (rtd.weight, rtd.discriminator, rtd.temperature, rtd.generator.probability) == (2.0, "separate", 0.5, 0.6)
    assert isinstance(make_masking(CLM(predict="last")), CausalLM)
    assert {make_masking(name).kind for name in MASKINGS} == {m for names in BODY_MASKINGS.values() for m in names}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: make_masking("plm", probability=1.5),
            r"masking\.probability: 1.5 is wrong: .* less than or equal to 1;",
        ),
        (lambda: make_masking("plm", max_span_length=0), r"max_span_length: 0 is wrong: .* or equal to 1;"),
        (lambda: make_masking("rtd", probability=-0.1), r"probability: -0.1 is wrong"),
        (lambda: make_masking("rtd", weight=-1.0), r"masking\.weight: -1.0 is wrong: .* or equal to 0;"),
        (lambda: make_masking("rtd", discriminator="own"), r"'own' is not a choice; choose from: shared, separate"),
        (lambda: make_masking("rtd", temperature=0.0), r"temperature: 0.0 is wrong"),
    ],
)
def test_wrong_settings_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()
