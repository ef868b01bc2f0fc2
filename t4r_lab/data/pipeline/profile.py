"""The profile of prepared data: statistics to read before training on them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.data.pipeline.feature_columns import Columns
from t4r_lab.data.pipeline.split import Split
from t4r_lab.data.prepared.profile_content import (
    CategoryFigures,
    LengthFigures,
    NumberFigures,
    PopularityFigures,
    Profile,
    SplitFigures,
    TimeFigures,
)
from t4r_lab.data.read.column_types import SHOWN
from t4r_lab.data.sessions.arrays import Sessions, ranges
from t4r_lab.schema.columns import UNKNOWN, Column, Schema
from t4r_lab.spec.preparation import PrepareOptions

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
LONGEST = 50
"""Session lengths from here on share one bar."""
BINS = 40
TOP = 20
"""Number of most frequent values of a category that are listed."""


def make_profile(
    schema: Schema,
    parts: Mapping[str, Sessions],
    items: pl.DataFrame,
    split: Split,
    columns: Columns,
    tables: Mapping[str, pl.DataFrame],
    options: PrepareOptions,
    split_checks: SplitFigures,
) -> Profile:
    """Return the content of ``profile.json`` as plain data, small whatever the size of the data set.

    `items` is the item table, `columns` the selected raw columns, `tables` has the ``id, value`` of each category
    column, `split_checks` is the result of `split_figures`.
    """
    described = [c for c in schema if c.role in ("feature", "target") and c.kind != "timestamp"]
    return {
        "items": schema.n_items,
        "split": split.kind,
        "parts": {name: _part(sessions) for name, sessions in parts.items()},
        "lengths": _lengths(parts["train"]),
        "popularity": _popularity(items["count"].to_numpy()),
        "time": _times(parts, split),
        "features": {c.name: _feature(c, parts["train"], items, tables.get(c.name)) for c in described},
        "left_out": split.left_out,
        "columns_left_out": dict(columns.left_out),
        "columns_as_text": {name: list(odd[:SHOWN]) for name, odd in columns.odd.items()},
        "cuts": split.cuts,
        "checks": _checks(parts, items, split),
        "leakage": _leakage(parts, split),
        "split_checks": split_checks,
        "options": options.model_dump(mode="json"),
    }


def _part(sessions: Sessions) -> dict[str, int]:
    ids = sessions.values["item_id"]
    targets = sessions.lengths - sessions.target_start
    return {
        "sessions": len(sessions),
        "events": len(ids),
        "items": int(np.count_nonzero(np.bincount(ids))),
        "targets": int(targets.sum()),
    }


def _lengths(sessions: Sessions) -> LengthFigures:
    """Quantiles and a histogram of events per session; the last bar holds all longer ones."""
    lengths = sessions.lengths
    count = np.bincount(np.minimum(lengths, LONGEST))
    return {
        "mean": round(float(lengths.mean()), 3),
        "quantiles": {str(q): int(np.quantile(lengths, q)) for q in QUANTILES},
        "histogram": {str(n): int(c) for n, c in enumerate(count) if c},
        "last_is_longer": bool(lengths.max() > LONGEST),
    }


def _popularity(count: NDArray[np.integer]) -> PopularityFigures:
    """Inequality of the items' training counts. Gini 0: all equal, 1: all events on one item."""
    ordered = np.sort(count)[::-1].astype(float)
    total, n = max(ordered.sum(), 1.0), len(ordered)
    gini = (n + 1 - 2 * float((np.arange(1, n + 1) * ordered).sum()) / total) / n
    ranks = np.unique(np.geomspace(1, n, BINS).astype(int))
    return {
        "top_1_percent_share": round(float(ordered[: max(n // 100, 1)].sum() / total), 4),
        "top_10_percent_share": round(float(ordered[: max(n // 10, 1)].sum() / total), 4),
        "gini": round(gini, 4),
        "curve": [[int(p), int(ordered[p - 1])] for p in ranks],
    }


def _times(parts: Mapping[str, Sessions], split: Split) -> TimeFigures:
    """First and last event of each part, and events over time, each in one part only."""
    if "timestamp" not in parts["train"].values:
        return {}
    times = {name: s.values["timestamp"] for name, s in parts.items()}
    if split.leave_one_out:  # all other events of later parts are training's
        times |= {name: times[name][s.offsets[1:] - 1] for name, s in parts.items() if name != "train"}
    low, high = min(float(t.min()) for t in times.values()), max(float(t.max()) for t in times.values())
    edges = np.linspace(low, max(high, low + 1), BINS + 1)
    return {
        "parts": {name: [float(t.min()), float(t.max())] for name, t in times.items()},
        "edges": edges.tolist(),
        "events": {name: np.histogram(t, edges)[0].tolist() for name, t in times.items()},
    }


def _feature(
    column: Column, train: Sessions, items: pl.DataFrame, table: pl.DataFrame | None
) -> CategoryFigures | NumberFigures:
    """Summary of a column over training events, sessions or items, by its scope."""
    if column.scope == "item":
        series = items[column.name]
        values = (series.explode().drop_nulls() if column.multi else series).to_numpy()
    else:
        values = (train.values if column.scope == "event" else train.context)[column.name]
    if column.kind == "categorical":
        counts = np.bincount(values.astype(np.int64), minlength=UNKNOWN + 1)
        total = max(int(counts.sum()), 1)
        best = np.argsort(-counts[UNKNOWN + 1 :], kind="stable")[:TOP]
        names = table["value"].gather(best).to_list() if table is not None else []
        return {
            "kind": column.kind,
            "role": column.role,
            "scope": column.scope,
            "values": column.size - UNKNOWN - 1,
            "rows": total,
            "unknown_share": round(float(counts[UNKNOWN] / total), 4),
            "top": counts[UNKNOWN + 1 :][best].tolist(),
            "top_values": [name[:80] for name in names],
        }
    raw = values.astype(np.float64)
    raw = raw[~np.isnan(raw)] if column.role == "target" else raw * column.std + column.mean
    quantiles = {str(q): float(f"{np.quantile(raw, q):.6g}") for q in QUANTILES} if len(raw) else {}
    return {
        "kind": "continuous",
        "role": column.role,
        "scope": column.scope,
        "mean": column.mean,
        "std": column.std,
        "quantiles": quantiles,
    }


def _checks(parts: Mapping[str, Sessions], items: pl.DataFrame, split: Split) -> dict[str, float]:
    """Shares that describe the split, and the number of training events after the cut, which must be 0."""
    trained = np.concatenate([[False], items["count"].to_numpy() > 0])
    checks: dict[str, float] = {}
    for name in ("valid", "test"):
        sessions = parts[name]
        last = sessions.values["item_id"][sessions.offsets[1:] - 1]
        checks[f"{name}_last_items_without_training"] = round(float((~trained[last]).mean()), 4)
    checks |= _repeats(parts["train"])
    if split.cuts:
        after = parts["train"].values["timestamp"] >= split.cuts["valid"]
        checks["training_events_after_the_valid_cut"] = int(after.sum())
    return checks


def _repeats(train: Sessions) -> dict[str, float]:
    """Shares of a session's later events that repeat the item of the event before, or of any earlier event."""
    ids = train.values["item_id"]
    session = np.repeat(np.arange(len(train)), train.lengths)
    later = max(len(ids) - len(train), 1)
    consecutive = (ids[1:] == ids[:-1]) & (session[1:] == session[:-1])
    pairs = np.sort(session * (int(ids.max(initial=0)) + 1) + ids)
    again = np.count_nonzero(pairs[1:] == pairs[:-1])
    return {
        "consecutive_repeat_share": round(float(consecutive.sum() / later), 4),
        "repeat_share": round(float(again / later), 4),
    }


def _leakage(parts: Mapping[str, Sessions], split: Split) -> dict[str, int]:
    """Leakage counts, which must be 0, and the number of sessions across a cut (they belong to the later part)."""
    log, trained = split.log, split.trained()
    counts = {}
    for name in ("valid", "test"):
        _, start, stop, first = split.session_ranges(name)
        targets, _ = ranges(start + first, stop)
        counts[f"{name}_targets_in_training"] = int(trained[targets].sum())
        if name == "test":
            _, start, stop, _ = split.session_ranges("valid")
            shown = np.zeros(len(log.item), bool)
            shown[ranges(start, stop)[0]] = True
            counts["test_targets_in_validation"] = int(shown[targets].sum())
    for name, cut in split.cuts.items():
        times = parts[name].values["timestamp"]
        counts[f"{name}_sessions_begun_before_their_cut"] = int((times[parts[name].offsets[:-1]] < cut).sum())
    if split.kind == "given":
        test = log.given_as_test
        counts["test_sessions_named_as_training_ones"] = int(np.isin(log.group[test], log.group[~test]).sum())
    return counts
