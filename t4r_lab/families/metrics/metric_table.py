"""The table of metrics, and what specs, studies, comparisons and forms read from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from t4r_lab.base.errors import InputError, first_line, shortened
from t4r_lab.families.custom import MemberTable, load_object
from t4r_lab.families.metrics.kinds import (
    cost_metrics,
    label_metrics,
    list_metrics,
    probability_metrics,
    rank_metrics,
)
from t4r_lab.families.metrics.shared.metric_row import Metric, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

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


# ── custom metrics ───────────────────────────────────────────────────────────────────

PATH = "evaluation.metrics"
NAME = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")
"""A custom metric, ``package.module:name``."""

CUTOFF = re.compile(r"[1-9]\d{0,8}", re.ASCII)


def name_of(row: Metric) -> str:
    """The name in a spec of a custom `row`: the module of its function, and the name of the row."""
    return f"{row.compute.__module__}:{row.name}"


def load_metric(name: str) -> Metric:
    """The row that ``package.module:name`` names, with a function whose values are checked.

    Raises
    ------
    InputError
        if its module isn't trusted, can't be imported or has no such metric of ranks.
    """
    word = name.rpartition(":")[2]
    remedy = f'write {word} = t4r_lab.nn.Metric("{word}", "ranks", help, function) in a module that can be imported'
    row = load_object(name, PATH, "metric", remedy)
    if not isinstance(row, Metric):
        raise InputError(PATH, f"{shortened(name)} is not a Metric", remedy)
    if row.source != "ranks":
        raise InputError(PATH, f"{shortened(name)} is computed from {row.source}", "give it the source ranks")
    return replace(row, compute=partial(_checked, name, row.compute))


def _checked(name: str, compute: Callable[..., Any], rank: Floats, k: int) -> Floats:
    """`compute` (rank (N,), k): one finite value a case, (N,).

    Raises
    ------
    InputError
        if it fails or returns anything else.
    """
    import numpy as np

    rank = rank.view()
    rank.flags.writeable = False  # other metrics read it too
    try:
        values = np.asarray(compute(rank, k), np.float64)
    except Exception as error:
        problem = f"{shortened(name)} fails at k = {k} ({type(error).__name__}: {first_line(error)})"
        raise InputError(PATH, problem, "fix its function") from error
    if values.shape != rank.shape:
        problem = f"{shortened(name)} has values of shape {values.shape} for ranks of shape {rank.shape}"
        raise InputError(PATH, problem, "return one number a case")
    if not (is_finite := np.isfinite(values)).all():
        first = is_finite.argmin()
        problem = f"{shortened(name)} is {values[first]} at rank {rank[first]:g} and k = {k}"
        raise InputError(PATH, problem, "return a finite number for every rank")
    return values


def check_metrics(names: Iterable[str], cutoffs: Sequence[int], n_items: int) -> None:
    """Refuse custom metrics that can't be loaded or fail at the best, a tied or the worst rank.

    Raises
    ------
    InputError
    """
    import numpy as np

    for name in names:
        for k in cutoffs:
            load_metric(name).compute(np.array([1.0, 1.5, n_items]), k)


# ── reading the table ───────────────────────────────────────────────────────────────────────────

RANK_METRICS: MemberTable[Metric] = MemberTable(metrics_of("ranks"), load_metric)
"""Those of the next item after each epoch: recorded by case, and so compared in pairs and by slices."""


def named(metric: str) -> Metric | None:
    """The row of a full name such as ``ndcg@10``, ``price/rmse``, ``nll`` or ``package.module:name@10``.

    Raises
    ------
    InputError
        for a custom metric that can't be loaded.
    """
    if is_ranked(metric):
        return RANK_METRICS[metric.partition("@")[0]]
    word = metric.rpartition("/")[2].partition("@")[0]
    return next((row for row in METRICS if row.name == word), None)


def is_available(metric: str) -> bool:
    """Whether the row of `metric` can be read here; that of a custom metric needs its module, and trust."""
    try:
        named(metric)
    except InputError:
        return False
    return True


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of `metric`, such as ``price/rmse`` or ``nll``, is the better one."""
    row = named(metric)
    return row is not None and row.better == "lower"


def is_ranked(metric: str) -> bool:
    """Whether each case has one value of `metric`, made of the rank of its target."""
    name, _, cutoff = metric.partition("@")
    return CUTOFF.fullmatch(cutoff) is not None and (name in RANK_METRICS or NAME.fullmatch(name) is not None)


def is_paired(metric: str) -> bool:
    """Whether cases are recorded from which `metric` is made: of ranks, or of a label such as ``purchase/auc``."""
    return is_ranked(metric) or "/" in metric


def best_baseline(baselines: Mapping[str, Mapping[str, float]], metric: str) -> str | None:
    """The baseline that is best at `metric`, of those that have it."""
    sign = -1 if lower_is_better(metric) else 1
    values = {name: sign * metrics[metric] for name, metrics in baselines.items() if metric in metrics}
    return max(values, key=lambda name: values[name]) if values else None
