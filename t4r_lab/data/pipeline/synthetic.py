"""Built-in data: seeded synthetic sessions of known structure, so that the best possible recall can be computed.

Items have Zipf popularity and a category. Within a session the next item is drawn, given the last, from a
mixture: with probability `follow` one of the item's own few successors (a first-order Markov chain, mostly
within its category), else an item of the same category by popularity (`stay`), else any item by popularity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import OnReport, silent
from t4r_lab.data.pipeline.prepare_events import prepare
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.spec.preparation import PrepareOptions

SUCCESSORS = 4
SUCCESSOR_WEIGHTS = np.array([0.5, 0.25, 0.15, 0.1])
ROWS = 1000
"""Distributions over all items that are held in memory at once."""
START = 1_750_000_000
"""Seconds since 1970 at which the first session may begin (June 2025)."""


@dataclass(frozen=True)
class Generator:
    """A shop of `n_items` items; the same seed gives the same shop and sessions.

    `skew` is the Zipf exponent of popularity, `follow` and `stay` the mixture's weights, `mean_length` the
    mean number of events of a session (at least 2, geometric), `days` the time that sessions spread over.
    """

    n_items: int = 500
    n_categories: int = 12
    skew: float = 1.0
    follow: float = 0.6
    stay: float = 0.25
    mean_length: float = 7.0
    days: float = 30.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_items <= SUCCESSORS or not 1 <= self.n_categories <= self.n_items:
            raise InputError(
                "n_items",
                f"{self.n_items} items in {self.n_categories} categories make no shop",
                f"give more than {SUCCESSORS} items, and from 1 category to one for each",
            )
        if self.follow < 0 or self.stay < 0 or self.follow + self.stay > 1:
            raise InputError(
                "follow", f"{self.follow} and stay {self.stay} are no two probabilities", "let them sum to 1 at most"
            )

    # the shop -----------------------------------------------------------------------------------

    @cached_property
    def popularity(self) -> NDArray[np.float64]:
        """Probability of each item, (I,)."""
        rng = np.random.default_rng([self.seed, 1])
        weight: NDArray[np.float64] = 1.0 / np.arange(1.0, self.n_items + 1) ** self.skew
        shares: NDArray[np.float64] = rng.permutation(weight / weight.sum())
        return shares

    @cached_property
    def category(self) -> NDArray[np.int64]:
        """Category of each item, (I,); every category has an item."""
        rng = np.random.default_rng([self.seed, 2])
        rest = rng.integers(0, self.n_categories, self.n_items - self.n_categories)
        return rng.permutation(np.concatenate([np.arange(self.n_categories), rest]))

    @cached_property
    def price(self) -> NDArray[np.float64]:
        """Price of each item, (I,): log-normal around its category's level."""
        rng = np.random.default_rng([self.seed, 3])
        level = rng.normal(3.0, 0.6, self.n_categories)[self.category]
        return np.exp(rng.normal(level, 0.3)).round(2)

    @cached_property
    def successors(self) -> NDArray[np.int64]:
        """The successors of each item, (I, 4): distinct, never the item itself, 20 times likelier of its category."""
        rng = np.random.default_rng([self.seed, 4])
        order, _, first = self._by_category
        start, size = first[self.category], np.diff(first)[self.category]
        inside = size / (size + (self.n_items - size) / 20)
        chosen = np.full((self.n_items, SUCCESSORS), -1)
        for slot in range(SUCCESSORS):
            todo = np.arange(self.n_items)
            while len(todo):  # duplicates are drawn again
                near = start[todo] + rng.integers(0, size[todo])
                far = rng.integers(0, np.maximum(self.n_items - size[todo], 1))
                far += np.where(far >= start[todo], size[todo], 0)
                draw = order[np.where(rng.random(len(todo)) < inside[todo], near, far)]
                again = (draw == todo) | (chosen[todo] == draw[:, None]).any(1)
                chosen[todo[~again], slot] = draw[~again]
                todo = todo[again]
        return chosen

    @cached_property
    def _by_category(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Items ordered by category, cumulative popularity in that order, and index of each category's first item."""
        order = np.argsort(self.category, kind="stable")
        first = np.searchsorted(self.category[order], np.arange(self.n_categories + 1))
        return order, np.concatenate([[0.0], np.cumsum(self.popularity[order])]), first

    # sampling -----------------------------------------------------------------------------------

    def _draw_item(self, rng: np.random.Generator, n: int) -> NDArray[np.int64]:
        edges = np.cumsum(self.popularity)
        places: NDArray[np.int64] = np.searchsorted(edges, rng.random(n) * edges[-1], side="right")
        return np.minimum(places, self.n_items - 1)

    def _draw_next(self, rng: np.random.Generator, last: NDArray[np.int64]) -> NDArray[np.int64]:
        """Draw the next item for each last item, (N,) → (N,)."""
        n = len(last)
        branch, item = rng.random(n), self._draw_item(rng, n)
        order, edges, first = self._by_category
        c = self.category[last]
        low, high = edges[first[c]], edges[first[c + 1]]
        position = np.searchsorted(edges, low + rng.random(n) * (high - low), side="right") - 1
        within = order[np.clip(position, first[c], first[c + 1] - 1)]
        pick = np.searchsorted(np.cumsum(SUCCESSOR_WEIGHTS)[:-1], rng.random(n), side="right")
        item = np.where(branch < self.follow + self.stay, within, item)
        return np.where(branch < self.follow, self.successors[last, pick], item)

    def events(self, n_sessions: int) -> pl.DataFrame:
        """``session_id, item_id, timestamp, category, price, purchase``, in the order of time within sessions.

        `purchase` is the session's label: likelier in longer sessions of expensive items. Vectorized over sessions,
        one step per position.
        """
        rng = np.random.default_rng([self.seed, 5])
        length = 1 + rng.geometric(1.0 / max(self.mean_length - 1, 1.0), n_sessions)
        length = np.minimum(length, 200)
        order = np.argsort(-length, kind="stable")
        width = length[order]
        last = self._draw_item(rng, n_sessions)
        offsets = np.concatenate([[0], np.cumsum(length)])
        items = np.empty(offsets[-1], np.int64)
        items[offsets[order]] = last
        for position in range(1, int(length.max(initial=1))):
            active = int(np.searchsorted(-width, -position, side="left"))  # sessions longer than `position` come first
            last = self._draw_next(rng, last[:active])
            items[offsets[order[:active]] + position] = last
        session = np.repeat(np.arange(n_sessions), length)
        begin = np.sort(rng.random(n_sessions)) * self.days * 86_400
        gaps = rng.exponential(60.0, len(items))
        gaps[offsets[:-1]] = 0.0
        within = np.cumsum(gaps) - np.repeat(np.cumsum(gaps)[offsets[:-1]], length)
        mean_price = np.bincount(session, self.price[items]) / length
        logit = 0.25 * (length - self.mean_length) + 0.02 * (mean_price - self.price.mean()) - 1.0
        bought = (rng.random(n_sessions) < 1 / (1 + np.exp(-logit))).astype(np.int64)
        names = pl.Series([f"category {c}" for c in range(self.n_categories)])
        return pl.DataFrame(
            {
                "session_id": session + 1,
                "item_id": items + 1,
                "timestamp": np.floor(START + np.repeat(begin, length) + within),
                "category": names.gather(self.category[items]),
                "price": self.price[items],
                "purchase": bought[session],
            }
        )

    def items(self) -> pl.DataFrame:
        """``item_id`` and ``title`` of every item."""
        titles = [f"Item {i + 1} of category {c}" for i, c in enumerate(self.category)]
        return pl.DataFrame({"item_id": np.arange(1, self.n_items + 1), "title": titles})

    # ground truth ------------------------------------------------------------------------------

    def next_probability(self, last: NDArray[np.int64]) -> NDArray[np.float64]:
        """The true distribution of the next item given the last one, (N, I); items count from 0."""
        rows = np.arange(len(last))
        same = self.category[last][:, None] == self.category[None]
        within = same * self.popularity
        out: NDArray[np.float64] = self.stay * within / within.sum(1, keepdims=True)
        out += (1 - self.follow - self.stay) * self.popularity
        for slot, weight in enumerate(SUCCESSOR_WEIGHTS):
            out[rows, self.successors[last, slot]] += self.follow * weight
        return out

    @cached_property
    def stationary(self) -> NDArray[np.float64]:
        """Stationary distribution of the items, (I,): π = πP, by power iteration."""
        share, mass = self.popularity, np.bincount(self.category, weights=self.popularity)
        for _ in range(1000):
            by_category = np.bincount(self.category, weights=share) / mass
            after = (1 - self.follow - self.stay + self.stay * by_category[self.category]) * self.popularity
            for slot, weight in enumerate(SUCCESSOR_WEIGHTS):
                np.add.at(after, self.successors[:, slot], self.follow * weight * share)
            if np.abs(after - share).sum() < 1e-12:
                break
            share = after
        return after

    def bayes_recall(self, last: NDArray[np.int64] | None, k: int) -> float:
        """Largest expected Recall@k that any model can reach, over cases whose last observed items are `last` (from 0).

        The k likeliest items are the best list; its expected recall is the sum of their probabilities. Without
        `last`, items are weighted by the stationary distribution.
        """
        if last is None:
            seen, share = np.arange(self.n_items), self.stationary
        else:
            seen, count = np.unique(last, return_counts=True)
            share = count / count.sum()
        return float(sum(share[i : i + ROWS] @ self._best(seen[i : i + ROWS], k) for i in range(0, len(seen), ROWS)))

    def _best(self, last: NDArray[np.int64], k: int) -> NDArray[np.float64]:
        """Probability that the next item is among the k likeliest, (N,)."""
        probability = self.next_probability(last)
        k = min(k, self.n_items)
        best: NDArray[np.float64] = np.partition(probability, self.n_items - k, axis=1)[:, self.n_items - k :].sum(1)
        return best


DEMO_SESSIONS = 4000


def demo_dataset(folder: str | Path, on_report: OnReport = silent) -> Dataset:
    """Open the built-in data in `folder`, preparing them at the first call."""
    folder = Path(folder)
    try:
        return Dataset.open(folder)
    except InputError:
        shop = Generator()
        options = PrepareOptions(targets=["purchase"])
        return prepare(shop.events(DEMO_SESSIONS), folder, options, items=shop.items(), on_report=on_report)
