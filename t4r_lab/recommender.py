"""A recorded run applied to new sessions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from t4r_lab import homes, track
from t4r_lab.errors import InputError
from t4r_lab.runner import load_model

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


def recommend(
    run: str, sessions: pd.DataFrame | pl.DataFrame, k: int = 20, *, home: str | Path | None = None
) -> pd.DataFrame:
    """The k best next items of each session.

    Parameters
    ----------
    run: id, beginning of an id, or name of a recorded run.
    sessions: events with the columns of the data the run was trained on, by the user's own names or as
        ``session_id``, ``item_id``, ``timestamp``. Items that the run doesn't know are left out; a session with none
        that it knows gets the most popular items.
    k: length of the list, at most the number of items.

    Returns
    -------
    One row per session and rank: ``session``, ``rank`` (from 1), ``item`` (the user's own id), ``title``,
    ``score`` and ``probability`` (softmax over all items).
    """
    import pandas as pd

    from t4r_lab.data.vocabulary import Vocabulary
    from t4r_lab.train import score

    if k < 1:
        raise InputError(f"k: {k} must be at least 1, for example 20")
    place = homes.ensure(home)
    row = track.find(place, run)
    model, spec, _ = load_model(place, row)
    if spec.model.next_item is None:
        labels = ", ".join(head.column for head in spec.model.labels)
        raise InputError(f"run {row.name} predicts {labels} and no next item; train one with a next_item head")
    vocabulary = Vocabulary.open(track.artifacts(place, row.run_id) / "data")
    encoded = vocabulary.encode(sessions)
    k = min(k, vocabulary.schema.n_items)
    shape = (len(encoded), k)
    ids, scores, probabilities = _popular(vocabulary.items["count"].to_numpy(), shape)
    for rows, best, values, shares in score(model, encoded, spec, k):
        ids[rows], scores[rows], probabilities[rows] = best, values, shares
    flat = ids.ravel()
    return pd.DataFrame(
        {
            "session": np.repeat(np.asarray(encoded.ids), k),
            "rank": np.tile(np.arange(1, k + 1), len(encoded)),
            "item": vocabulary.own_ids(flat),
            "title": vocabulary.titles(flat),
            "score": scores.ravel(),
            "probability": probabilities.ravel(),
        }
    )


def _popular(count: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The most popular items for every session: what stands until a model has something to go by."""
    best = np.argsort(-count, kind="stable")[: shape[1]]
    share = count[best] / max(count.sum(), 1)
    full = lambda values: np.broadcast_to(values, shape).copy()  # noqa: E731
    return full(best + 1), full(np.log(np.maximum(share, 1e-12))), full(share)
