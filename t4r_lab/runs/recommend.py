"""A recorded run applied to new sessions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.families import custom
from t4r_lab.runs.evaluate import data_of, load_model

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from t4r_lab.data.prepared.prepared_data import Dataset
    from t4r_lab.data.prepared.vocabulary import Vocabulary
    from t4r_lab.data.sessions.arrays import Sessions
    from t4r_lab.nn.heads.model import Model
    from t4r_lab.spec import ModelSpec, RunSpec, TowerSpec


@dataclass(frozen=True)
class Item:
    """An item as its user knows it: `id` as text, and `title`, which is the id if the item has none."""

    id: str
    title: str


@dataclass(frozen=True)
class LeftOut:
    """The parts of new sessions that a run can't use, and the number of lists that are shorter than k."""

    events: int
    """events of items that the run doesn't know"""
    of: int
    """all events"""
    sessions: int
    """sessions without any item that it knows, which get the most popular items"""
    short: int
    """sessions that have seen so many items that fewer than k are left"""
    values: dict[str, int]
    """column → values that it doesn't know: categories without a training event, and no numbers where numbers were"""
    columns: tuple[str, ...] = ()
    """columns that the run reads and the events lack: features count as unknown, all events as one session"""

    @property
    def words(self) -> str:
        """All of it in one line, empty if nothing was left out.

        >>> LeftOut(2, 5, 1, 0, {"size": 3}).words.split("; ")[1:]
        ['1 session has no other: it gets the most popular', '3 values of size are unknown']
        """
        sentences = []
        if self.events:
            share = f"{self.events:,} of {_count(self.of, 'event')}"
            words = "has an item that the run doesn't know and is" if self.events == 1 else ""
            words = words or "have items that the run doesn't know and are"
            sentences.append(f"{share} {words} left out")
        if self.sessions:
            reason = "no other" if self.events else "no item"
            consequence = f"has {reason}: it gets" if self.sessions == 1 else f"have {reason}: they get"
            sentences.append(f"{_count(self.sessions, 'session')} {consequence} the most popular")
        if self.columns:
            names = ", ".join(self.columns)
            column, verb = ("column", "is") if len(self.columns) == 1 else ("columns", "are")
            sentences.append(f"{column} {names} of the training data {verb} missing")
        for column, n in self.values.items():
            sentences.append(f"{_count(n, 'value')} of {column} {'is' if n == 1 else 'are'} unknown")
        if self.short:
            consequence = "gets a shorter list, as it has" if self.short == 1 else "get shorter lists, as they have"
            sentences.append(f"{_count(self.short, 'session')} {consequence} seen the other items")
        return "; ".join(sentences)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def recommend(
    run: str,
    sessions: str | Path | pd.DataFrame | pl.DataFrame,
    k: int = 20,
    *,
    home: str | Path | None = None,
    trust: Iterable[str] = (),
) -> pd.DataFrame:
    """The k best next items of each session.

    Parameters
    ----------
    run
        id, beginning of an id, or name of a recorded run.
    sessions
        a file or frame of events with the columns of the data the run was trained on, by the user's names
        or as ``session_id``, ``item_id``, ``timestamp``. Items that the run doesn't know are left out; a session
        with none that it knows gets the most popular items.
    trust
        packages whose classes the run's spec may name; their code runs.
    k
        length of the list, at most the number of items; with ``evaluation.filter_seen`` at most those not yet seen.

    Returns
    -------
    One row per session and rank: ``session``, ``rank`` (from 1), ``item`` (the user's id), ``title``,
    ``score`` and ``probability`` (softmax over all items). ``attrs["left_out"]`` holds the fields of `LeftOut`.
    """
    if k < 1:
        raise InputError("k", f"{k} is less than 1", "use for example 20")
    custom.trust(trust)
    recommender = Recommender.open(run, home=home)
    events = recommender.vocabulary.read(sessions) if isinstance(sessions, (str, Path)) else sessions
    return recommender.top(recommender.vocabulary.encode(events), k)


