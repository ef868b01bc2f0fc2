"""Labels of a part of the data: checks before training, predictions of a model, and their metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import PART_WORDS, OnReport, Progress, silent
from t4r_lab.data.sessions.arrays import SLAB
from t4r_lab.families.metrics.metric_table import metrics_of
from t4r_lab.families.metrics.shared.metric_row import LabelKind
from t4r_lab.schema.columns import UNKNOWN, Schema
from t4r_lab.spec import LABEL_METRICS, RunSpec
from t4r_lab.spec.head_specs import LABEL_HEADS, LabelSpec
from t4r_lab.training.assembly import label_column, label_level

if TYPE_CHECKING:
    from t4r_lab.data.prepared.prepared_data import Dataset
    from t4r_lab.data.sessions.arrays import Sessions
    from t4r_lab.nn.heads.model import Model
    from t4r_lab.nn.heads.tasks import LabelOutput, LabelTask

BATCH = 256


@dataclass(frozen=True)
class Labels:
    """The cases of one label: session row, position of the event in it (N,), label (N,) and prediction.

    `prediction` is the probability of yes or a number, (N,), or the probability of each class, (N, C). Cases
    without a label are left out. Classes count from 0.
    """

    name: str
    kind: LabelKind
    names: tuple[str, ...]
    """names of the metrics to compute"""
    session: NDArray[np.int64]
    position: NDArray[np.int64]
    label: NDArray[np.float64]
    prediction: NDArray[np.float64]

    def metrics(self) -> dict[str, float]:
        """Metric → value, such as ``{"purchase/auc": …}``; empty if no case has a label."""
        return {f"{self.name}/{metric}": self.metric(metric) for metric in self.names if len(self.label)}

    def metric(self, name: str, weight: NDArray[np.float64] | None = None) -> float:
        """One metric, with the weight of each case, (N,); all 1 by default."""
        weight = np.ones(len(self.label)) if weight is None else weight
        return float(metrics_of(self.kind)[name].compute(self.label, self.prediction, weight))

    def frame(self) -> pl.DataFrame:
        """One row per case: session, position, label and prediction."""
        columns = {"session": self.session, "position": self.position, "label": self.label}
        return pl.DataFrame({**columns, "prediction": self.prediction})


def as_labels(values: NDArray[np.number]) -> NDArray[np.float64]:
    """Stored values as numbers, classes from 0; NaN for a missing label."""
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    return np.where(values > UNKNOWN, values - UNKNOWN - 1.0, np.nan)


def check_labels(spec: RunSpec, sessions: Sessions, part: str) -> None:
    """Refuse labels of a part that can't be trained on or evaluated, before anything is built.

    Raises
    ------
    InputError
        if a label is not 0 or 1 where it should be, missing everywhere in a part but the test part, or of one class
        only in the part to train on.
    """
    for path, head in spec.model.labels_by_path.items():
        low, high, whole = _extent(_column(sessions, head.column))
        at, label = f"{path}.column", f"label {head.column!r}"
        if low > high and part != "test":
            raise InputError(
                at, f"{label} is missing in every session of the {PART_WORDS[part]}", "take another column"
            )
        if refusal := head.values_refusal(low, high, whole):
            problem, remedy = refusal
            raise InputError(at, f"{label} {problem}", remedy)
        if head.needs_classes and low == high and part not in ("valid", "test"):
            raise InputError(at, f"{label} has one class only in the {PART_WORDS[part]}", "take another column")


def heads_by_label(data: Dataset) -> dict[str, tuple[str, ...]]:
    """Label of the data → the kinds of head that can be trained on it and judged."""
    return {
        column.name: tuple(kind for kind, head in LABEL_HEADS.items() if _serves(data, head(column=column.name)))
        for column in data.schema.targets
    }


def _serves(data: Dataset, head: LabelSpec) -> bool:
    """True if nothing of the data refuses the head."""
    spec = RunSpec.parse({"data": {"path": str(data.path)}, "model": {"heads": [head.model_dump(mode="json")]}})
    try:
        label_column(head, data.schema, "")
        check_split(spec, data.schema, data.split)
        for part in ("train", "valid"):
            check_labels(spec, data.part(part), part)
    except InputError:
        return False
    return True


def _extent(stored: NDArray[np.number]) -> tuple[float, float, bool]:
    """The smallest label, the largest, and True if all are whole numbers; without labels, (inf, -inf, True).

    Read in slabs, since data may outgrow memory.
    """
    low, high, whole = np.inf, -np.inf, True
    for start in range(0, len(stored), SLAB):
        values = as_labels(stored[start : start + SLAB])
        low, high = np.fmin.reduce(values, initial=low), np.fmax.reduce(values, initial=high)
        whole = whole and bool(((values == np.rint(values)) | np.isnan(values)).all())
    return float(low), float(high), whole


def check_split(spec: RunSpec, schema: Schema, split: str) -> None:
    """Refuse labels of whole sessions if each session is in every part: the label was seen in training.

    Raises
    ------
    InputError
        for leave-one-out data, whose sessions have the same label in training, validation and test.
    """
    for path, head in spec.model.labels_by_path.items() if split == "leave_one_out" else ():
        if label_column(head, schema, path).scope == "session":
            raise _known_before(f"{path}.column", head.column)


def _known_before(path: str, label: str) -> InputError:
    """The refusal of a label of whole sessions, named at `path`, if each session is in every part."""
    return InputError(
        path,
        f"label {label!r} is of the whole session, and leave-one-out puts each of them with its label into training, "
        "validation and test",
        "prepare with --split time, or use a label of events",
    )


def check_tasks(model: Model, sessions: Sessions, part: str, split: str) -> None:
    """Refuse label tasks without a column in the data, with too few classes, or whose label `split` leaks.

    Raises
    ------
    InputError
        for each of these; a model built from a spec was checked against the schema before.
    """
    for task in (task for head in model.heads for task in head.labels):
        if task.name not in sessions.context and task.name not in sessions.values:
            raise InputError(
                "tasks", f"label {task.name!r} is not a column of the data", f"prepare them with --targets {task.name}"
            )
        if split == "leave_one_out" and task.name in sessions.context:
            raise _known_before("tasks", task.name)
        _check_values(task, _column(sessions, task.name))
        if not task.answer.classes:
            continue
        values = as_labels(_column(sessions, task.name))
        values = values[~np.isnan(values)]
        low, high = int(values.min(initial=0)), int(values.max(initial=0))
        if low < 0 or high >= task.answer.width:
            raise InputError(
                "classes",
                f"label {task.name!r} has classes {low} to {high} in the {PART_WORDS[part]}, but its task has "
                f"{task.answer.width}, from 0",
                f"give the task classes={high + 1 - min(low, 0)}",
            )


def _check_values(task: LabelTask, stored: NDArray[Any]) -> None:
    """Refuse labels that are not 0 or 1 where `task` needs them, whatever made the task."""
    if refusal := LABEL_HEADS[task.answer.kind](column=task.name).values_refusal(*_extent(stored)):
        raise InputError("tasks", f"label {task.name!r} {refusal[0]}", "use a categorical or a regression task")


def evaluate_labels(
    model: Model,
    sessions: Sessions,
    spec: RunSpec,
    on_report: OnReport = silent,
    share: tuple[int, int] = (0, 1),
    gather: Callable[[list[Any]], list[Any]] = list,
) -> dict[str, Labels]:
    """Label → cases of each label task of `model` on `sessions`, predicted as in inference.

    With several processes, `share` is (index of this process, number of processes), and `gather` joins their cases.
    """
    import torch

    with torch.inference_mode():
        parts = gather(list(_predict(model.eval(), sessions, spec, on_report, *share)))
    labels = {}
    for task in (task for head in model.heads for task in head.labels):
        cases = [part for name, *part in parts if name == task.name] or [_nothing(task.answer)]
        row, position, prediction = (np.concatenate(p) for p in zip(*cases, strict=True))
        label = _labels_at(sessions, task.name, row, position)
        order = np.lexsort((position, row))
        order = order[~np.isnan(label[order])]
        _check_values(task, label[order])
        labels[task.name] = Labels(
            task.name, task.answer.kind, task.metrics, row[order], position[order], label[order], prediction[order]
        )
    return labels


def _column(sessions: Sessions, name: str) -> NDArray[np.number]:
    """The stored values of a label column: one per session (S,), or one per event (N,)."""
    return sessions.context[name] if name in sessions.context else sessions.values[name]


def _labels_at(
    sessions: Sessions, name: str, row: NDArray[np.int64], position: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The labels of the events at `position` of the sessions in `row`, (N,)."""
    return as_labels(_column(sessions, name)[row if name in sessions.context else sessions.offsets[row] + position])


