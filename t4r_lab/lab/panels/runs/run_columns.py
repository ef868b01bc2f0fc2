"""Columns of the table of runs: those shown at first, and every metric and knob that some run has."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from t4r_lab.baselines.baseline_table import BASELINES
from t4r_lab.families.metrics.metric_table import is_available, lower_is_better, named
from t4r_lab.lab.parts.table import Cell, Heading
from t4r_lab.lab.parts.text import duration, number
from t4r_lab.lab.state.views import RunSummary

FIRST = ("name", "started", "body", "masking", "data", "metric", *BASELINES, "gain", "seconds", "status")
"""Keys of the columns shown at first."""
LABELS = {
    "name": "run",
    "gain": "vs. best baseline",
    "seconds": "time",
    "status": "state",
    "tag": "tags",
    "host": "machine",
}
"""Key of a column → its heading, where they differ."""
NUMBERS = ("metric", *BASELINES, "gain", "seconds")
GROUPS = {
    "run": ("name", "started", "status", "seconds", "data", "tag", "notes", "host"),
    "model": ("body", "masking"),
    "result": ("metric", *BASELINES, "gain"),
}
"""Title in the list of columns → keys; metrics and knobs follow under theirs."""


@dataclass(frozen=True)
class Offered:
    """A column that can be shown: its key, heading, and title in the list of columns."""

    key: str
    label: str
    group: str


def offered(runs: Sequence[RunSummary]) -> list[Offered]:
    """Every column that can be shown of `runs`."""
    knobs = dict.fromkeys(path for run in runs for path in run.knobs)
    fixed = [Offered(key, LABELS.get(key, key), title) for title, keys in GROUPS.items() for key in keys]
    metrics = [Offered(name, name, "metric on the validation part") for name in metrics_of(runs)]
    return [*fixed, *metrics, *(Offered(path, path, "knob") for path in knobs if path not in ("name", "data.path"))]


def metrics_of(runs: Sequence[RunSummary]) -> list[str]:
    """Every metric that some run has, by name and cutoff."""
    names = {name for run in runs for name in run.valid} | {
        n for run in runs for b in run.baselines.values() for n in b
    }
    return sorted(names, key=lambda n: (n.partition("@")[0], int(n.partition("@")[2] or 0)))


def headings(metric: str, keys: Sequence[str] = FIRST) -> list[Heading]:
    """The columns `keys`, where ``metric`` stands for the chosen metric of the model."""
    row = named(metric) if is_available(metric) else None
    meaning = f": {row.help}" if row else ""
    helps = {
        "metric": f"{metric} of the model on the validation part{meaning}",
        "gain": "relative difference to the better baseline",
        **{name: f"{metric} of the baseline {name}" for name in BASELINES},
    }
    labels = LABELS | {"metric": metric or "metric"}
    ends = [key.rpartition(".")[2] for key in keys]
    made = []
    for key, end in zip(keys, ends, strict=True):
        is_knob = "." in key and "@" not in key and ":" not in key  # of metrics, those of a package have a dot
        is_metric = not is_knob and key not in CELLS
        label = labels.get(key, end if is_knob and ends.count(end) == 1 else key)
        other = f"{key} of the model on the validation part" if is_metric else key if is_knob else ""
        made.append(Heading(key, label, key in NUMBERS or is_metric, helps.get(key, other)))
    return made


def cells(run: RunSummary, metric: str, keys: Sequence[str] = FIRST) -> list[Cell]:
    """The row of a run."""
    return [CELLS[key](run, metric) if key in CELLS else _other(run, key) for key in keys]


# ── cells ───────────────────────────────────────────────────────────────────────────────────────


def _name(run: RunSummary, metric: str) -> Cell:
    aliases = [name.rpartition("@")[2] for name in run.aliases]
    return Cell(run.name, run.name.lower(), under=" · ".join([run.run_id[:8], *aliases]))


def _started(run: RunSummary, metric: str) -> Cell:
    began, year = time.localtime(run.started), time.localtime().tm_year
    return Cell(time.strftime("%m-%d %H:%M" if began.tm_year == year else "%Y-%m-%d", began), run.started)


def _metric(run: RunSummary, metric: str) -> Cell:
    gain, lower = _gain(run, metric)
    beats = gain is not None and round(-gain if lower else gain, 1) > 0
    value = run.valid.get(metric)
    return Cell(number(value), value, strong=beats)


def _baseline(name: str) -> Callable[[RunSummary, str], Cell]:
    def cell(run: RunSummary, metric: str) -> Cell:
        value = run.baselines.get(name, {}).get(metric)
        return Cell(number(value), value, quiet=True)

    return cell


def _gain_cell(run: RunSummary, metric: str) -> Cell:
    gain, _ = _gain(run, metric)
    return Cell("–" if gain is None else f"{gain:+.1f} %".replace("-", "−"), gain)


def _gain(run: RunSummary, metric: str) -> tuple[float | None, bool]:
    """Difference to the better baseline in %, and whether a lower value is better."""
    scores = [b[metric] for b in run.baselines.values() if metric in b]
    if not is_available(metric):  # no direction is known
        return None, False
    value, lower = run.valid.get(metric), lower_is_better(metric)
    best = (min if lower else max)(scores, default=0.0)
    return (value / best - 1) * 100 if value is not None and best > 0 else None, lower


def _status(run: RunSummary, metric: str) -> Cell:
    return Cell(run.state, run.status, under="warning" if run.warnings else "")


def _other(run: RunSummary, key: str) -> Cell:
    """A metric of its name, or a knob by its path; knobs at numbers sort as such."""
    if key in run.valid:
        return Cell(number(run.valid[key]), run.valid[key])
    text = run.knobs.get(key, "")
    value = run.facts.get(key)
    return Cell(text or "–", value if isinstance(value, float) else text.lower() or None, quiet=not text)


def _fact(key: str) -> Callable[[RunSummary, str], Cell]:
    def cell(run: RunSummary, metric: str) -> Cell:
        text = str(run.facts.get(key, ""))
        return Cell(text, text.lower() or None)

    return cell


CELLS: Mapping[str, Callable[[RunSummary, str], Cell]] = {
    "name": _name,
    "started": _started,
    "body": lambda run, _: Cell(run.body, run.body),
    "masking": lambda run, _: Cell(run.masking, run.masking),
    "data": lambda run, _: Cell(run.data, run.data),
    "metric": _metric,
    **{name: _baseline(name) for name in BASELINES},
    "gain": _gain_cell,
    "seconds": lambda run, _: Cell(duration(run.seconds), run.seconds),
    "status": _status,
    "tag": _fact("tag"),
    "notes": _fact("notes"),
    "host": _fact("host"),
}


def in_words(rows: Sequence[Sequence[Cell]], keys: Sequence[str], metric: str) -> str:
    """A group of rows in words: their number, and mean, standard deviation and range of the metric if it is shown.

    >>> rows = [[Cell("a"), Cell("", 0.2)], [Cell("b"), Cell("", 0.3)], [Cell("c"), Cell("–")]]
    >>> in_words(rows, ["name", "metric"], "ndcg@10")
    '3 runs · ndcg@10 0.250 ± 0.0707 (0.200 to 0.300)'
    """
    count = f"{len(rows)} run{'s' if len(rows) != 1 else ''}"
    sorts = [row[keys.index("metric")].sort for row in rows] if "metric" in keys else []
    values = [value for value in sorts if isinstance(value, float | int)]
    if len(values) < 2:
        return count
    spread = f"{number(fmean(values))} ± {number(stdev(values))} ({number(min(values))} to {number(max(values))})"
    return f"{count} · {metric} {spread}"
