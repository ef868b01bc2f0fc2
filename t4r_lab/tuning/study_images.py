"""The figures of a study as images, one file each: for papers, slides and pages that run no script.

Drawn by matplotlib without its pyplot, whose figures and settings are the user's.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.tri import Triangulation

from t4r_lab.families.knobs import labels
from t4r_lab.spec.space import Domain
from t4r_lab.tuning.studies.study import Study, Trial

MOST_PATHS, MOST_PAIRED = 8, 4
"""Paths in a figure, and in one that shows pairs of them; the most important first."""
LEAST_APART = 0.04
"""Of a plot's width or height, between two trials whose numbers are both written."""
BLUE, ORANGE, GRAY, TEXT = "#0072B2", "#D55E00", "#8A8A8A", "#444444"
LOOK = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.edgecolor": GRAY,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.dpi": 144,
    "text.parse_math": False,  # a name from the data may have a $
}
DOTS: dict[str, dict[str, Any]] = {
    "trial": {"color": BLUE, "s": 16, "alpha": 0.7, "edgecolors": "white", "linewidths": 0.4},
    "breaks a constraint": {"facecolors": "white", "s": 14, "edgecolors": GRAY, "linewidths": 0.9},
    "best": {"color": ORANGE, "s": 34, "edgecolors": "white", "linewidths": 0.6, "zorder": 4},
    "starting spec": {"color": "black", "s": 34, "marker": "D", "edgecolors": "white", "linewidths": 0.6, "zorder": 5},
}
"""How a finished trial is drawn, by what is to be known of it; the last thing is drawn last."""
LINES: dict[str, dict[str, Any]] = {
    "finished": {"color": BLUE, "alpha": 0.4, "linewidth": 1},
    "pruned": {"color": GRAY, "linestyle": "--", "linewidth": 1},
    "failed": {"color": GRAY, "linestyle": ":", "linewidth": 1},
    "best": {"color": ORANGE, "linewidth": 1.8, "zorder": 3},
}
Panel = Callable[[Axes], None]
"""Draws one plot of a figure."""


@dataclass(frozen=True)
class Seen:
    """A study as its drawings see it; `finished` are those of `trials` that have values."""

    study: Study
    trials: list[Trial]
    finished: list[Trial]
    front: set[int]
    importance: dict[str, dict[str, float]]
    labels: dict[str, str]

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the metrics that the study optimizes."""
        return self.study.plan.objectives

    def called(self, objective: str) -> str:
        """An objective's label in the figures, with its direction where less is better."""
        return f"{objective} (less is better)" if self.study.plan.lower(objective) else objective

    def values(self, objective: str) -> np.ndarray:
        """Of each finished trial."""
        return np.array([trial.values[objective] for trial in self.finished])

    def places(self, path: str) -> np.ndarray:
        """Of each finished trial on the axis of `path`: its value, or which choice it is; nan where it has none."""
        domain = self.study.plan.space[path]
        tried = [trial.params.get(path) for trial in self.finished]
        if domain.choices:
            return np.array([domain.choices.index(v) if v in domain.choices else np.nan for v in tried])
        return np.array([np.nan if v is None else float(v) for v in tried])

    def paths(self, objective: str, most: int) -> list[str]:
        """The paths that mattered, most first; those that can't be told apart by how far they did, by their order."""
        return list(self.importance[objective] or self.study.plan.space)[:most]


