"""Figures of what a study tried: slices, a contour of two knobs and parallel coordinates, as plotly's JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from t4r_lab.lab.panels.tune.study_list import StudyState
from t4r_lab.lab.parts.figures import SERIES, Drawn, axis, parallel, styled, unique_labels
from t4r_lab.lab.parts.text import escape, number
from t4r_lab.spec import lower_is_better
from t4r_lab.spec.domains import Domain
from t4r_lab.tuning.studies.study import Trial

MOST_SLICES, COLUMNS = 8, 4
MOST_AXES = 8
"""Of parallel coordinates, beside those of the trial and the objective."""
LEAST_SPREAD = 3
"""Different values of each knob that a contour needs: two make no plane."""


def searched(state: StudyState, objective: str) -> list[str]:
    """The searched paths, the most important ones for `objective` first where that can be told."""
    told = state.importance.get(objective)
    first = list(told.shares) if told else []
    return [*first, *(path for path in state.space if path not in first)]


def draw(
    state: StudyState, objective: str, pair: tuple[str, str] | None, colors: Mapping[str, str]
) -> dict[str, Drawn]:
    """Each figure by its name: ``slices``, ``contour`` of the two paths of `pair`, ``parallel``; none without values."""
    trials = [trial for trial in state.trials if objective in trial.values]
    if not trials:
        return {}
    drawn = {"slices": slices(state, trials, objective, colors)}
    if pair is not None:
        drawn["contour"] = contour(state, trials, objective, pair, colors)
    return {**drawn, "parallel": coordinates(state, trials, objective, colors)}


def slices(state: StudyState, trials: Sequence[Trial], objective: str, colors: Mapping[str, str]) -> Drawn:
    """The objective by each knob, a dot a trial; filled where no other trial beats it."""
    from plotly.subplots import make_subplots

    paths = searched(state, objective)[:MOST_SLICES]
    names, columns = unique_labels(paths), min(COLUMNS, len(paths))
    rows = math.ceil(len(paths) / columns)
    figure = make_subplots(rows, columns, shared_yaxes=True, horizontal_spacing=0.03, vertical_spacing=0.28 / rows)
    for index, path in enumerate(paths):
        cell = {"row": index // columns + 1, "col": index % columns + 1}
        tried = [trial for trial in trials if path in trial.params]
        for word, of_kind in _kinds(state, tried).items():
            figure.add_scatter(
                x=[_shown(trial.params[path], state.space[path]) for trial in of_kind],
                y=[trial.values[objective] for trial in of_kind],
                mode="markers",
                marker=_marker(word, state, colors),
                name=word,
                showlegend=index == 0,
                text=[_words(trial, objective) for trial in of_kind],
                hovertemplate="%{text}<extra></extra>",
                **cell,
            )
        figure.update_xaxes(title=escape(names[path]), **_axis(state.space[path]), **cell)
    figure.update_layout(height=56 + 190 * rows)
    figure.update_yaxes(title=escape(objective), col=1)
    most = ", ".join(names[path] for path in paths)
    return styled(f"{objective} by each value", figure, f"{objective} of {len(trials)} trials by {most}", colors)


def contour(
    state: StudyState, trials: Sequence[Trial], objective: str, pair: tuple[str, str], colors: Mapping[str, str]
) -> Drawn:
    """The objective over the plane of two knobs, between the trials interpolated."""
    import plotly.graph_objects as go

    across, up = pair
    names = unique_labels(pair)
    both = [trial for trial in trials if across in trial.params and up in trial.params]
    x, y = ([_shown(trial.params[path], state.space[path]) for trial in both] for path in pair)
    values = [trial.values[objective] for trial in both]
    figure = go.Figure()
    spread = min(len(set(map(str, x))), len(set(map(str, y))))
    if spread >= LEAST_SPREAD:
        figure.add_contour(
            x=x,
            y=y,
            z=values,
            connectgaps=True,
            line_smoothing=0.6,
            colorscale="Viridis",
            reversescale=lower_is_better(objective),
            colorbar={"title": escape(objective), "thickness": 12},
            hoverinfo="skip",
        )
    for word, of_kind in _kinds(state, both).items():
        figure.add_scatter(
            x=[_shown(trial.params[across], state.space[across]) for trial in of_kind],
            y=[_shown(trial.params[up], state.space[up]) for trial in of_kind],
            mode="markers",
            marker=_marker(word, state, colors) | {"line": {"color": "white", "width": 1}},
            name=word,
            text=[_words(trial, objective) for trial in of_kind],
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_layout(height=360)
    figure.update_xaxes(title=escape(names[across]), **_axis(state.space[across]))
    figure.update_yaxes(title=escape(names[up]), **_axis(state.space[up]))
    few = f"; a contour needs {LEAST_SPREAD} different values of each" if spread < LEAST_SPREAD else ""
    words = f"{objective} of {len(both)} trials over {names[across]} and {names[up]}{few}"
    return styled(f"{objective} over two knobs", figure, words, colors)


def coordinates(state: StudyState, trials: Sequence[Trial], objective: str, colors: Mapping[str, str]) -> Drawn:
    """A line a trial, from its number through the values it tried to the objective."""
    paths = searched(state, objective)[:MOST_AXES]
    names, values = unique_labels(paths), [trial.values[objective] for trial in trials]
    knobs = [axis(names[path], [_text(trial.params.get(path)) for trial in trials]) for path in paths]
    axes = [axis("trial", [trial.number for trial in trials]), *knobs, axis(objective, values)]
    words = f"drag along an axis to pick trials; {len(trials)} trials through {', '.join(names.values())}"
    return parallel("Trials by all values", axes, values, words, colors)


def _kinds(state: StudyState, trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Word of the legend → trials, the best ones last, so that they lie on top."""
    kinds = {
        "breaks a constraint": [t for t in trials if not t.feasible],
        "trial": [t for t in trials if t.feasible and t.number not in state.front],
        state.best_word: [t for t in trials if t.feasible and t.number in state.front],
    }
    return {word: of_kind for word, of_kind in kinds.items() if of_kind}


def _marker(word: str, state: StudyState, colors: Mapping[str, str]) -> dict[str, object]:
    series = SERIES[colors["dark"]]
    if word == state.best_word:
        return {"color": series[1], "size": 10, "symbol": "diamond"}
    return {"color": series[0], "size": 6, "symbol": "circle" if word == "trial" else "circle-open"}


def _axis(domain: Domain) -> dict[str, object]:
    if domain.choices:
        return {"type": "category", "categoryorder": "array", "categoryarray": [_text(c) for c in domain.choices]}
    return {"type": "log", "dtick": 1, "tickformat": "~g"} if domain.log and domain.high / domain.low > 10 else {}


def _shown(value: object, domain: Domain) -> object:
    return _text(value) if domain.choices else value


def _text(value: object) -> object:
    """A value on an axis: numbers as they are, anything else as text, a dash for a knob that the trial hasn't."""
    if value is None:
        return "–"
    return value if isinstance(value, int | float) and not isinstance(value, bool) else escape(str(value))


def _words(trial: Trial, objective: str) -> str:
    names = unique_labels(list(trial.params))
    tried = [f"{names[p]} {number(v) if isinstance(v, float) else v}" for p, v in trial.params.items()]
    return escape(f"trial {trial.number}: {objective} {number(trial.values[objective])}; {', '.join(tried)}")
