"""The built-in data has the structure that it says, and its best recall is what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.data.pipeline.synthetic import Generator, demo_dataset


def test_the_same_seed_gives_the_same_events() -> None:
    assert Generator().events(50).equals(Generator().events(50))
    assert not Generator().events(50).equals(Generator(seed=1).events(50))


def test_next_items_follow_the_stated_distribution() -> None:
    shop = Generator(n_items=30, n_categories=4)
    last = np.full(200_000, 7)
    drawn = np.bincount(shop._draw_next(np.random.default_rng(0), last), minlength=30) / len(last)
    stated = shop.next_probability(np.array([7]))[0]
    assert stated.sum() == pytest.approx(1)
    np.testing.assert_allclose(drawn, stated, atol=4 * np.sqrt(0.25 / len(last)))


def test_no_list_beats_the_bayes_recall_and_the_best_one_reaches_it() -> None:
    shop = Generator(n_items=50, n_categories=5)
    rng = np.random.default_rng(0)
    last = rng.integers(0, 50, 100_000)
    following = shop._draw_next(rng, last)
    best = np.argsort(-shop.next_probability(np.arange(50)), axis=1)[:, :5]
    reached = (best[last] == following[:, None]).any(1).mean()
    assert reached == pytest.approx(shop.bayes_recall(last, 5), abs=4 * np.sqrt(0.25 / len(last)))
    popular = np.argsort(-shop.popularity)[:5]
    assert np.isin(following, popular).mean() < shop.bayes_recall(last, 5)


def test_popularity_is_skewed_and_sessions_are_ordered() -> None:
    events = Generator().events(3000)
    count = np.sort(np.bincount(events["item_id"].to_numpy()))[::-1]
    assert count[:25].sum() > 0.2 * count.sum()
    steps = events.with_columns(pl.col("timestamp").diff().over("session_id").alias("step"))["step"].drop_nulls()
    assert (steps >= 0).all()
    assert set(events["purchase"].unique()) == {0, 1}
    lengths = events.group_by("session_id").len()["len"]
    assert lengths.min() >= 2
    assert lengths.mean() == pytest.approx(7, abs=0.5)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(InputError, match="more than 4 items"):
        Generator(n_items=3)
    with pytest.raises(InputError, match="probabilities"):
        Generator(follow=0.9, stay=0.4)


def test_the_demo_data_is_made_once_and_made_again_when_damaged(tmp_path: Path) -> None:
    data = demo_dataset(tmp_path / "demo")
    assert data.titles([1])[0].startswith("Item ")
    stamp = (tmp_path / "demo" / "manifest.json").stat().st_mtime_ns
    assert demo_dataset(tmp_path / "demo").digest == data.digest
    assert (tmp_path / "demo" / "manifest.json").stat().st_mtime_ns == stamp
    (tmp_path / "demo" / "items.parquet").unlink()
    assert demo_dataset(tmp_path / "demo").digest == data.digest


def test_successors_are_others_mostly_of_the_same_category_at_any_size() -> None:
    for shop in (Generator(n_items=5, n_categories=1), Generator(n_items=6, n_categories=6), Generator(n_items=3000)):
        after, items = shop.successors, np.arange(shop.n_items)[:, None]
        assert (after != items).all()
        assert (np.diff(np.sort(after, axis=1), axis=1) > 0).all()  # all different
    same = (shop.category[after] == shop.category[items]).mean()
    share = np.bincount(shop.category)[shop.category] / 3000
    assert same == pytest.approx((share / (share + (1 - share) / 20)).mean(), abs=0.02)


def test_the_stationary_distribution_is_that_of_the_transition_matrix() -> None:
    shop = Generator(n_items=40, n_categories=4)
    matrix = shop.next_probability(np.arange(40))
    np.testing.assert_allclose(shop.stationary @ matrix, shop.stationary, atol=1e-10)
    top = np.sort(matrix, axis=1)[:, -3:].sum(1)
    assert shop.bayes_recall(None, 3) == pytest.approx(shop.stationary @ top)
    assert shop.bayes_recall(None, 40) == pytest.approx(1)


def test_a_monte_carlo_run_of_the_sessions_reaches_the_bayes_recall() -> None:
    shop = Generator(n_items=60, n_categories=5, mean_length=30)
    events = shop.events(3000)
    item, session = events["item_id"].to_numpy() - 1, events["session_id"].to_numpy()
    follows = session[1:] == session[:-1]
    last, following = item[:-1][follows], item[1:][follows]
    best = np.argsort(-shop.next_probability(np.arange(60)), axis=1)[:, :5]
    reached = (best[last] == following[:, None]).any(1).mean()
    assert reached == pytest.approx(shop.bayes_recall(last, 5), abs=0.01)
    assert reached == pytest.approx(shop.bayes_recall(None, 5), abs=0.02)  # long sessions come near it
