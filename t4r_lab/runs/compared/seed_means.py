"""Means over runs that differ by their seed alone, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045),
)
"""0.975 quantile of Student's t with 1, 2, … degrees of freedom."""
MOST = len(STUDENT) + 1
"""The largest number of runs that a mean is taken of."""


@dataclass(frozen=True)
class SeedMean:
    """Mean of a metric over `count` runs; `half` of its 95 % interval (Student's t) is None for a single run."""

    mean: float
    half: float | None
    lowest: float
    highest: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> SeedMean:
        """The mean of the values of one metric, 1 to `MOST`."""
        half = half_interval(values) if len(values) > 1 else None
        return cls(mean(values), half, min(values), max(values), len(values))


def half_interval(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean of 2 to `MOST` values, by Student's t.

    >>> round(half_interval([0.40, 0.41, 0.42]), 4)
    0.0248
    """
    return float(STUDENT[len(values) - 2] * stdev(values) / len(values) ** 0.5)
