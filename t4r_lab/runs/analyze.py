"""Details of runs: intervals of their metrics, learning curves, slices, calibration, sessions won and lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.documents import Document, read_json
from t4r_lab.base.errors import InputError
from t4r_lab.families.metrics.metric_table import RANK_METRICS, best_baseline, is_available, is_ranked
from t4r_lab.runs.compare import Comparison, compare
from t4r_lab.runs.compared.differences import RESAMPLES
from t4r_lab.runs.recommend import Item, Recommender

if TYPE_CHECKING:
    import polars as pl

Interval = tuple[float, float]


@dataclass(frozen=True)
class Analysis:
    """A comparison with the details behind its metrics, by the labels of ``comparison.metrics``.

    Attributes
    ----------
    metric: the metric that the runs are compared by.
    labels: of the runs alone, in the order of ``comparison.runs``.
    intervals: label → metric → 95 % interval of a bootstrap over sessions.
    curves: label of a run → ``train/loss``, `metric` and the deciding metric of each head on the validation part →
        (epoch, value).
    slices, reliability: label → rows, where the record has them; see `t4r_lab.nn.metrics.slices`.
    """

    comparison: Comparison
    metric: str
    labels: list[str]
    intervals: dict[str, dict[str, Interval]]
    curves: dict[str, dict[str, list[tuple[int, float]]]]
    slices: dict[str, list[Document]]
    reliability: dict[str, list[dict[str, float]]]


def analyze(
    runs: Sequence[str], metric: str | None = None, *, home: str | Path | None = None, seed: int = 0
) -> Analysis:
    """Compare recorded runs, and read the recorded details of each.

    Raises
    ------
    InputError
        for an unknown run, or a metric that none of them has.
    """
    home_path = homes.locate(home)
    files = tracking.Artifacts(home_path)
    comparison = compare(list(runs), home=home_path, seed=seed, metric=metric, files=files)
    labels = list(comparison.metrics)[: len(comparison.runs)]
    first = comparison.runs[0]
    rankings = {label: (row, "model") for label, row in zip(labels, comparison.runs, strict=True)}
    rankings |= {name: (first, name) for name in first.baselines["valid"]}
    metric = metric or tracking.spec(home_path, first, files).monitor
    curves, details, intervals = {}, {}, {}
    for label, (row, name) in rankings.items():
        cases, details[label] = _ranks(files, row, name), _detail(files, row, name)
        if cases is not None:
            names = [m for m in comparison.metrics[label] if is_ranked(m) and is_available(m)]
            intervals[label] = bootstrap(cases["session"].to_numpy(), cases["rank"].to_numpy(), names, seed)
        if name == "model":
            spec = tracking.spec(home_path, row, files)
            deciding = [head.deciding(spec.evaluation.cutoffs) for head in spec.model.heads]
            curves[label] = learning_curves(home_path, row.run_id, [metric, *deciding])
    slices, reliability = (
        {label: detail[key] for label, detail in details.items() if detail.get(key)}
        for key in ("slices", "reliability")
    )
    return Analysis(comparison, metric, labels, intervals, curves, slices, reliability)


def bootstrap(
    session: NDArray[np.generic], rank: NDArray[np.integer], metrics: Sequence[str], seed: int = 0
) -> dict[str, Interval]:
    """95 % interval of each metric, by a bootstrap that draws sessions with replacement (Efron, 1979).

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


def learning_curves(home: Path, run_id: str, metrics: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """(epoch, value) of the training loss and of `metrics` on the validation part, where they are recorded."""
    keys = {"train/loss": "train/loss"} | {f"epoch.{tracking.to_key('valid', metric)}": metric for metric in metrics}
    history = tracking.history(home, run_id, list(keys))
    return {keys[key]: sorted(points) for key, points in history.items() if points}


# ── sessions won and lost ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Case:
    """A target of the validation part: the items before it, and its ranks by a run and by `against` (1 is first).

    `digest` identifies the data, `row` the session in its validation part, `position` the event in the session, and
    `other` is the rank by `against`.
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
    """The cases in which a run and another ranking differ most: `won` by the run, `lost` to `other`."""

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
        if the run, its ranks or its data are missing, or the other ranking has other targets.
    """
    import polars as pl

    recommender = Recommender.open(run, home=home) if isinstance(run, str) else run
    name, ranked = _ranked_twice(recommender, other)
    won = ranked.filter(pl.col("gain") > 0).head(n)
    lost = ranked.filter(pl.col("gain") < 0).reverse().head(n)
    return Cases(recommender.row.name, name, _as_cases(recommender, name, won), _as_cases(recommender, name, lost))


def draw_case(recommender: Recommender, seed: int | None = None) -> Case:
    """A random case of the validation part, ranked by the run and the better baseline."""
    name, ranked = _ranked_twice(recommender, None)
    index = int(np.random.default_rng(seed).integers(len(ranked)))
    return _as_cases(recommender, name, ranked[index])[0]


def _ranked_twice(recommender: Recommender, other: str | None) -> tuple[str, pl.DataFrame]:
    """Name of the other ranking, and all cases with both ranks, sorted by the gain of the run, largest first."""
    import polars as pl

    home, row = recommender.home, recommender.row
    baselines, metric = row.baselines["valid"], recommender.spec.monitor
    if other is None:
        if not baselines:
            raise InputError(f"run {row.name}", "it has no baselines to compare with", "name another run")
        other = best_baseline(baselines, metric) or next(iter(baselines))
    ranks = _ranks(recommender.files, row, "model")
    name, other_row = (other, row) if other in baselines else ("model", tracking.find(home, other))
    other_ranks = _ranks(recommender.files, other_row, name)
    if ranks is None or other_ranks is None:
        raise InputError(f"run {row.name}", "its ranks on the validation part are not recorded", "evaluate it first")
    key = ["session", "position", "target"]
    ranked = ranks.join(other_ranks.rename({"rank": "other"}), on=key, validate="1:1")
    if len(ranked) < len(ranks):
        raise InputError(f"run {other}", f"it was judged at other targets than {row.name}", "choose another")
    gain = (1 / pl.col("rank") - 1 / pl.col("other")).alias("gain")
    return other, ranked.with_columns(gain).sort("gain", *key, descending=[True, False, False, False])


def _as_cases(recommender: Recommender, against: str, frame: pl.DataFrame) -> list[Case]:
    sessions = recommender.dataset.part("valid")
    cases = []
    for case in frame.iter_rows(named=True):
        begin = sessions.offsets[case["session"]]
        before = sessions.values["item_id"][begin : begin + case["position"]]
        *items, target = recommender.items([*before, case["target"]])
        cases.append(
            Case(
                recommender.row.digest,
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
    return cases


def _ranks(files: tracking.Artifacts, row: tracking.RunRow, name: str) -> pl.DataFrame | None:
    from t4r_lab.data.read.frames import read_parquet

    path = files.path(row.run_id, f"ranks/valid/{name}.parquet")
    return read_parquet(path) if path.exists() else None


def _detail(files: tracking.Artifacts, row: tracking.RunRow, name: str) -> Document:
    """Slices and reliability curve; empty for a run that has none."""
    path = files.path(row.run_id, f"detail/valid/{name}.json")
    content: Document = read_json(path.read_text(encoding="utf-8"), str(path)) if path.exists() else {}
    return content
