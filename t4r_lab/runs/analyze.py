"""Runs looked at closely: intervals of their metrics, learning curves, slices, calibration, sessions won and lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError
from t4r_lab.families.metrics.metric_table import RANK_METRICS, best_baseline, is_ranked
from t4r_lab.runs.compare import RESAMPLES, Comparison, compare
from t4r_lab.runs.recommend import Item, Recommender

if TYPE_CHECKING:
    import polars as pl

Interval = tuple[float, float]


@dataclass(frozen=True)
class Analysis:
    """A comparison with what is behind its figures, by the labels of ``comparison.metrics``.

    Attributes
    ----------
    metric: what the runs are judged by.
    labels: of the runs alone, in the order of ``comparison.runs``.
    intervals: label → metric → 95 % interval of a bootstrap over sessions.
    curves: label of a run → ``train/loss`` and metrics of the validation part → (epoch, value).
    slices, reliability: label → rows, where the record has them; see `t4r_lab.nn.metrics.slices`.
    """

    comparison: Comparison
    metric: str
    labels: list[str]
    intervals: dict[str, dict[str, Interval]]
    curves: dict[str, dict[str, list[tuple[int, float]]]]
    slices: dict[str, list[dict[str, Any]]]
    reliability: dict[str, list[dict[str, Any]]]


def analyze(
    runs: Sequence[str], metric: str | None = None, *, home: str | Path | None = None, seed: int = 0
) -> Analysis:
    """Compare recorded runs, and read what the record has about each.

    Raises
    ------
    InputError
        for an unknown run, or a metric that none of them has.
    """
    place = homes.locate(home)
    files = tracking.Artifacts(place)
    found = compare(list(runs), home=place, seed=seed, metric=metric, files=files)
    labels = list(found.metrics)[: len(found.runs)]
    first = found.runs[0]
    own = {label: (row, "model") for label, row in zip(labels, found.runs, strict=True)}
    own |= {name: (first, name) for name in first.baselines["valid"]}
    metric = metric or tracking.spec(place, first, files).monitor
    curves, details, intervals = {}, {}, {}
    for label, (row, name) in own.items():
        cases, details[label] = _ranks(files, row, name), _detail(files, row, name)
        if cases is not None:
            names = [m for m in found.metrics[label] if is_ranked(m)]
            intervals[label] = bootstrap(cases["session"].to_numpy(), cases["rank"].to_numpy(), names, seed)
        if name == "model":
            curves[label] = learning_curves(place, row.run_id, metric)
    slices, reliability = (
        {label: detail[key] for label, detail in details.items() if detail.get(key)}
        for key in ("slices", "reliability")
    )
    return Analysis(found, metric, labels, intervals, curves, slices, reliability)


def bootstrap(session: NDArray[Any], rank: NDArray[Any], metrics: Sequence[str], seed: int = 0) -> dict[str, Interval]:
    """95 % interval of each metric: sessions are drawn again with replacement (Efron, 1979).

    Parameters
    ----------
    session, rank: (N,) of every case.
    metrics: names such as ``ndcg@10``.
    """
    _, row = np.unique(session, return_inverse=True)
    counts = np.bincount(row).astype(float)
    parted = [m.partition("@") for m in metrics]
    sums = np.stack([np.bincount(row, RANK_METRICS[name].compute(rank, int(k))) for name, _, k in parted], 1)  # (S, M)
    rng, means = np.random.default_rng(seed), np.empty((RESAMPLES, len(metrics)))
    for i in range(RESAMPLES):
        weight = np.bincount(rng.integers(0, len(counts), len(counts)), minlength=len(counts))
        means[i] = (weight @ sums) / (weight @ counts)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return {m: (float(a), float(b)) for m, a, b in zip(metrics, low, high, strict=True)}


def learning_curves(home: Path, run_id: str, metric: str) -> dict[str, list[tuple[int, float]]]:
    """(epoch, value) of the training loss and of `metric` on the validation part, where they are recorded."""
    keys = {"train/loss": "train/loss", f"epoch.{tracking.to_key('valid', metric)}": metric}
    found = tracking.history(home, run_id, list(keys))
    return {keys[key]: sorted(points) for key, points in found.items() if points}


# ── sessions won and lost ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Case:
    """A target of the validation part: the items before it, and where a run and `against` put it (1 is first).

    `digest` tells the data, `row` and `position` the place in its validation part.
    """

    digest: str
    session: str
    row: int
    position: int
    items: list[Item]
    target: Item
    rank: float
    against: str
    other: float


@dataclass(frozen=True)
class Cases:
    """Where a run and another ranking differ most: `won` by the run, `lost` to `other`."""

    run: str
    other: str
    won: list[Case]
    lost: list[Case]


def won_and_lost(
    run: str | Recommender, other: str | None = None, n: int = 20, *, home: str | Path | None = None
) -> Cases:
    """The cases in which a run and another ranking differ most by the reciprocal of the rank.

    Parameters
    ----------
    other: name of a baseline, by default the better one, or another run on the same data.

    Raises
    ------
    InputError
        if the run, its ranks or its data aren't there any more, or the other one was judged at other targets.
    """
    import polars as pl

    asked = Recommender.open(run, home=home) if isinstance(run, str) else run
    name, both = _ranked_twice(asked, other)
    won = both.filter(pl.col("gain") > 0).head(n)
    lost = both.filter(pl.col("gain") < 0).reverse().head(n)
    return Cases(asked.row.name, name, _as_cases(asked, name, won), _as_cases(asked, name, lost))


def draw_case(asked: Recommender, seed: int | None = None) -> Case:
    """A case of the validation part by chance, ranked by the run and the better baseline."""
    name, both = _ranked_twice(asked, None)
    at = int(np.random.default_rng(seed).integers(len(both)))
    return _as_cases(asked, name, both[at])[0]


def _ranked_twice(asked: Recommender, other: str | None) -> tuple[str, pl.DataFrame]:
    """Name of the other ranking, and all cases with both ranks, those first in which the run gains most."""
    import polars as pl

    place, row = asked.home, asked.row
    baselines, metric = row.baselines["valid"], asked.spec.monitor
    if other is None:
        if not baselines:
            raise InputError(f"run {row.name}", "it has no baselines to compare with", "name another run")
        other = best_baseline(baselines, metric) or next(iter(baselines))
    own = _ranks(asked.files, row, "model")
    name, theirs_of = (other, row) if other in baselines else ("model", tracking.find(place, other))
    theirs = _ranks(asked.files, theirs_of, name)
    if own is None or theirs is None:
        raise InputError(f"run {row.name}", "its ranks on the validation part are not recorded", "evaluate it first")
    key = ["session", "position", "target"]
    both = own.join(theirs.rename({"rank": "other"}), on=key, validate="1:1")
    if len(both) < len(own):
        raise InputError("", f"{row.name} and {other} were judged at different targets", "choose another")
    gain = (1 / pl.col("rank") - 1 / pl.col("other")).alias("gain")
    return other, both.with_columns(gain).sort("gain", *key, descending=[True, False, False, False])


def _as_cases(asked: Recommender, against: str, frame: pl.DataFrame) -> list[Case]:
    sessions = asked.dataset.part("valid")
    found = []
    for case in frame.iter_rows(named=True):
        begin = sessions.offsets[case["session"]]
        before = sessions.values["item_id"][begin : begin + case["position"]]
        *items, target = asked.items([*before, case["target"]])
        found.append(
            Case(
                asked.row.digest,
                str(sessions.ids[case["session"]]),
                case["session"],
                case["position"],
                items,
                target,
                case["rank"],
                against,
                case["other"],
            )
        )
    return found


def _ranks(files: tracking.Artifacts, row: tracking.RunRow, name: str) -> pl.DataFrame | None:
    from t4r_lab.data.read.frames import read_parquet

    path = files.path(row.run_id, f"ranks/valid/{name}.parquet")
    return read_parquet(path) if path.exists() else None


def _detail(files: tracking.Artifacts, row: tracking.RunRow, name: str) -> dict[str, Any]:
    """Slices and reliability curve, of runs that have them."""
    path = files.path(row.run_id, f"detail/valid/{name}.json")
    content: dict[str, Any] = read_json(path.read_text(encoding="utf-8"), str(path)) if path.exists() else {}
    return content
