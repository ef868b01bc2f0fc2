"""Differences of metrics on the same cases: paired bootstraps over sessions, corrected for their number by Holm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from t4r_lab.families.metrics.metric_table import RANK_METRICS, lower_is_better, metrics_of

RESAMPLES = 2000
LEVEL = 0.05
"""Chance of calling noise a difference, for one comparison or for all of a family together."""
Cases = Mapping[str, NDArray[Any]]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Difference:
    """`metric` of `better` minus that of `other`: mean and 95 % interval of a paired bootstrap over sessions."""

    metric: str
    better: str
    other: str
    mean: float
    low: float
    high: float
    comparisons: int = 1
    """size of the family of comparisons for which the interval is corrected; 1: it isn't"""

    @property
    def sentence(self) -> str:
        """The difference in words, with its interval."""
        corrected = f", corrected for {self.comparisons} comparisons" if self.comparisons > 1 else ""
        interval = f"95 % {self.low:.4f} to {self.high:.4f}{corrected}"
        if self.low > 0:
            return f"{self.better} beats {self.other} by {self.mean:.4f} {self.metric} ({interval})"
        return (
            f"no difference beyond noise between {self.better} and {self.other} in {self.metric} "
            f"({self.mean:.4f}, {interval})"
        )


@dataclass(frozen=True)
class _Drawn:
    """A difference with its values in every resample, (B,)."""

    better: str
    other: str
    mean: float
    means: NDArray[np.float64]

    @property
    def p_value(self) -> float:
        """Twice the share of resamples in which the sign is the other one."""
        return min(1.0, 2 * float((self.means <= 0).mean()))

    def within(self, metric: str, level: float = LEVEL, comparisons: int = 1) -> Difference:
        """The difference with the interval that all but `level` of the resamples are in."""
        low, high = np.quantile(self.means, [level / 2, 1 - level / 2])
        return Difference(metric, self.better, self.other, self.mean, float(low), float(high), comparisons)


def paired_bootstrap(
    a: Cases, b: Cases, metric: str, name_a: str, name_b: str, seed: int = 0, resamples: int = RESAMPLES
) -> Difference:
    """Resample sessions with replacement and take the difference of the metrics each time (Efron, 1979).

    Parameters
    ----------
    a, b: columns of the same cases in the same order: ``session`` and ``rank`` or, for a metric of a label
        such as ``purchase/auc``, ``label`` and ``prediction``.
    """
    names, both = {"a": name_a, "b": name_b}, {"a": a, "b": b}
    values = {side: value(cases, metric) for side, cases in both.items()}
    drawn = _drawn(metric, "a", "b", values, resample(both, metric, seed, resamples))
    return _Drawn(names[drawn.better], names[drawn.other], drawn.mean, drawn.means).within(metric)


def differences(
    families: Sequence[Sequence[Pair]], cases: Mapping[str, Cases], metric: str, seed: int, corrected: bool
) -> tuple[list[Difference], list[Pair]]:
    """The difference of each pair of labels with the same cases, and the pairs judged at different ones.

    Parameters
    ----------
    families: pairs that are compared for one question; with `corrected`, the verdicts of a family are those of Holm's
        procedure (1979), so that the chance of calling any noise a difference is `LEVEL` in all of it.
    """
    groups = _groups(cases)
    draws = {label: drawn for group in groups for label, drawn in resample(group, metric, seed).items()}
    values = {label: value(cases[label], metric) for label in cases}
    group_of = {label: number for number, group in enumerate(groups) for label in group}
    judged: list[Difference] = []
    unlike: list[Pair] = []
    for family in families:
        known = [pair for pair in family if pair[0] in cases and pair[1] in cases]
        alike = [(a, b) for a, b in known if group_of[a] == group_of[b]]
        unlike += [pair for pair in known if pair not in alike]
        drawn = [_drawn(metric, a, b, values, draws) for a, b in alike]
        levels = holm([each.p_value for each in drawn]) if corrected else [LEVEL] * len(drawn)
        size = len(drawn) if corrected else 1
        judged += [each.within(metric, level, size) for each, level in zip(drawn, levels, strict=True)]
    return judged, unlike


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[float]:
    """The level at which Holm's procedure judges each hypothesis of a family: below it, the hypothesis is rejected.

    The smallest p-value is compared with ``level / k``, the next with ``level / (k - 1)`` and so on; after the first
    that isn't below its own, all others are judged at the level of that one.

    >>> holm([0.04, 0.001, 0.03, 0.01])
    [0.025, 0.0125, 0.025, 0.016666666666666666]
    """
    levels, reached = [0.0] * len(p_values), None
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        levels[index] = reached or level / (len(p_values) - rank)
        if reached is None and p_values[index] >= levels[index]:
            reached = levels[index]
    return levels


