"""What a study tried, to look into: an objective and two knobs are chosen, the figures follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets as w
import traitlets as tr

from t4r_lab.lab.panels.tune.study_figures import searched
from t4r_lab.lab.panels.tune.study_list import StudyState
from t4r_lab.lab.parts.figures import Drawn, Plot, unique_labels
from t4r_lab.lab.parts.section import Section
from t4r_lab.lab.parts.text import message

ORDER = ("slices", "contour", "parallel")
TOO_FEW = "No trial has finished yet."


class StudyExplorer(w.VBox):
    """A folded section under the trials; `on_choose` is called where other figures are wanted, also when it is opened."""

    state = tr.Instance(StudyState, allow_none=True)
    drawn: tr.Dict[str, Drawn] = tr.Dict()

    def __init__(self, on_choose: Callable[[], None]) -> None:
        self.section = Section("What was tried")
        self.section.summary = "slices, a contour of two knobs, parallel coordinates"
        style, layout = {"description_width": "initial"}, {"width": "16rem"}
        self.objective, self.across, self.up = (
            w.Dropdown(description=words, options=[], style=style, layout=layout, tooltip=tip)
            for words, tip in (
                ("objective", "the metric that the figures show"),
                ("across", "the knob along the contour's width"),
                ("up", "the knob along its height"),
            )
        )
        self._message, self._plots = w.HTML(), w.VBox()
        self._plots.add_class("t4r-plots")
        bar = w.HBox([self.objective, self.across, self.up])
        bar.add_class("t4r-actions-bar")
        self.section.fields.children = [bar, self._message, self._plots]
        self.plots: dict[str, Plot] = {}
        self._filling = False
        super().__init__([self.section])
        for choice in (self.objective, self.across, self.up):
            choice.observe(lambda _: None if self._filling else on_choose(), "value")
        self.section.observe(lambda _: on_choose(), "opened")

    @property
    def pair(self) -> tuple[str, str] | None:
        """The two knobs of the contour; None where fewer are searched."""
        both = self.across.value, self.up.value
        return both if all(both) and both[0] != both[1] else None

    @tr.observe("state")
    def _offer(self, change: tr.Bunch) -> None:
        """Offer what the study has, and keep what was chosen where it is still offered."""
        state = self.state
        objectives = list(state.objectives) if state else []
        objective = self.objective.value if self.objective.value in objectives else (objectives or [""])[0]
        paths = searched(state, objective) if state else []
        names = unique_labels(paths)
        self._filling = True
        try:
            self.objective.options, self.objective.value = objectives, objective or None
            for choice, first in ((self.across, 0), (self.up, 1)):
                kept = choice.value
                if [path for _, path in choice.options] != paths:
                    choice.options = [(names[path], path) for path in paths]
                choice.value = kept if kept in paths else (paths[first] if len(paths) > first else None)
        finally:
            self._filling = False

    @tr.observe("drawn")
    def _draw(self, change: tr.Bunch) -> None:
        drawn: Mapping[str, Drawn] = self.drawn
        for name in drawn:
            if name not in self.plots:
                self.plots[name] = Plot()
                self.plots[name].add_class("t4r-wide")
            self.plots[name].show(drawn[name])
        self._message.value = message("empty", "" if drawn else TOO_FEW)
        self._plots.children = [self.plots[name] for name in ORDER if name in drawn]
