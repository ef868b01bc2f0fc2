"""The one door: a spec is held against its data and this machine before anything is made of it.

Whoever works on a spec, to train, tune, finalize, estimate, launch or judge it, opens it here first, so that each
refusal stands once and has the same words everywhere. Nothing is written, and torch isn't imported, until it is open.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from t4r_lab.base.errors import InputError
from t4r_lab.spec import RunSpec
from t4r_lab.training import assembly as build

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from t4r_lab.data.prepared.dataset import Dataset
    from t4r_lab.data.sessions.arrays import Sessions
    from t4r_lab.nn.heads.model import Model


@dataclass(frozen=True)
class Experiment:
    """A spec that can be trained and judged, with the data and vectors that it names. Use `Experiment.open`."""

    spec: RunSpec
    dataset: Dataset
    vectors: Mapping[str, Any] = field(repr=False)
    """(size, W) by feature, as `data.vectors.read_vectors` gives them"""

    @classmethod
    def open(cls, spec: RunSpec, dataset: Dataset | None = None) -> Self:
        """Refuse whatever is in the way of training `spec`; a `dataset` that is open already is its data.

        Raises
        ------
        InputError
            for data that are missing or damaged, features, labels, vectors and sessions that can't be used, and what
            this machine can't compute.
        """
        from t4r_lab.data.prepared.vectors import read_all_vectors
        from t4r_lab.data.sessions.arrays import check_sessions

        dataset = dataset or open_data(spec)
        build.check(spec, dataset.schema)
        _check_machine(spec)
        fitted = dataset.part(spec.train.fit_on)
        check_sessions(fitted, spec.data.path, 2 if spec.model.next_item else 1)
        check_labels(spec, dataset)
        return cls(spec, dataset, read_all_vectors(spec.model, dataset.vocabulary))

    @property
    def fitted(self) -> Sessions:
        """The sessions that are trained on."""
        return self.dataset.part(self.spec.train.fit_on)

    @cached_property
    def counts(self) -> NDArray[Any]:
        """Events of each item in training, (I,)."""
        return self.fitted.item_counts(self.dataset.schema.n_items)

    def build(self) -> Model:
        """The model before training, its weights drawn from ``train.seed``."""
        dataset = self.dataset
        return build.build(self.spec, dataset.schema, dataset.item_table(), self.vectors, self.counts)


def open_data(spec: RunSpec, digest: str = "", owner: str = "") -> Dataset:
    """The data of `spec`; with a `digest`, refused unless it is theirs, as those of `owner` (``of study s``) have it.

    Raises
    ------
    InputError
        if they are missing, damaged, or others than they were.
    """
    from t4r_lab.data.prepared.dataset import Dataset

    dataset = Dataset.open(spec.data.path)
    if digest and dataset.digest != digest:
        raise InputError(f"{spec.data.path}: not the data {owner}; prepare them as they were then")
    return dataset


def check_labels(spec: RunSpec, dataset: Dataset) -> None:
    """Refuse labels that can't be learned from or judged.

    Raises
    ------
    InputError
        for those of whole sessions where a session is in every part, and those that `labels.check_labels` refuses.
    """
    if not spec.model.labels:
        return
    from t4r_lab.training import labels

    labels.check_split(spec, dataset.schema, dataset.split)
    for part in (spec.train.fit_on, *(["valid"] if spec.train.fit_on == "train" else [])):
        labels.check_labels(spec, dataset.part(part), part)


def _check_machine(spec: RunSpec) -> None:
    """Refuse a precision or several processes where they can't compute this."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if spec.train.precision != "float16" and processes == 1:
        return  # torch, which takes a second to import, isn't asked
    from t4r_lab.training.accelerator import check_precision, check_processes

    check_precision(spec.train)
    check_processes([body.kind for body in spec.model.bodies], processes)
