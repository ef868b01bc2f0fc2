"""StudyOptions: what a study searches, by what it judges, and how long; the ``search:`` section of a spec file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError, did_you_mean, shortened
from t4r_lab.families.knobs import Part, knob
from t4r_lab.families.metrics.metric_table import lower_is_better, objectives_of
from t4r_lab.spec.domains import Domain, Range
from t4r_lab.spec.run_spec import RunSpec, explain, read_file, without_search
from t4r_lab.spec.space import search_space

DEFAULT_TRIALS = 30
MOST_OBJECTIVES = 3
BUDGET = ("trials", "minutes", "workers")
"""Options that may change when a study continues; the rest make its trials comparable."""


class StudyOptions(Part):
    """A search over specs."""

    presets: list[Literal["regularizers", "paper", "architecture"]] = Field(
        [],
        description="predefined sets of paths, searched over their default ranges: regularizers, paper, architecture",
    )
    space: dict[str, Range | None] = Field({}, description="paths to search; empty: over the knob's default range")
    objectives: list[str] = Field(
        [],
        description="metrics to optimize, up to three; empty: the one that the spec monitors",
        max_length=MOST_OBJECTIVES,
    )
    constraints: list[str] = Field([], description="conditions on the best trial, such as ece<=0.05 or parameters<=1e6")
    sampler: Literal["tpe", "gp", "qmc", "random", "grid"] = knob("tpe", "how the values of the next trial are chosen")
    pruner: Literal["median", "hyperband", "none"] = knob(
        "median", "how unpromising trials are stopped early; unused with several objectives"
    )
    seed: int | None = knob(None, "seed of the sampler; empty: one made of the study's name", low=0, high=2**31 - 1)
    trials: int | None = knob(
        None,
        f"total number of trials, including the starting spec; empty: {DEFAULT_TRIALS}, or unlimited with --minutes",
        low=1,
    )
    minutes: float | None = knob(None, "time limit: no trial starts after it, and running ones are stopped", low=0.01)
    workers: int = knob(1, "worker processes on this machine; 0: only follow those on other machines", low=0, high=256)

    @classmethod
    def parse(cls, content: object, source: str = "search") -> StudyOptions:
        """Check plain content.

        Raises
        ------
        InputError
            with the option, its value and a remedy.
        """
        if not isinstance(content, Mapping):
            raise InputError(source, "expected keys such as presets or space", "see `t4r-lab tune --help`")
        try:
            return cls.model_validate(dict(content))
        except ValidationError as error:
            raise explain(cls, content, error, source) from None

    @property
    def total_trials(self) -> int | None:
        """Trials in all; None for what the minutes allow."""
        return DEFAULT_TRIALS if self.trials is None and self.minutes is None else self.trials


@dataclass(frozen=True)
class Constraint:
    """A bound that a metric must keep."""

    text: str
    metric: str
    bound: float
    sign: int

    def excess(self, metrics: Mapping[str, float]) -> float:
        """Distance of the metric beyond the bound: 0 or less where it is kept."""
        return self.sign * (metrics[self.metric] - self.bound)


FIRST_PRUNED = {"median": 2, "hyperband": 1}
"""Pruner → the epoch after which it can end a trial."""


@dataclass(frozen=True)
class Plan:
    """A study, checked: the spec it starts from, its search space, objectives and constraints."""

    spec: RunSpec
    space: dict[str, Domain]
    objectives: tuple[str, ...]
    constraints: tuple[Constraint, ...]
    options: StudyOptions

    @classmethod
    def of(cls, spec: RunSpec, options: StudyOptions) -> Plan:
        """Check `options` against the spec that the study starts from.

        Raises
        ------
        InputError
            for whatever can't be searched or judged.
        """
        if spec.train.fit_on != "train":
            raise InputError("train.fit_on", "a study is evaluated on the validation part", "set it to train")
        constraints = tuple(_constraint(text) for text in options.constraints)
        objectives = tuple(options.objectives) or (spec.monitor,)
        computed = judged_metrics(spec)
        for name in (*objectives, *(c.metric for c in constraints)):
            if name not in computed:
                raise InputError(f"objective {shortened(name)}", "it is not computed", did_you_mean(name, computed))
        if len(set(objectives)) < len(objectives):
            raise InputError(f"objectives {', '.join(objectives)}", "each once", "remove the repeated one")
        if objectives[0] in spec.metrics:  # the best epoch of a trial is the best by what is sought
            spec = spec.override({"train.monitor": objectives[0]})
        return cls(spec, search_space(spec, list(options.presets), options.space), objectives, constraints, options)

    @property
    def prunes(self) -> bool:
        """True if trials can end early: by one objective that each epoch has."""
        return self.options.pruner != "none" and len(self.objectives) == 1 and self.objectives[0] in self.spec.metrics

    @property
    def epochs(self) -> tuple[int, int]:
        """The fewest and the most epochs of a trial that isn't stopped by hand."""
        train, searched = self.spec.train, self.space.get("train.epochs")
        set_epochs = [int(point) for point in searched.points()] if searched else [train.epochs]
        without_gain = [train.patience + 1] if train.patience is not None else []
        pruned = [FIRST_PRUNED[self.options.pruner]] if self.prunes else []
        return min([*set_epochs, *without_gain, *pruned]), max(set_epochs)

    @property
    def remarks(self) -> list[str]:
        """Remarks to the user before it starts."""
        remarks = []
        if self.options.pruner != "none" and not self.prunes:
            why = "of several objectives" if len(self.objectives) > 1 else f"since no epoch has {self.objectives[0]}"
            remarks.append(f"no trial is pruned, {why}")
        flat = self.spec.flat()
        outside = [path for path, domain in self.space.items() if path in flat and flat[path] not in domain]
        if outside:
            remarks.append(f"trial 0 starts outside the search at {', '.join(outside)}")
        return remarks

    @property
    def best_word(self) -> str:
        """The word for a trial that no other one beats."""
        return best_word(self.objectives)

    def lower(self, objective: str) -> bool:
        """True if a lower value of the objective is better."""
        return lower_is_better(objective)

    def comparable(self) -> Document:
        """Content that two plans must share so that their trials belong to one study."""
        spec = self.spec.to_dict()
        return {
            "space": {path: domain.words for path, domain in self.space.items()},
            "objectives": list(self.objectives),
            "constraints": [c.text for c in self.constraints],
            "sampler": self.options.sampler,
            "pruner": self.options.pruner,
            "spec": {**spec, "data": {**spec["data"], "path": ""}},
        }