def resample(
    cases: Mapping[str, Cases], metric: str, seed: int, resamples: int = RESAMPLES
) -> dict[str, NDArray[np.float64]]:
    """Label → the metric in each resample, (B,), of `cases` that differ in ranks or predictions alone."""
    if not cases:
        return {}
    _, session = np.unique(next(iter(cases.values()))["session"], return_inverse=True)
    sessions = int(session.max(initial=-1)) + 1
    by_weight = _of_sessions(cases, metric, session) if "@" in metric else _of_cases(cases, metric, session)
    rng, out = np.random.default_rng(seed), np.empty((resamples, len(cases)))
    for row in out:
        row[:] = by_weight(np.bincount(rng.integers(0, sessions, sessions), minlength=sessions).astype(float))
    return dict(zip(cases, out.T, strict=True))


def _of_sessions(
    cases: Mapping[str, Cases], metric: str, session: NDArray[np.intp]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """A mean over cases for each label as a function of the weights of sessions, (S,), from sums by session."""
    name, _, cutoff = metric.partition("@")
    gains = [RANK_METRICS[name].compute(columns["rank"], int(cutoff)) for columns in cases.values()]
    sums = np.stack([np.bincount(session, gain) for gain in gains], 1)
    counts = np.bincount(session).astype(float)
    return lambda weight: (weight @ sums) / (weight @ counts)


def _of_cases(
    cases: Mapping[str, Cases], metric: str, session: NDArray[np.intp]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Any metric for each label as a function of the weights of sessions, (S,)."""
    weighted = [_weighted(columns, metric) for columns in cases.values()]
    return lambda weight: np.array([each(weight[session]) for each in weighted])


def value(cases: Cases, metric: str) -> float:
    """The metric of the cases."""
    return _weighted(cases, metric)(np.ones(len(cases["session"])))


def _weighted(cases: Cases, metric: str) -> Callable[[NDArray[np.float64]], float]:
    """`metric` of the cases as a function of their weights, (N,)."""
    name, _, cutoff = metric.partition("@")
    if cutoff:
        gain = RANK_METRICS[name].compute(cases["rank"], int(cutoff))
        return lambda weight: float(weight @ gain / weight.sum())
    label, prediction = cases["label"], cases["prediction"]
    rows = metrics_of("categorical" if prediction.ndim > 1 else "binary") | metrics_of("regression")
    row = rows[name.rpartition("/")[2]]
    return lambda weight: float(row.compute(label, prediction, weight))


def _drawn(
    metric: str, a: str, b: str, values: Mapping[str, float], draws: Mapping[str, NDArray[np.float64]]
) -> _Drawn:
    """The difference of two labels in the direction in which it is positive."""
    sign = -1 if lower_is_better(metric) else 1
    if sign * (values[a] - values[b]) < 0:
        a, b = b, a
    return _Drawn(a, b, sign * (values[a] - values[b]), sign * (draws[a] - draws[b]))


def _groups(cases: Mapping[str, Cases]) -> list[dict[str, Cases]]:
    """The labels with the same cases, whatever their ranks or predictions, together."""
    groups: list[dict[str, Cases]] = []
    for label, columns in cases.items():
        home = next((group for group in groups if _same_cases(next(iter(group.values())), columns)), None)
        if home is None:
            groups.append({label: columns})
        else:
            home[label] = columns
    return groups


def _same_cases(a: Cases, b: Cases) -> bool:
    return all(np.array_equal(a[c], b[c]) for c in a if c not in ("rank", "prediction"))
