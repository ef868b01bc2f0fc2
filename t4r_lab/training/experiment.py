"""An experiment: a spec checked against its data and this machine, then built, fitted and evaluated.

Training, tuning, finalizing, estimating, launching and evaluating a spec all begin here, so that each refusal is
written once and reads the same everywhere. Opening writes nothing and imports no torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from t4r_lab.base import homes
from t4r_lab.base.errors import InputError, clipped, shortened
from t4r_lab.base.reports import OnReport, Report, silent
from t4r_lab.families.metrics.metric_table import check_metrics
from t4r_lab.spec import RunSpec
from t4r_lab.training import assembly

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from t4r_lab.data.prepared.prepared_data import Dataset
    from t4r_lab.data.sessions.arrays import Sessions
    from t4r_lab.nn.heads.model import Model
    from t4r_lab.training.judgment import Judged

LONGEST_NAME = 220
"""Characters of a path or a metric that can be recorded: MLflow's keys have 250, with part and baseline before it."""


@dataclass(frozen=True)
class Experiment:
    """A spec with its data, and the home where its runs are recorded.

    Use `Experiment.open` to train it, `Experiment.reopen` to evaluate a trained model of it.
    """

    spec: RunSpec
    dataset: Dataset
    home: Path

    @classmethod
    def open(cls, spec: RunSpec, dataset: Dataset | None = None, home: Path | None = None) -> Self:
        """Open the data of `spec`, unless `dataset` is given, and refuse a spec that can't be trained on them.

        Raises
        ------
        InputError
            for data that are missing or damaged, features, labels, metrics, vectors and sessions that can't be used,
            and precision or processes that this machine or the body doesn't support.
        """
        from t4r_lab.data.sessions.arrays import check_sessions

        experiment = cls(spec, dataset or open_data(spec), homes.locate(home))
        _check_names(spec)
        assembly.check(spec, experiment.dataset.schema)
        _check_machine(spec)
        check_sessions(experiment.fitted, spec.data.path, 2 if spec.model.next_item else 1)
        _check_labels(spec, experiment.dataset)
        _check_ranked(spec)
        _check_metrics(spec, experiment.dataset)
        _ = experiment.vectors  # raises if they can't be read
        return experiment

    @classmethod
    def reopen(cls, spec: RunSpec, dataset: Dataset, part: str, home: Path | None = None) -> Self:
        """Open an experiment to evaluate a trained model of `spec` on a part of its data.

        Raises
        ------
        InputError
            for a part that it was fitted on, and labels or metrics that can't be evaluated.
        """
        if part == "valid" and spec.train.fit_on != "train":
            raise InputError(
                f"run {spec.name}", "it was fitted on the validation part too", "evaluate it with --split test"
            )
        _check_labels(spec, dataset)
        _check_metrics(spec, dataset)
        return cls(spec, dataset, homes.locate(home))

    def with_spec(self, spec: RunSpec) -> Experiment:
        """The experiment of another spec on the same data, in the same home, opened as by `open`."""
        return Experiment.open(spec, self.dataset, self.home)

    @property
    def validates(self) -> bool:
        """True unless the model is fitted on the validation part too."""
        return self.spec.train.fit_on == "train"

    @property
    def fitted(self) -> Sessions:
        """The sessions of the part that the model is trained on."""
        return self.dataset.part(self.spec.train.fit_on)

    @cached_property
    def vectors(self) -> Mapping[str, NDArray[np.floating]]:
        """Pre-trained vectors, (size, W) by feature, as `data.prepared.vectors.read_vectors` returns them."""
        from t4r_lab.data.prepared.vectors import read_all_vectors

        return read_all_vectors(self.spec.model, self.dataset.vocabulary)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Events of each item in training, (I,)."""
        return self.fitted.item_counts(self.dataset.schema.n_items)

    def build(self) -> Model:
        """The model before training, its weights drawn from ``train.seed``."""
        dataset = self.dataset
        return assembly.build(self.spec, dataset.schema, dataset.item_table(), self.vectors, self.counts)

    def fit(
        self, model: Model, folder: Path, should_stop: Callable[[], bool] = lambda: False, resume: bool = False
    ) -> Iterator[Report]:
        """Train `model` with checkpoints in `folder`, as `trainer.fit` does."""
        from t4r_lab.training import trainer

        return trainer.fit(model, self.dataset, self.spec, folder, should_stop, resume)

    def fit_temperature(self, model: Model) -> float:
        """Fit the temperature of the model's scores to the targets of the validation part."""
        from t4r_lab.training import evaluation

        return evaluation.fit_temperature(model, self.dataset.part("valid"), self.spec)

    def judge(self, model: Model, part: str, on_report: OnReport = silent) -> Judged:
        """The evaluation of `model` on a part of the data, as `judgment.judge` returns it."""
        from t4r_lab.training import judgment

        return judgment.judge(model, self.dataset.part(part), self.spec, self.counts, on_report)

    def judge_baselines(self, part: str) -> dict[str, Judged]:
        """The evaluation of every baseline for the tasks of the spec, fitted on the same part as the model; by name."""
        from t4r_lab.training import judgment

        return judgment.judge_baselines(self.spec, self.dataset.schema, self.fitted, self.dataset.part(part))


