"""The figures of a study as images, one file each, for papers, slides and pages that run no script.

Drawn by matplotlib without pyplot, whose figures and settings belong to the user.
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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.tri import Triangulation

from t4r_lab.families.knobs import labels
from t4r_lab.spec.domains import Domain
from t4r_lab.tuning.studies.study import Study, Trial

MOST_PATHS, MOST_PAIRED = 8, 4
"""The most paths in a figure, and in one of their pairs; the most important ones are shown."""
LEAST_APART = 0.04
"""Least distance of two numbered trials, as a share of a plot's width or height."""
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
"""Marks of finished trials by kind, in the order in which they are drawn."""
LINES: dict[str, dict[str, Any]] = {
    "finished": {"color": BLUE, "alpha": 0.4, "linewidth": 1},
    "pruned": {"color": GRAY, "linestyle": "--", "linewidth": 1},
    "failed": {"color": GRAY, "linestyle": ":", "linewidth": 1},
    "best": {"color": ORANGE, "linewidth": 1.8, "zorder": 3},
}
Panel = Callable[[Axes], None]
"""Draws one plot of a figure."""


@dataclass(frozen=True)
class StudyData:
    """The data of a study that its figures show.

    `finished` are those of `trials` that have values, `front` the numbers of the best ones.
    """

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

    def label(self, objective: str) -> str:
        """An objective's label in the figures, with its direction where less is better."""
        return f"{objective} (less is better)" if self.study.plan.lower(objective) else objective

    def word(self, kind: str) -> str:
        """The word of the legend for a kind of trials."""
        return self.study.plan.best_word if kind == "best" else kind

    def values(self, objective: str) -> np.ndarray:
        """The objective of each finished trial, (finished,)."""
        return np.array([trial.values[objective] for trial in self.finished])

    def positions(self, path: str) -> np.ndarray:
        """The position of each finished trial on the axis of `path`, (finished,): its value, or the index of a choice;
        nan without one."""
        domain = self.study.plan.space[path]
        tried = [trial.params.get(path) for trial in self.finished]
        if domain.choices:
            return np.array([domain.choices.index(v) if v in domain.choices else np.nan for v in tried])
        return np.array([np.nan if v is None else float(v) for v in tried])

    def paths(self, objective: str, most: int) -> list[str]:
        """The `most` most important paths for an objective; the first ones of the space if no importance is known."""
        return list(self.importance[objective] or self.study.plan.space)[:most]


def draw(study: Study, folder: Path) -> list[Path]:
    """Write every figure for which the study has enough trials as PNG into `folder`; return the files."""
    trials, plan = study.trials(), study.plan
    data = StudyData(
        study,
        trials,
        [trial for trial in trials if trial.values],
        {trial.number for trial in study.front()},
        {objective: study.importance(objective).shares for objective in plan.objectives},
        labels(plan.space),
    )
    folder.mkdir(exist_ok=True)
    files = []
    with style.context(["default", LOOK]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of glyphs that no font has, which are drawn as boxes
        for name, (panels, columns, size) in FIGURES.items():
            if drawn := panels(data):
                files.append(folder / f"{name}.png")
                figure = _figure(drawn, min(columns, len(drawn)), size)
                # laid out and drawn once; `savefig` does both twice
                FigureCanvasAgg(figure).print_png(files[-1])  # type: ignore[no-untyped-call]
    return files


def _figure(panels: Sequence[Panel], columns: int, size: tuple[float, float]) -> Figure:
    """Panels of a `size` in inches in rows of `columns`, with one legend for all."""
    rows = math.ceil(len(panels) / columns)
    figure = Figure((size[0] * columns, size[1] * rows + 0.3), layout="constrained")
    shown = {}
    for number, panel in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, number)
        panel(axes)
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            shown[label] = handle
    if shown:
        figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=len(shown))
    return figure


# ── each figure's panels ────────────────────────────────────────────────────────────────────────


def _histories(data: StudyData) -> list[Panel]:
    return [partial(_history, data, objective) for objective in data.objectives] if data.finished else []


def _importances(data: StudyData) -> list[Panel]:
    return [partial(_importance, data, objective) for objective in data.objectives if data.importance[objective]]


def _slices(data: StudyData) -> list[Panel]:
    if not data.finished:
        return []
    return [partial(_slice, data, o, path) for o in data.objectives for path in data.paths(o, MOST_PATHS)]


def _contours(data: StudyData) -> list[Panel]:
    if not data.finished:
        return []
    return [
        partial(_contour, data, o, *pair)
        for o in data.objectives
        for pair in combinations(data.paths(o, MOST_PAIRED), 2)
    ]


def _parallels(data: StudyData) -> list[Panel]:
    return [partial(_parallel, data, objective) for objective in data.objectives] if data.finished else []


def _fronts(data: StudyData) -> list[Panel]:
    return [partial(_front, data, *pair) for pair in combinations(data.objectives, 2)] if data.finished else []


