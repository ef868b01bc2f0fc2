"""The profile of a prepared folder: what a person wants to know before training on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from t4r_lab.data.dataset import PARTS, read_sessions
from t4r_lab.data.sessions import Sessions
from t4r_lab.data.split import Split
from t4r_lab.schema import Column, Schema
from t4r_lab.spec.prepare import PrepareOptions

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
LONGEST = 50
"""Session lengths from here on share one bar."""
BINS = 40


def make_profile(folder: Path, schema: Schema, split: Split, left_out: dict[str, int], options: PrepareOptions) -> None:
    """Write ``profile.json`` of the parts that stand in `folder`."""
    parts = {name: read_sessions(folder / f"{name}.parquet", schema) for name in PARTS}
    items = pl.read_parquet(folder / "items.parquet")
    profile = {
        "items": schema.n_items,
        "parts": {name: _part(sessions) for name, sessions in parts.items()},
        "lengths": _lengths(parts["train"]),
        "popularity": _popularity(items["count"].to_numpy()),
        "time": _times(parts),
        "features": {c.name: _feature(c, parts["train"], items) for c in schema if c.is_feature and c.role != "item"},
        "left_out": left_out,
        "cuts": split.cuts,
        "checks": _checks(parts, items, split),
        "options": options.model_dump(mode="json"),
    }
    (folder / "profile.json").write_text(json.dumps(profile, indent=2) + "\n", encoding="utf-8")


def _part(sessions: Sessions) -> dict[str, Any]:
    ids = sessions.values["item_id"]
    return {"sessions": len(sessions), "events": len(ids), "items": len(np.unique(ids))}


def _lengths(sessions: Sessions) -> dict[str, Any]:
    """Quantiles and a histogram of events per session; the last bar holds all longer ones."""
    lengths = sessions.lengths
    count = np.bincount(np.minimum(lengths, LONGEST))
    return {
        "mean": round(float(lengths.mean()), 3),
        "quantiles": {str(q): int(np.quantile(lengths, q)) for q in QUANTILES},
        "histogram": {str(n): int(c) for n, c in enumerate(count) if c},
        "last_is_longer": bool(lengths.max() > LONGEST),
    }


def _popularity(count: np.ndarray) -> dict[str, Any]:
    """How uneven the items' training counts are."""
    ordered = np.sort(count)[::-1].astype(float)
    total, n = max(ordered.sum(), 1.0), len(ordered)
    rank = np.arange(1, n + 1)
    gini = float((2 * (rank[::-1] * ordered).sum()) / (n * total) - (n + 1) / n)
    place = np.unique(np.geomspace(1, n, BINS).astype(int))
    return {
        "top_1_percent_share": round(float(ordered[: max(n // 100, 1)].sum() / total), 4),
        "top_10_percent_share": round(float(ordered[: max(n // 10, 1)].sum() / total), 4),
        "gini": round(-gini if gini < 0 else gini, 4),
        "curve": [[int(p), int(ordered[p - 1])] for p in place],
    }


def _times(parts: dict[str, Sessions]) -> dict[str, Any]:
    """First and last event of each part, and events over time."""
    if "timestamp" not in parts["train"].values:
        return {}
    found: dict[str, Any] = {
        n: [float(s.values["timestamp"].min()), float(s.values["timestamp"].max())] for n, s in parts.items()
    }
    low, high = min(v[0] for v in found.values()), max(v[1] for v in found.values())
    edges = np.linspace(low, max(high, low + 1), BINS + 1)
    counts = {n: np.histogram(s.values["timestamp"], edges)[0].tolist() for n, s in parts.items()}
    return {"parts": found, "edges": edges.tolist(), "events": counts}


def _feature(column: Column, train: Sessions, items: pl.DataFrame) -> dict[str, Any]:
    summary: dict[str, Any] = {"kind": column.kind, "scope": column.scope}
    if column.scope == "item":
        values = (
            items[column.name].explode(empty_as_null=False, keep_nulls=False).to_numpy()
            if column.multi
            else items[column.name].to_numpy()
        )
    else:
        values = (train.values if column.scope == "event" else train.context)[column.name]
    if column.kind == "categorical":
        counts = np.bincount(values.astype(np.int64), minlength=2)
        unknown = float(counts[1] / max(counts.sum(), 1))
        return {
            **summary,
            "values": column.size - 2,
            "unknown_share": round(unknown, 4),
            "top": sorted(counts[2:].tolist(), reverse=True)[:20],
        }
    raw = values * column.std + column.mean
    quantiles = {str(q): round(float(np.quantile(raw, q)), 4) for q in QUANTILES} if len(raw) else {}
    return {**summary, "mean": column.mean, "std": column.std, "quantiles": quantiles}


def _checks(parts: dict[str, Sessions], items: pl.DataFrame, split: Split) -> dict[str, Any]:
    """Leakage and cold start: what must be 0, and what one should know."""
    known = np.zeros(len(items) + 1, bool)
    known[items.filter(pl.col("count") > 0)["item_id"].to_numpy()] = True
    checks: dict[str, Any] = {}
    for name in ("valid", "test"):
        sessions = parts[name]
        last = sessions.values["item_id"][sessions.offsets[1:] - 1]
        checks[f"{name}_last_items_without_training"] = round(float((~known[last]).mean()), 4)
    repeats = parts["train"].values["item_id"]
    same = (repeats[1:] == repeats[:-1])[
        np.delete(np.ones(len(repeats) - 1, bool), parts["train"].offsets[1:-1] - 1).nonzero()[0]
    ]
    checks["consecutive_repeat_share"] = round(float(same.mean()), 4) if len(same) else 0.0
    if "timestamp" in parts["train"].values and not split.leave_one_out and split.cuts:
        checks["training_events_after_the_valid_cut"] = int(
            (parts["train"].values["timestamp"] >= split.cuts["valid"]).sum()
        )
    return checks