def best_word(objectives: Sequence[str]) -> str:
    """The word for a trial of a study that no other one beats.

    >>> best_word(["ndcg@20"]), best_word(["ndcg@20", "ece"])
    ('best', 'on the front')
    """
    return "best" if len(objectives) < 2 else "on the front"


def judged_metrics(spec: RunSpec) -> list[str]:
    """Possible objectives: the metrics of each epoch and of the final evaluation, and the costs of the model."""
    if spec.model.next_item is None:
        return [*spec.metrics, *objectives_of("cost")]
    at_cutoffs = objectives_of("final ranks", "lists")
    lists = [f"{name}@{k}" for k in spec.evaluation.cutoffs for name in at_cutoffs]
    return [*spec.metrics, *lists, *objectives_of("probabilities", "cost")]


def time_words(shortest: float, longest: float, left: int | None, workers: int, minutes: float | None = None) -> str:
    """Duration of `left` trials of so many seconds each, or their number in `minutes` where `left` is None.

    >>> time_words(20, 20, 30, 2)
    '30 trials of about 20 s each: about 5 min with 2 workers'
    >>> time_words(8, 20, 30, 2)
    '30 trials of 8 to 20 s each: 2 to 5 min with 2 workers'
    >>> time_words(20, 20, 30, 2, 3)
    '30 trials of about 20 s each: about 5 min with 2 workers, but 3 min are given: about 18 trials'
    >>> time_words(8, 20, None, 1, 10)
    '8 to 20 s a trial: 30 to 75 trials in 10 min with 1 worker'
    >>> time_words(20, 200, 1, 1)
    '1 trial of 20 s to 3 min: 20 s to 3 min with 1 worker'
    """
    side_by_side = max(workers, 1)
    crew = f"{side_by_side} worker{'s' if side_by_side > 1 else ''}"
    each, given = _span(_time(shortest), _time(longest)), 60 * (minutes or 0) * side_by_side
    fewest, most = (int(given / max(seconds, 1e-9)) for seconds in (longest, shortest))
    if left is not None:
        most = min(most, left)
    within = f"{_span(f'{fewest:,}', f'{most:,}')} trials"
    if left is None:
        return f"{each} a trial: {within} in {minutes:g} min with {crew}"
    total = _span(*(_time(seconds * left / side_by_side) for seconds in (shortest, longest)))
    trials = f"{left} trials of {each} each" if left != 1 else f"1 trial of {each}"
    words = f"{trials}: {total} with {crew}"
    return f"{words}, but {minutes:g} min are given: {within}" if minutes is not None and fewest < left else words


def _span(low: str, high: str) -> str:
    """Two amounts as a range: ``8 to 20 s``, ``50 s to 3 min``, and ``about 20 s`` where they are alike."""
    if low == high:
        return f"about {low}"
    number, _, unit = low.partition(" ")
    return f"{number if high.endswith(f' {unit}') else low} to {high}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _constraint(text: str) -> Constraint:
    match = re.fullmatch(r"\s*([^\s<>=]+)\s*(<=|>=)\s*(\S+)\s*", text)
    try:
        if match is None:
            raise ValueError
        metric, comparison, bound = match[1], match[2], float(match[3])
    except ValueError:
        raise InputError(
            f"constraint {shortened(text)}",
            "not a bound of a metric",
            "write metric<=number or metric>=number, such as ece<=0.05",
        ) from None
    return Constraint(f"{metric}{comparison}{bound:g}", metric, bound, 1 if comparison == "<=" else -1)


def load_study(path: str | Path) -> tuple[RunSpec, Document]:
    """A spec file whose ``search:`` section, if there is one, stands apart as plain content of `StudyOptions`."""
    content = read_file(path)
    spec = RunSpec.parse(without_search(content), str(path))
    section = content.get("search") or {}
    StudyOptions.parse(section, f"{path}: search")
    return spec, dict(section)
