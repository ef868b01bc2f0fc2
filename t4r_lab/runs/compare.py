"""Runs side by side: metrics, differences of their specs, and the significance of differences in a metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.families.metrics.metric_table import (
    RANK_METRICS,
    best_baseline,
    is_paired,
    is_ranked,
    lower_is_better,
    metrics_of,
)
from t4r_lab.spec import RunSpec

RESAMPLES = 2000
Cases = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Difference:
    """`metric` of `better` minus that of `other`: mean and 95 % interval of a paired bootstrap over sessions."""

    metric: str
    better: str
    other: str
    mean: float
    low: float
    high: float

    @property
    def sentence(self) -> str:
        """The difference in words, with its 95 % interval."""
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

    runs: list[tracking.RunRow]
    metrics: dict[str, dict[str, float]]
    specs: dict[str, dict[str, object]]
    differences: list[Difference]
    remarks: list[str]
    warnings: dict[str, list[str]] = field(default_factory=dict)
    """label of a run → warnings about its metrics"""
    chosen: list[str] = field(default_factory=list)
    """the paths of `specs` that were set, rather than left at the default of their kind"""


def compare(
    runs: list[str],
    *,
    home: str | Path | None = None,
    seed: int = 0,
    metric: str | None = None,
    files: tracking.Artifacts | None = None,
) -> Comparison:
    """Compare recorded runs on the validation part, the baselines beside them.

    Every pair of runs, and each run with the better baseline, is judged at `metric`, by default the first run's
    monitored one. Only runs on the same data, evaluated on the same targets, are paired. Pass `files` to reuse
    artifacts that were fetched before.
    """
    home_path = homes.locate(home)
    files = files or tracking.Artifacts(home_path)
    rows = list({row.run_id: row for row in (tracking.find(home_path, run) for run in runs)}.values())
    labels = _labels(rows)
    specs = {row.run_id: tracking.spec(home_path, row, files) for row in rows}
    metrics = {labels[row.run_id]: row.valid for row in rows}
    first, baselines = rows[0], rows[0].baselines["valid"]
    metrics |= baselines
    metric = metric or specs[first.run_id].monitor
    cases, remarks = _comparable_cases(files, rows, labels, metric)
    metrics = _completed(metrics, cases, metric)
    if not any(metric in values for values in metrics.values()) and metric != specs[first.run_id].monitor:
        recorded = list(dict.fromkeys(name for values in metrics.values() for name in values))
        raise InputError("metric", f"{metric!r} is not in the record of these runs", did_you_mean(metric, recorded))
    pairs = _pairs([labels[r.run_id] for r in rows], list(baselines), metrics, metric)
    differences, unlike = _differences(pairs, cases, metric, seed)
    all_warnings = {labels[r.run_id]: [*r.warnings.get("train", []), *r.warnings.get("valid", [])] for r in rows}
    warnings = {label: words for label, words in all_warnings.items() if words}
    differing = _differing(specs, labels)
    chosen = _chosen(specs.values(), differing)
    return Comparison(rows, metrics, differing, differences, [*remarks, *unlike], warnings, chosen)


def _comparable_cases(
    files: tracking.Artifacts, rows: list[tracking.RunRow], labels: Mapping[str, str], metric: str
) -> tuple[dict[str, Cases], list[str]]:
    """Label → cases of the runs on the data of the first, and of its baselines; and why other runs have none."""
    cases: dict[str, Cases | None] = {}
    remarks, first = [], rows[0]
    for row in rows:
        label = labels[row.run_id]
        if row.digest != first.digest:
            remarks.append(f"{label} was trained on other data than {labels[first.run_id]}: not paired")
            continue
        cases[label] = cases_of(files, row, "model", metric)
        if cases[label] is None:
            remarks.append(f"{label} has no cases of {metric}: not paired")
    cases |= {name: cases_of(files, first, name, metric) for name in first.baselines["valid"]}
    return {label: columns for label, columns in cases.items() if columns is not None}, remarks


def _completed(
    metrics: Mapping[str, dict[str, float]], cases: Mapping[str, Cases], metric: str
) -> dict[str, dict[str, float]]:
    """`metrics` by label, with `metric` from the recorded ranks of those that lack it, such as at another cutoff."""
    if not is_ranked(metric):
        return dict(metrics)
    missing = {label for label, columns in cases.items() if metric not in metrics[label] and len(columns["rank"])}
    values = {label: _metric(cases[label], metric)(np.ones(len(cases[label]["rank"]))) for label in missing}
    return {label: row | ({metric: values[label]} if label in missing else {}) for label, row in metrics.items()}


def _differences(
    pairs: Iterable[tuple[str, str]], cases: Mapping[str, Cases], metric: str, seed: int
) -> tuple[list[Difference], list[str]]:
    """The difference of each pair with the same cases, and why other pairs have none."""
    differences, remarks = [], []
    for a, b in pairs:
        if a not in cases or b not in cases:
            continue
        if _same_cases(cases[a], cases[b]):
            differences.append(paired_bootstrap(cases[a], cases[b], metric, a, b, seed))
        else:
            remarks.append(f"{a} and {b} were judged at different targets: not paired")
    return differences, remarks


def paired_bootstrap(
    a: Cases, b: Cases, metric: str, name_a: str, name_b: str, seed: int = 0, resamples: int = RESAMPLES
) -> Difference:
    """Resample sessions with replacement and take the difference of the metrics each time (Efron, 1979).

    Parameters
    ----------
    a, b: columns of the same cases in the same order: ``session`` and ``rank`` or, for a metric of a label
        such as ``purchase/auc``, ``label`` and ``prediction``.
    """
    sign = -1 if lower_is_better(metric) else 1
    value_a, value_b = _metric(a, metric), _metric(b, metric)
    ones = np.ones(len(a["session"]))
    mean = sign * (value_a(ones) - value_b(ones))
    if mean < 0:
        mean, sign, name_a, name_b = -mean, -sign, name_b, name_a
    _, session = np.unique(a["session"], return_inverse=True)
    n_sessions = int(session.max(initial=-1)) + 1
    rng, means = np.random.default_rng(seed), np.empty(resamples)
    for i in range(resamples):
        weight = np.bincount(rng.integers(0, n_sessions, n_sessions), minlength=n_sessions)[session].astype(float)
        means[i] = sign * (value_a(weight) - value_b(weight))
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(metric, name_a, name_b, float(mean), float(low), float(high))


def _metric(cases: Cases, metric: str) -> Callable[[NDArray[np.float64]], float]:
    """`metric` of the cases as a function of their weights, (N,)."""
    name, _, cutoff = metric.partition("@")
    if cutoff:
        value = RANK_METRICS[name].compute(cases["rank"], int(cutoff))
        return lambda weight: float(weight @ value / weight.sum())
    label, prediction = cases["label"], cases["prediction"]
    rows = metrics_of("categorical" if prediction.ndim > 1 else "binary") | metrics_of("regression")
    row = rows[name.rpartition("/")[2]]
    return lambda weight: float(row.compute(label, prediction, weight))


def _labels(rows: list[tracking.RunRow]) -> dict[str, str]:
    """Run id → name, made unique by the beginning of the id where two runs, or a run and a baseline, share it."""
    names = [*(row.name for row in rows), *rows[0].baselines["valid"]]
    return {r.run_id: r.name if names.count(r.name) == 1 else f"{r.name} ({r.run_id[:6]})" for r in rows}


def cases_of(
    files: tracking.Artifacts, row: tracking.RunRow, name: str, metric: str, part: str = "valid"
) -> Cases | None:
    """The recorded cases of a part that `metric` is computed from, of the run (``model``) or its baseline `name`."""
    from t4r_lab.data.read.frames import read_parquet

    if not is_paired(metric):
        return None
    label, slash, _ = metric.rpartition("/")
    folder = f"labels/{part}/{label}" if slash else f"ranks/{part}"
    path = files.path(row.run_id, f"{folder}/{name}.parquet")
    if not path.exists():
        return None
    return {column.name: column.to_numpy() for column in read_parquet(path).iter_columns()}


def _same_cases(a: Cases, b: Cases) -> bool:
    """True if both hold the same cases, whatever their ranks or predictions."""
    return all(np.array_equal(a[c], b[c]) for c in a if c not in ("rank", "prediction"))


def _pairs(
    runs: list[str], baselines: list[str], metrics: dict[str, dict[str, float]], metric: str
) -> list[tuple[str, str]]:
    between = [(a, b) for i, a in enumerate(runs) for b in runs[i + 1 :]]
    best = best_baseline({name: metrics[name] for name in baselines}, metric)
    if best is None:
        return between
    return [*between, *((run, best) for run in runs)]


def _chosen(specs: Iterable[RunSpec], differing: Iterable[str]) -> list[str]:
    knobs = [spec.knobs() for spec in specs]
    return [
        path
        for path in differing
        if any(path in section and section[path].value != section[path].default for section in knobs)
    ]


def _differing(specs: dict[str, RunSpec], labels: dict[str, str]) -> dict[str, dict[str, object]]:
    flat = {labels[run]: spec.flat() for run, spec in specs.items()}
    paths = list(dict.fromkeys(path for values in flat.values() for path in values))
    values_of = {path: {label: values.get(path, "–") for label, values in flat.items()} for path in paths}
    return {p: v for p, v in values_of.items() if p != "name" and len({str(x) for x in v.values()}) > 1}