def draw(study: Study, folder: Path) -> list[Path]:
    """Write every figure that the study has enough trials for as PNG into `folder`."""
    trials, plan = study.trials(), study.plan
    seen = Seen(
        study,
        trials,
        [trial for trial in trials if trial.values],
        {trial.number for trial in study.front()},
        {objective: study.importance(objective) for objective in plan.objectives},
        labels(plan.space),
    )
    folder.mkdir(exist_ok=True)
    made = []
    with style.context(["default", LOOK]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of glyphs that no font has, which are drawn as boxes
        for name, (panels, columns, size) in FIGURES.items():
            if found := panels(seen):
                made.append(folder / f"{name}.png")
                _figure(found, min(columns, len(found)), size).savefig(made[-1])
    return made


def _figure(panels: Sequence[Panel], columns: int, size: tuple[float, float]) -> Figure:
    """Panels of a `size` in inches in rows of `columns`, with one legend for all."""
    rows = math.ceil(len(panels) / columns)
    figure = Figure((size[0] * columns, size[1] * rows + 0.3), layout="constrained")
    shown = {}
    for place, panel in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, place)
        panel(axes)
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            shown[label] = handle
    if shown:
        figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=len(shown))
    return figure


# ── each figure's panels ────────────────────────────────────────────────────────────────────────


def _histories(seen: Seen) -> list[Panel]:
    return [partial(_history, seen, objective) for objective in seen.objectives] if seen.finished else []


def _importances(seen: Seen) -> list[Panel]:
    return [partial(_importance, seen, objective) for objective in seen.objectives if seen.importance[objective]]


def _slices(seen: Seen) -> list[Panel]:
    if not seen.finished:
        return []
    return [partial(_slice, seen, o, path) for o in seen.objectives for path in seen.paths(o, MOST_PATHS)]


def _contours(seen: Seen) -> list[Panel]:
    if not seen.finished:
        return []
    return [
        partial(_contour, seen, o, *pair)
        for o in seen.objectives
        for pair in combinations(seen.paths(o, MOST_PAIRED), 2)
    ]


def _parallels(seen: Seen) -> list[Panel]:
    return [partial(_parallel, seen, objective) for objective in seen.objectives] if seen.finished else []


def _fronts(seen: Seen) -> list[Panel]:
    return [partial(_front, seen, *pair) for pair in combinations(seen.objectives, 2)] if seen.finished else []


def _epochs(seen: Seen) -> list[Panel]:
    of_epochs = [o for o in seen.objectives if o in seen.study.plan.spec.metrics]
    return [partial(_curves, seen, objective) for objective in of_epochs] if any(t.epochs for t in seen.trials) else []


FIGURES: dict[str, tuple[Callable[[Seen], list[Panel]], int, tuple[float, float]]] = {
    "history": (_histories, 2, (6.0, 3.4)),
    "importance": (_importances, 2, (6.0, 3.0)),
    "slice": (_slices, 4, (3.0, 2.4)),
    "contour": (_contours, 3, (3.8, 2.9)),
    "parallel_coordinates": (_parallels, 1, (11.0, 3.8)),
    "pareto_front": (_fronts, 2, (6.0, 4.4)),
    "intermediate_values": (_epochs, 2, (6.0, 3.6)),
}
"""Name of the file → what lists its panels, panels in a row, and inches of a panel."""


# ── panels ──────────────────────────────────────────────────────────────────────────────────────


def _history(seen: Seen, objective: str, axes: Axes) -> None:
    """Each finished trial's value, and the best so far that keeps the constraints."""
    numbers, values = np.array([t.number for t in seen.finished]), seen.values(objective)
    sign = -1 if seen.study.plan.lower(objective) else 1
    kept = np.array([t.feasible for t in seen.finished])
    best = sign * np.maximum.accumulate(np.where(kept, sign * values, -np.inf))
    axes.step(numbers[kept.cumsum() > 0], best[kept.cumsum() > 0], where="post", color=BLUE, label="best so far")
    _dots(seen, axes, numbers, values)
    axes.set(title=f"History of {objective}", xlabel="trial", ylabel=seen.called(objective))


def _importance(seen: Seen, objective: str, axes: Axes) -> None:
    shares = {path: seen.importance[objective][path] for path in seen.paths(objective, MOST_PATHS)}
    bars = axes.barh([seen.labels[path] for path in shares], list(shares.values()), color=BLUE, height=0.65)
    axes.bar_label(bars, [f"{100 * share:.0f} %" for share in shares.values()], padding=3)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, max(*shares.values(), 1e-9) * 1.12)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.set(title=f"What mattered for {objective}, by {len(seen.finished)} trials", xlabel="share")


