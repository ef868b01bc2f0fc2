"""The figures of a study as images: what they show is what the trials found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image  # comes along with matplotlib

from t4r_lab.families.knobs import labels
from t4r_lab.spec.study_options import Plan, StudyOptions
from t4r_lab.tuning import study_images
from t4r_lab.tuning.studies.study import Importance, Trial
from t4r_lab.tuning.study_images import FIGURES, StudyData, _figure
from tests.support.small import small_spec

KIND, HEADS, DROPOUT, DECAY = "model.body.kind", "model.body.n_head", "model.body.dropout", "train.weight_decay"
VALUES = [(0.3, 0.2), (0.2, 0.3), (0.5, 0.4), (0.4, 0.1), (0.6, 0.6), (0.1, 0.5)]
"""ndcg@5 and ece of each trial; no other beats 3, 2 and 4, of which 4 breaks the constraint."""


def trials(values: list[tuple[float, float]]) -> list[Trial]:
    finished = []
    for n, (ndcg, ece) in enumerate(values):
        params: dict[str, Any] = {KIND: "sasrec" if n % 2 else "gru", DROPOUT: 0.05 * n, DECAY: 1e-6 * 2**n}
        params |= {HEADS: 2} if n % 2 else {}
        epochs = [{"valid": {"ndcg@5": ndcg * share}} for share in (0.5, 1.0)]
        metrics = {"ndcg@5": ndcg, "ece": ece}
        finished.append(Trial(n, "finished", params, metrics, metrics, "", 1.0, 1e9, epochs, ece <= 0.5, n == 0))
    pruned = Trial(len(values), "pruned", {}, {}, {}, "worse", 1.0, 1e9, [{"valid": {"ndcg@5": 0.05}}], False)
    return [*finished, pruned]


def study(values: list[tuple[float, float]] = VALUES, importance: dict[str, float] | None = None) -> Any:
    options = StudyOptions.parse(
        {
            "space": {
                KIND: {"choices": ["gru", "sasrec"]},
                HEADS: {"choices": [1, 2]},
                DROPOUT: {"low": 0.1, "high": 0.5},
                DECAY: None,
            },
            "objectives": ["ndcg@5", "ece"],
            "constraints": ["ece<=0.5"],
        }
    )
    plan, of_study = Plan.of(small_spec(Path("none"), model__body__kind="gru"), options), trials(values)
    front = [t for t in of_study if t.number in (3, 2)]
    return SimpleNamespace(
        plan=plan,
        name="s",
        trials=lambda: of_study,
        front=lambda: front,
        importance=lambda _: Importance(importance or {}),
    )


def seen(**changes: Any) -> StudyData:
    drawn = study(**changes)
    finished = [t for t in drawn.trials() if t.values]
    shares = {o: drawn.importance(o).shares for o in drawn.plan.objectives}
    return StudyData(drawn, drawn.trials(), finished, {2, 3}, shares, labels(drawn.plan.space))


def axes_of(name: str, view: StudyData) -> list[Axes]:
    panels, columns, size = FIGURES[name]
    return list(_figure(panels(view), columns, size).axes)


def dots(axes: Axes, label: str) -> set[tuple[float, float]]:
    (points,) = [c for c in axes.collections if c.get_label() == label]
    return {(round(float(x), 9), round(float(y), 9)) for x, y in np.asarray(points.get_offsets())}


def test_the_history_is_of_trials_that_keep_the_constraints() -> None:
    up, down = axes_of("history", seen())
    assert [line.get_ydata().tolist() for line in up.lines] == [[0.3, 0.3, 0.5, 0.5, 0.5, 0.5]]  # not the 0.6
    assert [line.get_ydata().tolist() for line in down.lines] == [[0.2, 0.2, 0.2, 0.1, 0.1, 0.1]]
    assert dots(up, "on the front") == {(2, 0.5), (3, 0.4)}
    assert dots(up, "starting spec") == {(0, 0.3)}
    assert dots(up, "breaks a constraint") == {(4, 0.6)}
    assert dots(up, "trial") == {(1, 0.2), (5, 0.1)}
    assert (up.get_ylabel(), down.get_ylabel()) == ("ndcg@5", "ece (less is better)")


def test_the_front_is_marked_and_numbered() -> None:
    (axes,) = axes_of("pareto_front", seen())
    assert dots(axes, "on the front") == {(0.4, 0.1), (0.5, 0.4)}
    assert axes.lines[0].get_xdata().tolist() == [0.4, 0.5]
    assert [text.get_text() for text in axes.texts] == ["3", "2"]


def test_a_slice_leaves_out_who_lacks_the_knob() -> None:
    view = seen(importance={HEADS: 0.7, DECAY: 0.3})
    heads, decay, *_ = axes_of("slice", view)
    assert dots(heads, "trial") == {(1, 0.2), (1, 0.1)}  # at the second choice; trials of a GRU have no heads
    assert dots(heads, "on the front") == {(1, 0.4)}
    assert [t.get_text() for t in heads.get_xticklabels()] == ["1", "2"]
    assert decay.get_xscale() == "log"
    assert (heads.get_xlabel(), decay.get_xlabel()) == ("n_head", "weight decay")


def test_importance_is_in_percent_most_first() -> None:
    axes, _ = axes_of("importance", seen(importance={DROPOUT: 0.75, DECAY: 0.25}))
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0.25]
    assert [t.get_text() for t in axes.texts] == ["75 %", "25 %"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["dropout", "weight decay"]


def test_curves_show_pruned_trials_too() -> None:
    (axes,) = axes_of("intermediate_values", seen())  # no epoch has an ece
    assert [line.get_ydata().tolist() for line in axes.lines] == [*([n / 2, n] for n, _ in VALUES), [0.05]]
    assert [line.get_label() for line in axes.lines].count("on the front") == 2
    assert axes.lines[-1].get_label() == "pruned"


def test_a_line_passes_each_axis_at_its_value() -> None:
    axes, _ = axes_of("parallel_coordinates", seen(importance={DROPOUT: 0.6, KIND: 0.4}))
    lines = sorted((line.get_ydata().tolist() for line in axes.lines if len(line.get_ydata()) == 3), key=lambda y: y[0])
    assert lines[0] == pytest.approx([0, (0.25 - 0.1) / 0.4, 1])  # trial 5: the worst, with dropout 0.25 and SASRec
    assert lines[-1] == pytest.approx([1, (0.2 - 0.1) / 0.4, 0])  # trial 4
    assert lines[2] == pytest.approx([0.4, 0, 0])  # trial 0 starts below the range


def test_a_contour_is_brightest_at_the_best() -> None:
    across, _ = (axes_of("contour", seen(importance={DROPOUT: 0.6, DECAY: 0.4}))[i] for i in (0, 1))
    filled = across.collections[0]
    low, high = filled.get_clim()
    assert high == 0.6
    assert low == pytest.approx(np.quantile([y for y, _ in VALUES], 0.1))


@pytest.mark.parametrize("values", [VALUES, VALUES[:1], VALUES[:2], [(0.5, 0.1)] * 6, []])
def test_files_are_written_as_far_as_there_is_something_to_show(
    values: list[tuple[float, float]], tmp_path: Path
) -> None:
    paths = study_images.draw(
        study(values, {DROPOUT: 0.6, DECAY: 0.4} if len(values) > 2 else None), tmp_path / "figures"
    )
    expected = set(FIGURES) if values else {"intermediate_values"}
    assert {path.stem for path in paths} == expected - (set() if len(values) > 2 else {"importance"})
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert min(image.size) > 300


def test_the_user_s_own_plots_are_left_alone(tmp_path: Path) -> None:
    code = """
import sys, matplotlib
from pathlib import Path
from tests.tuning.test_drawings import study
from t4r_lab.tuning import study_images
assert "matplotlib.pyplot" not in sys.modules
before = matplotlib.rcParams.copy()  # as a dict it would look for a backend
study_images.draw(study(), Path(sys.argv[1]) / "figures")
assert matplotlib.rcParams.copy() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=100)
