"""Baselines against a brute-force computation in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
import torch

from t4r_lab.baselines.baseline_ranks import evaluate
from t4r_lab.baselines.baseline_table import BASELINES
from t4r_lab.baselines.popularity_baseline import Popularity
from t4r_lab.baselines.successors_baseline import Successors
from t4r_lab.data.sessions.arrays import Sessions
from t4r_lab.nn.batches import make_batch, whole_windows
from t4r_lab.spec import EvaluationSpec
from tests.support.toy import N_ITEMS, make_sessions


def lists(sessions: Sessions) -> list[list[int]]:
    return [part.tolist() for part in np.split(sessions.values["item_id"], sessions.offsets[1:-1])]


def brute_successors(train: list[list[int]], session: list[int]) -> list[float]:
    follows: dict[int, Counter[int]] = defaultdict(Counter)
    for events in train:
        for i, a in enumerate(events):
            for gap in (1, 2, 3):
                if i + gap < len(events):
                    follows[a][events[i + gap]] += 1 / gap  # type: ignore[assignment]
    scores = [0.0] * (N_ITEMS + 1)
    for distance, a in enumerate(reversed(session[-10:]), start=1):
        for b, weight in follows[a].items():
            scores[b] += weight / distance
    return scores[1:]


def test_successor_scores_equal_brute_force_with_popularity_behind() -> None:
    train, new = make_sessions(200, 0), make_sessions(30, 1, longest=20)
    model = Successors(train, N_ITEMS)
    scores = model.scores(make_batch(new, whole_windows(new, 100))).numpy()
    expected = np.array([brute_successors(lists(train), s) for s in lists(new)])
    behind = scores - expected
    np.testing.assert_allclose(behind, np.tile(model.behind, (30, 1)), atol=1e-9)
    # popularity can't lift an item above any that ever followed
    assert behind.max() < model.weight.min() / 10


def test_popularity_counts_the_training_part() -> None:
    train = make_sessions(100, 0)
    counts = Counter(int(i) for i in train.values["item_id"])
    scores = Popularity(train, N_ITEMS).scores(make_batch(train, whole_windows(train, 5)))
    assert scores[0].tolist() == [counts[i] for i in range(1, N_ITEMS + 1)]


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("filter_seen", [False, True])
def test_evaluation_ranks_every_prefix_by_brute_force(name: str, filter_seen: bool) -> None:
    train, new = make_sessions(200, 0), make_sessions(12, 1)
    model = BASELINES[name].fit(train, N_ITEMS)
    ranks = evaluate(model, new, EvaluationSpec(cutoffs=[5], positions="all", filter_seen=filter_seen))
    case = 0
    for row, events in enumerate(lists(new)):
        for position in range(1, len(events)):
            one = Sessions(
                {"item_id": np.array(events[:position], np.int32)},
                np.array([0, position]),
                np.ones(1, np.int32),
                {},
                np.array(["0"]),
                0,
            )
            scores = model.scores(make_batch(one, whole_windows(one, 100)))[0].tolist()
            target = events[position]
            rivals = [
                s for i, s in enumerate(scores, 1) if i != target and not (filter_seen and i in events[:position])
            ]
            score = scores[target - 1]
            rank = 1 + sum(s > score for s in rivals) + sum(s == score for s in rivals) / 2
            if filter_seen and target in events[:position]:
                rank = N_ITEMS
            assert (ranks.session[case], ranks.position[case], ranks.target[case], ranks.rank[case]) == (
                row,
                position,
                target,
                rank,
            )
            case += 1
    assert case == len(ranks.rank)


def test_on_random_items_successors_are_at_chance() -> None:
    train, new = make_sessions(400, 0, structure=0.0), make_sessions(400, 1, structure=0.0)
    rank = evaluate(Successors(train, N_ITEMS), new, EvaluationSpec(cutoffs=[5], positions="all")).rank
    assert abs(rank.mean() - (N_ITEMS + 1) / 2) < 4 * (N_ITEMS / 12**0.5) / len(rank) ** 0.5


def test_a_session_without_events_is_scored_by_popularity() -> None:
    train = make_sessions(50, 0)
    empty = Sessions({"item_id": np.zeros(0, np.int32)}, np.array([0, 0]), np.ones(1, np.int32), {}, np.array(["0"]), 0)
    for baseline in BASELINES.values():
        scores = baseline.fit(train, N_ITEMS).scores(make_batch(empty, whole_windows(empty, 5)))
        assert torch.argmax(scores) == np.bincount(train.values["item_id"], minlength=N_ITEMS + 1)[1:].argmax()