def _nothing(answer: LabelOutput) -> list[NDArray[Any]]:
    """Rows, positions and predictions of no case, for a part without sessions."""
    shape = (0, answer.classes) if answer.classes else (0,)
    return [np.empty(0, np.int64), np.empty(0, np.int64), np.empty(shape)]


def _predict(
    model: Model, sessions: Sessions, spec: RunSpec, on_report: OnReport, rank: int, world: int
) -> Iterator[tuple[Any, ...]]:
    """Yield task, session rows, positions and predictions of each batch."""
    import torch

    from t4r_lab.nn.batches import evaluation_batches, label_windows, make_batch

    device = next(model.parameters()).device
    for head in model.heads:
        for level in dict.fromkeys(task.level for task in head.labels):
            causal, longest = head.masking.causal, min(head.max_length, spec.data.max_length)
            windows, done = label_windows(sessions, longest, level, spec.evaluation.positions, causal), 0
            for index, chunk in enumerate(evaluation_batches(windows, BATCH)):
                done += len(chunk)
                if index % world != rank:
                    continue
                row, position = chunk.cases()
                batch = make_batch(sessions, chunk, head.body.inputs.item).to(device)
                for name, prediction in head.predict(batch, level, torch.from_numpy(chunk.read).to(device)).items():
                    yield name, row, position, prediction.double().cpu().numpy()
                on_report(Progress("evaluating labels", done, len(windows), "sessions"))


def constant_baseline(spec: RunSpec, schema: Schema, fitted: Sessions, sessions: Sessions) -> dict[str, Labels]:
    """The baseline of labels: predicts the mean of the `fitted` labels, or the share of each class, for every case."""
    from t4r_lab.nn.batches import label_windows

    labels = {}
    for path, head in spec.model.labels_by_path.items():
        column = label_column(head, schema, path)
        cases = label_windows(sessions, 1, label_level(head, column), spec.evaluation.positions, causal=False)
        row, position = cases.row, cases.stop - 1
        label = _labels_at(sessions, head.column, row, position)
        order = np.lexsort((position, row))
        order = order[~np.isnan(label[order])]
        fitted_labels = as_labels(_column(fitted, head.column))
        fitted_labels = fitted_labels[~np.isnan(fitted_labels)]
        mean = head.constant(fitted_labels, column.classes)
        prediction = np.broadcast_to(mean, (len(order), *mean.shape))
        labels[head.column] = Labels(
            head.column, head.kind, LABEL_METRICS[head.kind], row[order], position[order], label[order], prediction
        )
    return labels