def _epochs(data: StudyData) -> list[Panel]:
    of_epochs = [o for o in data.objectives if o in data.study.plan.spec.metrics]
    return [partial(_curves, data, objective) for objective in of_epochs] if any(t.epochs for t in data.trials) else []


FIGURES: dict[str, tuple[Callable[[StudyData], list[Panel]], int, tuple[float, float]]] = {
    "history": (_histories, 2, (6.0, 3.4)),
    "importance": (_importances, 2, (6.0, 3.0)),
    "slice": (_slices, 4, (3.0, 2.4)),
    "contour": (_contours, 3, (3.8, 2.9)),
    "parallel_coordinates": (_parallels, 1, (11.0, 3.8)),
    "pareto_front": (_fronts, 2, (6.0, 4.4)),
    "intermediate_values": (_epochs, 2, (6.0, 3.6)),
}
"""Name of the file → the function that lists its panels, panels in a row, and inches of a panel."""


# ── panels ──────────────────────────────────────────────────────────────────────────────────────


def _history(data: StudyData, objective: str, axes: Axes) -> None:
    """The value of each finished trial, and the best so far within the constraints."""
    numbers, values = np.array([t.number for t in data.finished]), data.values(objective)
    sign = -1 if data.study.plan.lower(objective) else 1
    feasible = np.array([t.feasible for t in data.finished])
    best = sign * np.maximum.accumulate(np.where(feasible, sign * values, -np.inf))
    axes.step(
        numbers[feasible.cumsum() > 0], best[feasible.cumsum() > 0], where="post", color=BLUE, label="best so far"
    )
    _dots(data, axes, numbers, values)
    axes.set(title=f"History of {objective}", xlabel="trial", ylabel=data.label(objective))


def _importance(data: StudyData, objective: str, axes: Axes) -> None:
    shares = {path: data.importance[objective][path] for path in data.paths(objective, MOST_PATHS)}
    bars = axes.barh([data.labels[path] for path in shares], list(shares.values()), color=BLUE, height=0.65)
    axes.bar_label(bars, [f"{100 * share:.0f} %" for share in shares.values()], padding=3)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, max(*shares.values(), 1e-9) * 1.12)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.set(title=f"What mattered for {objective}, by {len(data.finished)} trials", xlabel="share")


def _slice(data: StudyData, objective: str, path: str, axes: Axes) -> None:
    """The objective of each trial by the value of one path."""
    _dots(data, axes, data.positions(path), data.values(objective))
    _scale(axes, "x", data.study.plan.space[path])
    axes.set(xlabel=data.labels[path], ylabel=data.label(objective))


def _contour(data: StudyData, objective: str, across: str, up: str, axes: Axes) -> None:
    """The objective in the plane of two paths, interpolated on triangles of trials; bright is good."""
    space, values = data.study.plan.space, data.values(objective)
    x, y = data.positions(across), data.positions(up)
    complete = ~np.isnan(x) & ~np.isnan(y)
    _scale(axes, "x", space[across])
    _scale(axes, "y", space[up])
    units = np.stack([_unit(x, space[across]), _unit(y, space[up])], 1)  # (trials, 2)
    spots, group = np.unique(units[complete].round(6), axis=0, return_inverse=True)
    if len(spots) > 2 and np.linalg.matrix_rank(spots[1:] - spots[0], tol=1e-3) == 2:
        heights = np.bincount(group.ravel(), values[complete]) / np.bincount(group.ravel())  # mean of equal trials
        first = np.unique(group.ravel(), return_index=True)[1]
        plane = Triangulation(x[complete][first], y[complete][first], Triangulation(*spots.T).triangles)
        lower = data.study.plan.lower(objective)
        low, high = np.quantile(heights, (0, 0.9) if lower else (0.1, 1))  # else the worst values would take all colors
        filled = axes.tricontourf(
            plane,
            heights,
            levels=np.linspace(low, high, 12) if high > low else 12,
            cmap="viridis_r" if lower else "viridis",
            extend="max" if lower else "min",
        )
        bar = axes.figure.colorbar(filled, ax=axes, label=data.label(objective), format="%.3g")
        bar.ax.tick_params(labelsize=7)
    axes.use_sticky_edges = False  # so that dots at the edge are whole
    axes.margins(0.05)
    axes.grid(visible=False)
    _dots(data, axes, x, y)
    axes.set(xlabel=data.labels[across], ylabel=data.labels[up])


