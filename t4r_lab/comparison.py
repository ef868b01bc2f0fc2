"""Runs side by side: metrics, what differs in their specs, and whether a difference is more than noise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from t4r_lab import homes, track
from t4r_lab.errors import InputError, did_you_mean
from t4r_lab.spec import RunSpec

RESAMPLES = 2000


@dataclass(frozen=True)
class Difference:
    """Mean of `metric` of `better` less that of `other`, with the 95 % interval of a paired bootstrap over sessions."""

    metric: str
    better: str
    other: str
    mean: float
    low: float
    high: float

    @property
    def sentence(self) -> str:
        if self.low > 0:
            return (
                f"{self.better} beats {self.other} by {self.mean:.4f} {self.metric} "
                f"(95 % {self.low:.4f} to {self.high:.4f})"
            )
        return (
            f"no difference beyond noise between {self.better} and {self.other} in {self.metric} "
            f"({self.mean:.4f}, 95 % {self.low:.4f} to {self.high:.4f})"
        )


@dataclass(frozen=True)
class Comparison:
    """`metrics`: label → metric → value, runs and then baselines; `specs`: path → label → value, where they differ."""

    runs: list[track.RunRow]
    metrics: dict[str, dict[str, float]]
    specs: dict[str, dict[str, Any]]
    differences: list[Difference]
    remarks: list[str]


def compare(runs: list[str], *, home: str | Path | None = None, seed: int = 0, metric: str | None = None) -> Comparison:
    """Compare recorded runs on the validation part, the baselines beside them.

    Every pair of runs, and each run with the better baseline, is judged at `metric`, by default the first run's
    monitored one. Only runs on the same data, judged at the same targets, are paired.
    """
    place = homes.ensure(home)
    rows = list({row.run_id: row for row in (track.find(place, run) for run in runs)}.values())
    labels = _labels(rows)
    specs = {row.run_id: track.spec(place, row) for row in rows}
    metrics = {labels[row.run_id]: row.valid for row in rows}
    ranks: dict[str, NDArray[Any]] = {}
    remarks, first = [], rows[0]
    for row in rows:
        if row.digest != first.digest:
            remarks.append(f"{labels[row.run_id]} was trained on other data than {labels[first.run_id]}: not paired")
            continue
        if (own := _ranks(place, row, "model")) is not None:
            ranks[labels[row.run_id]] = own
    for name, found in first.baselines["valid"].items():
        metrics[name] = found
        if (own := _ranks(place, first, name)) is not None:
            ranks[name] = own
    if metric is not None and not any(metric in found for found in metrics.values()):
        known = list(dict.fromkeys(name for found in metrics.values() for name in found))
        raise InputError(f"metric: {metric!r} is not in the record of these runs; {did_you_mean(metric, known)}")
    metric = metric or specs[first.run_id].monitor
    pairs = _pairs([labels[r.run_id] for r in rows], list(first.baselines["valid"]), metrics, metric)
    differences = []
    for a, b in pairs:
        if a in ranks and b in ranks:
            if not _same_cases(ranks[a], ranks[b]):
                remarks.append(f"{a} and {b} were judged at different targets: not paired")
                continue
            differences.append(paired_bootstrap(ranks[a], ranks[b], metric, a, b, seed))
    return Comparison(rows, metrics, _differing(specs, labels), differences, remarks)


def paired_bootstrap(
    one: NDArray[Any], two: NDArray[Any], metric: str, name_one: str, name_two: str, seed: int = 0
) -> Difference:
    """Resample sessions with replacement and take the difference of the means each time (Efron, 1979).

    Parameters
    ----------
    one, two: records with ``session`` and ``rank`` of the same cases in the same order.
    """
    from t4r_lab.nn.metrics import PER_CASE

    name, _, cutoff = metric.partition("@")
    value = PER_CASE[name]
    difference = value(one["rank"], int(cutoff)) - value(two["rank"], int(cutoff))
    if difference.mean() < 0:
        difference, name_one, name_two = -difference, name_two, name_one
    _, session = np.unique(one["session"], return_inverse=True)
    sums, counts = np.bincount(session, difference), np.bincount(session).astype(float)
    rng, means = np.random.default_rng(seed), np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        weight = np.bincount(rng.integers(0, len(sums), len(sums)), minlength=len(sums))
        means[i] = (weight @ sums) / (weight @ counts)
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(metric, name_one, name_two, float(difference.mean()), float(low), float(high))


def _labels(rows: list[track.RunRow]) -> dict[str, str]:
    """Names of runs, made unique by the beginning of the id where two, or one and a baseline, are alike."""
    names = [*(row.name for row in rows), *rows[0].baselines["valid"]]
    return {r.run_id: r.name if names.count(r.name) == 1 else f"{r.name} ({r.run_id[:6]})" for r in rows}


def _ranks(home: Path, row: track.RunRow, name: str) -> NDArray[Any] | None:
    import polars as pl

    path = track.artifacts(home, row.run_id) / "ranks" / "valid" / f"{name}.parquet"
    return pl.read_parquet(path).to_numpy(structured=True) if path.exists() else None


def _same_cases(one: NDArray[Any], two: NDArray[Any]) -> bool:
    return len(one) == len(two) and all((one[c] == two[c]).all() for c in ("session", "position", "target"))


def _pairs(
    runs: list[str], baselines: list[str], metrics: dict[str, dict[str, float]], metric: str
) -> list[tuple[str, str]]:
    between = [(a, b) for i, a in enumerate(runs) for b in runs[i + 1 :]]
    if not baselines:
        return between
    best = max(baselines, key=lambda name: metrics[name].get(metric, 0.0))
    return [*between, *((run, best) for run in runs)]


def _differing(specs: dict[str, RunSpec], labels: dict[str, str]) -> dict[str, dict[str, Any]]:
    flat = {labels[run]: spec.flat() for run, spec in specs.items()}
    paths = list(dict.fromkeys(path for values in flat.values() for path in values))
    found = {path: {label: values.get(path, "–") for label, values in flat.items()} for path in paths}
    return {p: v for p, v in found.items() if p != "name" and len({str(x) for x in v.values()}) > 1}