def _slice(seen: Seen, objective: str, path: str, axes: Axes) -> None:
    """The objective of each trial by the value of one path."""
    _dots(seen, axes, seen.places(path), seen.values(objective))
    _scale(axes, "x", seen.study.plan.space[path])
    axes.set(xlabel=seen.labels[path], ylabel=seen.called(objective))


def _contour(seen: Seen, objective: str, across: str, up: str, axes: Axes) -> None:
    """The objective between the trials, on the triangles that they make in the plane of two paths; bright is good."""
    space, values = seen.study.plan.space, seen.values(objective)
    x, y = seen.places(across), seen.places(up)
    there = ~np.isnan(x) & ~np.isnan(y)
    _scale(axes, "x", space[across])
    _scale(axes, "y", space[up])
    units = np.stack([_unit(x, space[across]), _unit(y, space[up])], 1)  # (trials, 2)
    spots, group = np.unique(units[there].round(6), axis=0, return_inverse=True)
    if len(spots) > 2 and np.linalg.matrix_rank(spots[1:] - spots[0], tol=1e-3) == 2:
        heights = np.bincount(group.ravel(), values[there]) / np.bincount(group.ravel())  # a spot tried twice: its mean
        first = np.unique(group.ravel(), return_index=True)[1]
        plane = Triangulation(x[there][first], y[there][first], Triangulation(*spots.T).triangles)
        lower = seen.study.plan.lower(objective)
        low, high = np.quantile(heights, (0, 0.9) if lower else (0.1, 1))  # else the worst took all the colors
        filled = axes.tricontourf(
            plane,
            heights,
            levels=np.linspace(low, high, 12) if high > low else 12,
            cmap="viridis_r" if lower else "viridis",
            extend="max" if lower else "min",
        )
        bar = axes.figure.colorbar(filled, ax=axes, label=seen.called(objective), format="%.3g")
        bar.ax.tick_params(labelsize=7)
    axes.use_sticky_edges = False  # so that dots at the edge are whole
    axes.margins(0.05)
    axes.grid(visible=False)
    _dots(seen, axes, x, y)
    axes.set(xlabel=seen.labels[across], ylabel=seen.labels[up])


