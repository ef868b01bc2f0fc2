"""The figures of a study as one interactive HTML page that needs no network.

`t4r_lab.tuning.study_images` draws the same figures as image files.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from optuna import visualization as draw

from t4r_lab.tuning.studies.study import Importance, Study

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MOST_AXES = 4
"""The most paths in figures of pairs; the most important ones are shown."""


def page(study: Study) -> str:
    """All figures for which the study has enough trials, as HTML."""
    plan, title = study.plan, html.escape(study.name)
    parts = [
        figure for index, objective in enumerate(plan.objectives) for figure in _of_objective(study, index, objective)
    ]
    if len(plan.objectives) in (2, 3):
        pareto = _figure(lambda: draw.plot_pareto_front(study.optuna, target_names=list(plan.objectives)))
        parts = [("Pareto front", pareto), *parts]
    of_epochs = [objective for objective in plan.objectives if objective in plan.spec.metrics]
    parts += [(f"{objective} after each epoch", _curves(study, objective)) for objective in of_epochs]
    body, library = [], True
    for heading, figure in parts:
        body.append(f"<h2>{html.escape(heading)}</h2>")
        if figure is None or isinstance(figure, str):
            body.append(f"<p>{html.escape(figure or 'Too few finished trials, or all alike.')}</p>")
            continue
        body.append(figure.to_html(full_html=False, include_plotlyjs=library, config={"displaylogo": False}))
        library = False  # once for all figures
    head = f'<meta charset="utf-8"><title>{title}</title><style>body{{font-family:sans-serif;margin:2em}}</style>'
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body><h1>Study {title}</h1>{"".join(body)}</body></html>'
    )


def _of_objective(study: Study, index: int, objective: str) -> list[tuple[str, Figure | str | None]]:
    """Heading and figure of history, importance, slices, contour and parallel coordinates of one objective."""
    several = len(study.plan.objectives) > 1
    target = (lambda trial: trial.values[index]) if several else None
    importance = study.importance(objective)
    paths = list(importance.shares) or None
    few = list(importance.shares)[:MOST_AXES] if len(importance.shares) > 1 else None
    shared: dict[str, Any] = {"target": target, "target_name": objective}
    return [
        (f"History of {objective}", _figure(lambda: draw.plot_optimization_history(study.optuna, **shared))),
        (f"What mattered for {objective}", _bars(importance)),
        (
            f"{objective} by each value",
            _figure(lambda: draw.plot_slice(study.optuna, paths, **shared)),
        ),
        (
            f"{objective} by pairs",
            _figure(lambda: draw.plot_contour(study.optuna, few, **shared)),
        ),
        (
            f"{objective} by all values",
            _figure(lambda: draw.plot_parallel_coordinate(study.optuna, paths, **shared)),
        ),
    ]


def _bars(importance: Importance) -> Figure | str:
    from plotly import graph_objects

    shares = importance.shares
    if not shares:
        return importance.reason
    paths = list(shares)[::-1]
    bars = graph_objects.Bar(x=[shares[p] for p in paths], y=paths, orientation="h")
    return graph_objects.Figure(bars, {"xaxis": {"title": {"text": "share"}}, "yaxis": {"automargin": True}})


def _curves(study: Study, objective: str) -> Figure | None:
    """The objective after each epoch, one line per trial, including pruned ones; None without epochs."""
    from plotly import graph_objects

    lines = [
        graph_objects.Scatter(
            x=list(range(1, len(trial.epochs) + 1)),
            y=[epoch["valid"][objective] for epoch in trial.epochs],
            name=f"trial {trial.number}, {trial.state}",
            mode="lines+markers",
            line={"dash": "solid" if trial.state == "finished" else "dot", "width": 1},
            marker={"size": 4},
        )
        for trial in study.trials()
        if trial.epochs
    ]
    titles = {"xaxis": {"title": {"text": "epoch"}, "dtick": 1}, "yaxis": {"title": {"text": objective}}}
    return graph_objects.Figure(lines, titles) if lines else None


def _figure(make: Callable[[], Figure]) -> Figure | None:
    """The figure that `make` returns; None if there are too few trials for it."""
    try:
        return make()
    except (ValueError, RuntimeError, ZeroDivisionError):
        return None
