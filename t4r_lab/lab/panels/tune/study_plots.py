"""Plots of a study as SVG, colored by the notebook, each with a description."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from t4r_lab.families.knobs import labels
from t4r_lab.lab.panels.tune.study_list import StudyState
from t4r_lab.lab.parts.plots import BASE, LEFT, RIGHT, TOP, rule, svg, text_at, x_title
from t4r_lab.lab.parts.text import escape, number
from t4r_lab.spec import lower_is_better

MOST_BARS = 6


def plots(state: StudyState) -> str:
    """HTML of every plot that the study has enough trials for."""
    made = [history(state, objective) for objective in state.objectives]
    made += [importance(state, objective) for objective in state.objectives]
    if len(state.objectives) > 1:
        made.insert(0, front(state, *state.objectives[:2]))
    shown = "".join(f"<div>{drawn}</div>" for drawn in made if drawn)
    return f'<div class="t4r-study">{shown}</div>' if shown else ""


def history(state: StudyState, objective: str) -> str:
    """SVG: each finished trial's value, and the best so far as a line."""
    points = [(t.number, t.values[objective]) for t in state.trials if objective in t.values]
    if not points:
        return ""
    best, line, better = points[0][1], [], min if lower_is_better(objective) else max
    x = _scale([0, max(state.trials[-1].number, 1)], LEFT + 6, RIGHT - 6)
    y = _scale([v for _, v in points], BASE, TOP)
    for trial, value in points:
        if better(value, best) != best:
            line.append(f"{x(trial):.1f},{y(best):.1f}")  # a step, since between two trials nothing gets better
            best = value
        line.append(f"{x(trial):.1f},{y(best):.1f}")
    shapes = [f'<polyline class="t4r-line-plot" points="{" ".join(line)}"/>']
    shapes += [_dot(n, x(n), y(v), f"trial {n}: {number(v)}", n in state.front) for n, v in points]
    shapes += [text_at(LEFT, BASE + 14, "0"), text_at(RIGHT, BASE + 14, str(state.trials[-1].number), "end")]
    first = f" · trial 0 {number(points[0][1])}" if points[0][0] == 0 else ""
    detail = f"best {number(best)}{first}{' · less is better' if better is min else ''}"
    words = f"{objective} of {len(points)} finished trials: {detail}"
    return svg(
        f"History · {escape(objective)}", detail, words, [*_y_axis([v for _, v in points]), *shapes, x_title("trial")]
    )


def front(state: StudyState, across: str, up: str) -> str:
    """SVG: two objectives of every finished trial; filled dots are trials that no other one beats."""
    complete = [t for t in state.trials if across in t.values and up in t.values]
    if not complete:
        return ""
    wide, tall = [t.values[across] for t in complete], [t.values[up] for t in complete]
    x, y = _scale(wide, LEFT + 6, RIGHT - 6), _scale(tall, BASE - 6, TOP + 6)
    shapes = [
        _dot(
            t.number,
            x(t.values[across]),
            y(t.values[up]),
            f"trial {t.number}: {across} {number(t.values[across])}, {up} {number(t.values[up])}",
            t.number in state.front,
        )
        for t in complete
    ]
    shapes += [text_at(LEFT, BASE + 14, number(min(wide))), text_at(RIGHT, BASE + 14, number(max(wide)), "end")]
    detail = f"{len(state.front)} of {len(complete)} trials, full, that no other beats"
    words = f"{up} against {across}: {detail}, trials {', '.join(map(str, state.front))}"
    return svg(f"{escape(up)} against {escape(across)}", detail, words, [*_y_axis(tall), *shapes, x_title(across)])


def importance(state: StudyState, objective: str) -> str:
    """Bars of what each knob has to do with a good value, or why they can't be told."""
    told, title = state.importance.get(objective), f"Importance · {escape(objective)}"
    if told is None:
        return ""
    shares = list(told.shares.items())[:MOST_BARS]
    if not shares:
        return svg(title, told.reason, f"Importance for {objective}: {told.reason}", [])
    names = labels(told.shares)
    shapes, step = [], (BASE + 20 - TOP) / MOST_BARS
    for i, (path, share) in enumerate(shares):
        at, middle = TOP + i * step - 6, LEFT + 96
        wide = (RIGHT - 40 - middle) * share / max(shares[0][1], 1e-9)
        shapes.append(text_at(middle - 6, at + 11, names[path], "end"))
        shapes.append(
            f'<rect class="t4r-visible" x="{middle}" y="{at:.1f}" width="{max(wide, 1):.1f}" height="{step - 6:.1f}">'
            f"<title>{escape(path)}</title></rect>"
        )
        shapes.append(text_at(middle + wide + 6, at + 11, f"{100 * share:.0f} %"))
    words = ", ".join(f"{path} {100 * share:.0f} %" for path, share in shares)
    return svg(
        title,
        "share in what made it good",
        f"Importance for {objective}: {words}",
        shapes,
    )


def _scale(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    """A function from a value to its coordinate; the middle if all values are equal."""
    low, high = min(values), max(values)
    return lambda value: start + (end - start) * ((value - low) / (high - low) if high > low else 0.5)


def _y_axis(values: Sequence[float]) -> list[str]:
    low, high = min(values), max(values)
    ends = [(BASE, low), (TOP, high)] if high > low else [((BASE + TOP) / 2, low)]
    return [rule(BASE), rule(TOP), *(text_at(LEFT - 4, y + 4, number(value), "end") for y, value in ends)]


def _dot(trial: int, x: float, y: float, words: str, best: bool) -> str:
    kind, size = ("t4r-visible", 4) if best else ("t4r-dot", 2.6)
    return f'<circle class="{kind}" data-trial="{trial}" cx="{x:.1f}" cy="{y:.1f}" r="{size}"><title>{escape(words)}</title></circle>'