def _parallel(seen: Seen, objective: str, axes: Axes) -> None:
    """A line a trial from its objective through all its values; the best are drawn last."""
    space, paths, values = seen.study.plan.space, seen.paths(objective, MOST_PATHS), seen.values(objective)
    low, high = float(values.min()), float(values.max())
    merit = (values - low) / (high - low or 1)
    heights = np.stack([merit, *(_unit(seen.places(path), space[path]) for path in paths)], 1)  # (trials, 1 + paths)
    goodness = 1 - merit if seen.study.plan.lower(objective) else merit
    for row in np.argsort(goodness):
        best = seen.finished[row].number in seen.front
        axes.plot(
            heights[row],
            color=ORANGE if best else BLUE,
            alpha=1 if best else 0.12 + 0.5 * goodness[row] ** 2,
            linewidth=1.8 if best else 1,
            zorder=3 if best else 2,
            label="best" if best else "trial",
        )
    marks = [[(0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")], *(_marks(space[path]) for path in paths)]
    for place, (height, text) in ((place, mark) for place, found in enumerate(marks) for mark in found):
        shift, side = {0.0: ((0, -10), "center"), 1.0: ((0, 5), "center")}.get(height, ((4, -3), "left"))
        axes.annotate(text, (place, height), shift, textcoords="offset points", ha=side, color=TEXT)
    for place in range(len(marks)):
        axes.axvline(place, color=GRAY, linewidth=0.8, zorder=1)
    axes.set_xticks(range(len(marks)), [seen.called(objective), *(seen.labels[path] for path in paths)])
    axes.set_yticks([])
    axes.tick_params(axis="x", pad=14, length=0)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set(xlim=(-0.3, len(paths) + 0.3), ylim=(-0.02, 1.1), title=f"Trials by {objective} and their values")


def _front(seen: Seen, across: str, up: str, axes: Axes) -> None:
    """Two objectives of every finished trial."""
    x, y = seen.values(across), seen.values(up)
    best = np.array([trial.number in seen.front for trial in seen.finished])
    if len(seen.objectives) == 2:  # of three, the front is no line in the plane of two
        order = np.argsort(x[best])
        axes.plot(x[best][order], y[best][order], color=ORANGE, linewidth=1, zorder=2)
    _dots(seen, axes, x, y)
    told = np.full(2, np.inf)
    for row in np.flatnonzero(best)[np.argsort(x[best])]:
        at = np.array([(x[row] - x.min()) / (np.ptp(x) or 1), (y[row] - y.min()) / (np.ptp(y) or 1)])
        if np.abs(at - told).max() > LEAST_APART:
            number, told = str(seen.finished[row].number), at
            axes.annotate(number, (x[row], y[row]), (5, 5), textcoords="offset points", fontsize=7.5, color=TEXT)
    axes.margins(0.08)
    axes.set(title=f"{up} against {across}", xlabel=seen.called(across), ylabel=seen.called(up))


def _curves(seen: Seen, objective: str, axes: Axes) -> None:
    """The objective after each epoch of every trial, the pruned ones among them."""
    for trial in seen.trials:
        kind = "best" if trial.number in seen.front else trial.state
        values = [epoch["valid"][objective] for epoch in trial.epochs]
        if values and kind in LINES:
            mark = "o" if len(values) == 1 else None
            axes.plot(range(1, len(values) + 1), values, label=kind, marker=mark, markersize=3, **LINES[kind])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title=f"{objective} after each epoch", xlabel="epoch", ylabel=seen.called(objective))


# ── pieces ──────────────────────────────────────────────────────────────────────────────────────


def _dots(seen: Seen, axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """A dot for each finished trial that has both, by what is to be known of it."""
    kinds = np.array([_kind(seen, trial) for trial in seen.finished])
    for kind, look in DOTS.items():
        if (of_kind := (kinds == kind) & ~np.isnan(x + y)).any():
            axes.scatter(x[of_kind], y[of_kind], label=kind, **look)


def _kind(seen: Seen, trial: Trial) -> str:
    if trial.start:
        return "starting spec"
    if trial.number in seen.front:
        return "best"
    return "trial" if trial.feasible else "breaks a constraint"


def _unit(places: np.ndarray, domain: Domain) -> np.ndarray:
    """Places on the axis of a path as 0 to 1."""
    if domain.choices:
        return places / max(len(domain.choices) - 1, 1)
    low, high, at = domain.low, domain.high, places
    if domain.log:
        low, high, at = math.log(low), math.log(high), np.log(np.maximum(places, domain.low))
    return np.clip((at - low) / (high - low), 0, 1)  # trial 0 may start outside


def _marks(domain: Domain) -> list[tuple[float, str]]:
    """What stands at an axis from 0 to 1: the ends of a range, or every choice."""
    if domain.choices:
        return [(i / max(len(domain.choices) - 1, 1), str(choice)) for i, choice in enumerate(domain.choices)]
    return [(0.0, f"{domain.low:g}"), (1.0, f"{domain.high:g}")]


def _scale(axes: Axes, which: str, domain: Domain) -> None:
    """Make the x or y axis that of a path."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if domain.choices:
        axis.set_ticks(range(len(domain.choices)), [str(choice) for choice in domain.choices])
        axes.set(**{f"{which}lim": (-0.4, len(domain.choices) - 0.6)})
    elif domain.log:
        axes.set(**{f"{which}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1,) if domain.high / domain.low > 100 else (1, 2, 5), numticks=6))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(NullFormatter())