def open_data(spec: RunSpec, digest: str = "", owner: str = "") -> Dataset:
    """The data of `spec`, refused if they lack the `digest`, unless empty, that `owner` (``of study s``) recorded.

    Raises
    ------
    InputError
        if they are missing, damaged or have changed.
    """
    from t4r_lab.data.prepared.prepared_data import Dataset

    dataset = Dataset.open(spec.data.path)
    if digest and dataset.digest != digest:
        raise InputError(spec.data.path, f"not the data {owner}", "prepare them as they were then")
    return dataset


def _check_names(spec: RunSpec) -> None:
    """Refuse a knob's path or a metric's name that is too long for the record."""
    for name in (*spec.flat(), *spec.metrics):
        if len(name) > LONGEST_NAME:
            problem = f"a name of {len(name)} characters, of which the record in MLflow holds {LONGEST_NAME}"
            raise InputError(clipped(name), problem, "shorten the name of the column, module, metric or knob")


def _check_ranked(spec: RunSpec) -> None:
    """Refuse metrics of ranks where nothing is ranked. A recorded run that has them can still be evaluated."""
    if spec.evaluation.metrics and not spec.model.next_item:
        problem = f"{shortened(spec.evaluation.metrics[0])} is computed from ranks of items, but no head predicts items"
        raise InputError("evaluation.metrics", problem, "add a head of kind next_item, or remove the metric")


def _check_labels(spec: RunSpec, dataset: Dataset) -> None:
    """Refuse labels that can't be trained on or evaluated.

    Raises
    ------
    InputError
        for labels of whole sessions if each session is in every part, and those that `check_labels` refuses.
    """
    if not spec.model.labels:
        return
    from t4r_lab.training import label_evaluation

    label_evaluation.check_split(spec, dataset.schema, dataset.split)
    for part in (spec.train.fit_on, *(["valid"] if spec.train.fit_on == "train" else []), "test"):
        label_evaluation.check_labels(spec, dataset.part(part), part)


def _check_metrics(spec: RunSpec, dataset: Dataset) -> None:
    """Refuse custom metrics that can't be computed, if there are ranks to compute them from."""
    if spec.model.next_item:
        check_metrics(spec.evaluation.metrics, spec.evaluation.cutoffs, dataset.schema.n_items)


def _check_machine(spec: RunSpec) -> None:
    """Refuse a precision that the device lacks, and a body that several processes can't train."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if spec.train.precision != "float16" and processes == 1:
        return  # saves the import of torch, a second
    from t4r_lab.training.accelerator import check_precision, check_processes

    check_precision(spec.train)
    check_processes([body.kind for body in spec.model.bodies], processes)