def _parallel(data: StudyData, objective: str, axes: Axes) -> None:
    """One line per trial, from its objective through all its values; the best are drawn last."""
    space, paths, values = data.study.plan.space, data.paths(objective, MOST_PATHS), data.values(objective)
    low, high = float(values.min()), float(values.max())
    merit = (values - low) / (high - low or 1)
    heights = np.stack([merit, *(_unit(data.positions(path), space[path]) for path in paths)], 1)  # (trials, 1 + paths)
    goodness = 1 - merit if data.study.plan.lower(objective) else merit
    for row in np.argsort(goodness):
        best = data.finished[row].number in data.front
        axes.plot(
            heights[row],
            color=ORANGE if best else BLUE,
            alpha=1 if best else 0.12 + 0.5 * goodness[row] ** 2,
            linewidth=1.8 if best else 1,
            zorder=3 if best else 2,
            label=data.word("best" if best else "trial"),
        )
    marks = [[(0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")], *(_marks(space[path]) for path in paths)]
    for number, (height, text) in ((number, mark) for number, of_axis in enumerate(marks) for mark in of_axis):
        shift, side = {0.0: ((0, -10), "center"), 1.0: ((0, 5), "center")}.get(height, ((4, -3), "left"))
        axes.annotate(text, (number, height), shift, textcoords="offset points", ha=side, color=TEXT)
    for number in range(len(marks)):
        axes.axvline(number, color=GRAY, linewidth=0.8, zorder=1)
    axes.set_xticks(range(len(marks)), [data.label(objective), *(data.labels[path] for path in paths)])
    axes.set_yticks([])
    axes.tick_params(axis="x", pad=14, length=0)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set(xlim=(-0.3, len(paths) + 0.3), ylim=(-0.02, 1.1), title=f"Trials by {objective} and their values")


def _front(data: StudyData, across: str, up: str, axes: Axes) -> None:
    """Two objectives of every finished trial."""
    x, y = data.values(across), data.values(up)
    best = np.array([trial.number in data.front for trial in data.finished])
    if len(data.objectives) == 2:  # of three, the front is no line in the plane of two
        order = np.argsort(x[best])
        axes.plot(x[best][order], y[best][order], color=ORANGE, linewidth=1, zorder=2)
    _dots(data, axes, x, y)
    numbered = np.full(2, np.inf)
    for row in np.flatnonzero(best)[np.argsort(x[best])]:
        at = np.array([(x[row] - x.min()) / (np.ptp(x) or 1), (y[row] - y.min()) / (np.ptp(y) or 1)])
        if np.abs(at - numbered).max() > LEAST_APART:
            number, numbered = str(data.finished[row].number), at
            axes.annotate(number, (x[row], y[row]), (5, 5), textcoords="offset points", fontsize=7.5, color=TEXT)
    axes.margins(0.08)
    axes.set(title=f"{up} against {across}", xlabel=data.label(across), ylabel=data.label(up))


def _curves(data: StudyData, objective: str, axes: Axes) -> None:
    """The objective after each epoch of every trial, including pruned ones."""
    for trial in data.trials:
        kind = "best" if trial.number in data.front else trial.state
        values = [epoch["valid"][objective] for epoch in trial.epochs]
        if values and kind in LINES:
            mark = "o" if len(values) == 1 else None
            axes.plot(
                range(1, len(values) + 1), values, label=data.word(kind), marker=mark, markersize=3, **LINES[kind]
            )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title=f"{objective} after each epoch", xlabel="epoch", ylabel=data.label(objective))


# ── pieces ──────────────────────────────────────────────────────────────────────────────────────


def _dots(data: StudyData, axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """A mark by kind for each finished trial that has both coordinates."""
    kinds = np.array([_kind(data, trial) for trial in data.finished])
    for kind, look in DOTS.items():
        if (of_kind := (kinds == kind) & ~np.isnan(x + y)).any():
            axes.scatter(x[of_kind], y[of_kind], label=data.word(kind), **look)


def _kind(data: StudyData, trial: Trial) -> str:
    if trial.start:
        return "starting spec"
    if trial.number in data.front:
        return "best"
    return "trial" if trial.feasible else "breaks a constraint"


def _unit(positions: np.ndarray, domain: Domain) -> np.ndarray:
    """Positions on the axis of a path, scaled to 0 to 1."""
    if domain.choices:
        return positions / max(len(domain.choices) - 1, 1)
    low, high, at = domain.low, domain.high, positions
    if domain.log:
        low, high, at = math.log(low), math.log(high), np.log(np.maximum(positions, domain.low))
    return np.clip((at - low) / (high - low), 0, 1)  # trial 0 may start outside


def _marks(domain: Domain) -> list[tuple[float, str]]:
    """The labels of an axis from 0 to 1: the ends of a range, or every choice."""
    if domain.choices:
        return [(i / max(len(domain.choices) - 1, 1), str(choice)) for i, choice in enumerate(domain.choices)]
    return [(0.0, f"{domain.low:g}"), (1.0, f"{domain.high:g}")]


def _scale(axes: Axes, which: str, domain: Domain) -> None:
    """Scale the x or y axis as the domain of a path."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if domain.choices:
        axis.set_ticks(range(len(domain.choices)), [str(choice) for choice in domain.choices])
        axes.set(**{f"{which}lim": (-0.4, len(domain.choices) - 0.6)})
    elif domain.log:
        axes.set(**{f"{which}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1,) if domain.high / domain.low > 100 else (1, 2, 5), numticks=6))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(NullFormatter())