class Recommender:
    """The model of a recorded run with its vocabulary, loaded once for many requests."""

    def __init__(
        self,
        home: Path,
        row: tracking.RunRow,
        model: Model,
        spec: RunSpec,
        vocabulary: Vocabulary,
        files: tracking.Artifacts,
    ) -> None:
        self.home, self.row, self.model, self.spec, self.vocabulary = home, row, model, spec, vocabulary
        self.files = files

    @classmethod
    def open(cls, run: str, *, home: str | Path | None = None) -> Recommender:
        """Load a run by its id, the beginning of its id, or its name.

        Raises
        ------
        InputError
            if there is no such run, it has no model, or that predicts labels alone.
        """
        from t4r_lab.data.prepared.vocabulary import Vocabulary

        home_path = homes.locate(home)
        row = tracking.find(home_path, run)
        model, spec, _ = load_model(home_path, row)
        if spec.model.next_item is None:
            labels = ", ".join(head.column for head in spec.model.labels)
            raise InputError(
                f"run {row.name}", f"it predicts {labels} and no next item", "train one with a next_item head"
            )
        files = tracking.Artifacts(home_path)
        return cls(home_path, row, model, spec, Vocabulary.open(files.path(row.run_id, "data")), files)

    @cached_property
    def dataset(self) -> Dataset:
        """The data that the run was trained on; an `InputError` if they have changed."""
        return data_of(self.row, self.spec)

    def top(self, sessions: Sessions, k: int) -> pd.DataFrame:
        """The k best next items of each session, as `recommend` returns them."""
        import pandas as pd

        from t4r_lab.training.evaluation import score

        k = min(k, self.vocabulary.schema.n_items)
        ids, scores, probabilities = _popular(self.vocabulary.items["count"].to_numpy(), (len(sessions), k))
        for rows, top_ids, top_scores, top_probabilities in score(self.model, sessions, self.spec, k):
            ids[rows], scores[rows], probabilities[rows] = top_ids, top_scores, top_probabilities
        is_candidate = ~np.isneginf(scores)  # items that are no candidates are not listed
        flat = ids[is_candidate]
        frame = pd.DataFrame(
            {
                "session": np.repeat(np.asarray(sessions.ids), is_candidate.sum(1)),
                "rank": np.broadcast_to(np.arange(1, k + 1), is_candidate.shape)[is_candidate],
                "item": self.vocabulary.own_ids(flat),
                "title": self.vocabulary.titles(flat),
                "score": scores[is_candidate],
                "probability": probabilities[is_candidate],
            }
        )
        frame.attrs["left_out"] = asdict(self._left_out(sessions, int((~is_candidate.all(1)).sum())))
        return frame

    def _left_out(self, sessions: Sessions, short: int) -> LeftOut:
        """What of `sessions` the run can't use; columns that it doesn't read don't count."""
        n_known, n_empty = len(sessions.values["item_id"]), int((sessions.lengths == 0).sum())
        unread = self._unread
        unknown = {column: n for column, n in sessions.unknown.items() if column not in unread}
        absent = tuple(column for column in sessions.absent if column not in unread)
        return LeftOut(sessions.dropped, n_known + sessions.dropped, n_empty, short, unknown, absent)

    @property
    def _unread(self) -> set[str]:
        """Raw and prepared names of the features of the data that the run doesn't read."""
        parts: list[ModelSpec | TowerSpec] = [self.spec.model, *self.spec.model.towers]
        features, chosen = self.vocabulary.schema.features, [part.inputs.features for part in parts]
        read = {c for c in features if any(names is None or c.name in names for names in chosen)}
        raw = {c.source for c in read}
        return {name for c in features if c not in read for name in (c.source, c.name) if name and name not in raw}

    def session_of(self, items: Sequence[str]) -> Sessions:
        """One session of items by the user's ids; those that the run doesn't know are counted in ``dropped``."""
        import polars as pl

        return self.vocabulary.encode(pl.DataFrame({"item_id": list(items)}, schema={"item_id": pl.String}))

    def beginning(self, row: int, length: int) -> Sessions:
        """The first `length` events of session `row` of the validation part, with all their features."""
        whole = self.dataset.part("valid").take(np.array([row]))
        values = {name: column[:length] for name, column in whole.values.items()}
        return replace(whole, values=values, offsets=np.array([0, length]))

    def items(self, ids: Sequence[int] | NDArray[np.integer]) -> list[Item]:
        """Items by their encoded ids, 1 to I."""
        user_ids, titles = self.vocabulary.own_ids(ids), self.vocabulary.titles(ids)
        return [Item(str(id), title) for id, title in zip(user_ids, titles, strict=True)]

    def search(self, text: str, limit: int = 8) -> list[Item]:
        """Items whose title or id contains `text`: the exact id first, then prefixes, each by popularity.

        Without text, the most popular items.
        """
        import polars as pl

        query = text.strip().lower()
        id, title = pl.col("id").str.to_lowercase(), pl.col("title").str.to_lowercase()
        begins = id.str.starts_with(query) | title.str.starts_with(query)
        matches = (
            self._names.filter(id.str.contains(query, literal=True) | title.str.contains(query, literal=True))
            .with_columns(order=pl.when(id == query).then(0).when(begins).then(1).otherwise(2))
            .sort("order", pl.col("count"), descending=[False, True], maintain_order=True)
            .head(limit)
        )
        return [Item(row["id"], row["title"]) for row in matches.iter_rows(named=True)]

    @cached_property
    def _names(self) -> pl.DataFrame:
        import polars as pl

        id = pl.col("item").cast(pl.String)
        return self.vocabulary.items.select(id.alias("id"), pl.coalesce("title", id).alias("title"), "count")


def _popular(count: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, scores and shares of the most popular items for every session, each of `shape`: the default of sessions
    without any known item."""
    best = np.argsort(-count, kind="stable")[: shape[1]]
    share = count[best] / max(count.sum(), 1)
    ids, scores, shares = (
        np.broadcast_to(values, shape).copy() for values in (best + 1, np.log(np.maximum(share, 1e-12)), share)
    )
    return ids, scores, shares
