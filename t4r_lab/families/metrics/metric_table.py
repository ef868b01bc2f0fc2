"""The table of metrics, and what specs, studies, comparisons and forms read from it."""

from __future__ import annotations

from collections.abc import Mapping

from t4r_lab.families.metrics.kinds import (
    cost_metrics,
    label_metrics,
    list_metrics,
    probability_metrics,
    rank_metrics,
)
from t4r_lab.families.metrics.shared.metric_row import Metric, Source

METRICS: tuple[Metric, ...] = (
    *rank_metrics.METRICS,
    *list_metrics.METRICS,
    *probability_metrics.METRICS,
    *label_metrics.METRICS,
    *cost_metrics.METRICS,
)
"""Every metric; of each source the one that decides by default comes first."""


def metrics_of(source: Source) -> dict[str, Metric]:
    """Name → row of the metrics that are computed from `source`."""
    return {metric.name: metric for metric in METRICS if metric.source == source}


def objectives_of(*sources: Source) -> list[str]:
    """Names of those that have a better direction, by which a study can judge."""
    return [metric.name for metric in METRICS if metric.source in sources and metric.better != "neither"]


RANK_METRICS = metrics_of("ranks")
"""Those of the next item after each epoch: recorded by case, and so compared in pairs and by slices."""


def named(metric: str) -> Metric | None:
    """The row of a full name such as ``ndcg@10``, ``price/rmse`` or ``nll``."""
    word = metric.rpartition("/")[2].partition("@")[0]
    return next((row for row in METRICS if row.name == word), None)


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of `metric`, such as ``price/rmse`` or ``nll``, is the better one."""
    row = named(metric)
    return row is not None and row.better == "lower"


def is_ranked(metric: str) -> bool:
    """Whether each case has one value of `metric`, made of the rank of its target."""
    name, at, _ = metric.partition("@")
    return bool(at) and name in RANK_METRICS


def is_paired(metric: str) -> bool:
    """Whether cases are recorded from which `metric` is made: of ranks, or of a label such as ``purchase/auc``."""
    return is_ranked(metric) or "/" in metric


def best_baseline(baselines: Mapping[str, Mapping[str, float]], metric: str) -> str | None:
    """The baseline that is best at `metric`, of those that have it."""
    sign = -1 if lower_is_better(metric) else 1
    values = {name: sign * metrics[metric] for name, metrics in baselines.items() if metric in metrics}
    return max(values, key=lambda name: values[name]) if values else None
