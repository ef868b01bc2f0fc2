"""Labels of a part of the data: checked before training, predicted by a model, judged by the metrics of their kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import OnReport, Progress, silent
from t4r_lab.data.sessions.arrays import SLAB
from t4r_lab.families.metrics.metric_table import metrics_of
from t4r_lab.families.metrics.shared.metric_row import LabelKind
from t4r_lab.schema.columns import UNKNOWN, Schema
from t4r_lab.spec import LABEL_METRICS, RunSpec
from t4r_lab.training.assembly import label_column, label_level

if TYPE_CHECKING:
    from t4r_lab.data.sessions.arrays import Sessions
    from t4r_lab.nn.heads.model import Model

BATCH = 256


@dataclass(frozen=True)
class Labels:
    """The cases of one label: session row, position of the event in it (N,), label (N,) and prediction.

    `prediction` is the probability of yes or a number, (N,), or the probability of each class, (N, C). Cases
    without a label aren't here. Classes count from 0.
    """

    name: str
    kind: LabelKind
    names: tuple[str, ...]
    """the metrics that are wanted"""
    session: NDArray[np.int64]
    position: NDArray[np.int64]
    label: NDArray[np.float64]
    prediction: NDArray[np.float64]

    def metrics(self) -> dict[str, float]:
        """Such as ``{"purchase/auc": …}``; empty where no case has a label."""
        return {f"{self.name}/{metric}": self.metric(metric) for metric in self.names if len(self.label)}

    def metric(self, name: str, weight: NDArray[np.float64] | None = None) -> float:
        """One metric, each case with a weight, (N,)."""
        weight = np.ones(len(self.label)) if weight is None else weight
        return float(metrics_of(self.kind)[name].compute(self.label, self.prediction, weight))

    def frame(self) -> pl.DataFrame:
        """One row per case: session, position, label and prediction."""
        columns = {"session": self.session, "position": self.position, "label": self.label}
        return pl.DataFrame({**columns, "prediction": self.prediction})


def as_labels(values: NDArray[Any]) -> NDArray[np.float64]:
    """Stored values as numbers, classes from 0; NaN where there is no label."""
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    return np.where(values > UNKNOWN, values - UNKNOWN - 1.0, np.nan)


def check_labels(spec: RunSpec, sessions: Sessions, part: str) -> None:
    """Refuse labels of a part that can't be trained on or judged, before anything is built.

    Raises
    ------
    InputError
        if a label is missing everywhere, of one class only, or not 0 or 1 where it should be.
    """
    for path, head in spec.model.labels_by_path.items():
        low, high, whole = _extent(_column(sessions, head.column))
        where = f"{path}.column: label {head.column!r}"
        if low > high:
            raise InputError("", f"{where} is missing in every session of the part {part}", "take another column")
        if refusal := head.values_refusal(low, high, whole):
            problem, remedy = refusal
            raise InputError("", f"{where} {problem}", remedy)
        if head.needs_classes and low == high and part != "valid":
            raise InputError("", f"{where} has one class only in the part {part}", "take another column")


def _extent(stored: NDArray[Any]) -> tuple[float, float, bool]:
    """The smallest and the largest label, the smaller one above where there is none, and whether all are whole.

    A slab at a time, as each trial of a study asks it of data that may outgrow memory.
    """
    low, high, whole = np.inf, -np.inf, True
    for start in range(0, len(stored), SLAB):
        found = as_labels(stored[start : start + SLAB])
        low, high = np.fmin.reduce(found, initial=low), np.fmax.reduce(found, initial=high)
        whole = whole and bool(((found == np.rint(found)) | np.isnan(found)).all())
    return float(low), float(high), whole


def check_split(spec: RunSpec, schema: Schema, split: str) -> None:
    """Refuse labels of whole sessions where a session is in every part: what is asked was learned in training.

    Raises
    ------
    InputError
        for leave-one-out data, whose sessions have the same label in training, validation and test.
    """
    for path, head in spec.model.labels_by_path.items() if split == "leave_one_out" else ():
        if label_column(head, schema, path).scope == "session":
            raise _known_before(head.column).at(f"{path}.column")


def _known_before(label: str) -> InputError:
    """Why a label of whole sessions is refused where each session is in every part."""
    return InputError(
        "",
        f"label {label!r} is of the whole session, and leave-one-out puts each of them with its label into training, "
        "validation and test",
        "prepare with --split time, or use a label of events",
    )


def check_tasks(model: Model, sessions: Sessions, part: str, split: str) -> None:
    """Refuse label tasks that the data of a part doesn't have, has more classes for, or that `split` gives away.

    Raises
    ------
    InputError
        as said; of a model built from a spec the schema has said so before.
    """
    for task in (task for head in model.heads for task in head.labels):
        if task.name not in sessions.context and task.name not in sessions.values:
            raise InputError(
                "", f"label {task.name!r} is no column of the data", f"prepare them with --targets {task.name}"
            )
        if split == "leave_one_out" and task.name in sessions.context:
            raise _known_before(task.name)
        if not task.answer.classes:
            continue
        found = as_labels(_column(sessions, task.name))
        found = found[~np.isnan(found)]
        low, high = int(found.min(initial=0)), int(found.max(initial=0))
        if low < 0 or high >= task.answer.width:
            raise InputError(
                "",
                f"label {task.name!r} has classes {low} to {high} in the part {part}, but its task has "
                f"{task.answer.width}, from 0",
                f"give the task classes={high + 1 - min(low, 0)}",
            )


def evaluate_labels(
    model: Model,
    sessions: Sessions,
    spec: RunSpec,
    on_report: OnReport = silent,
    share: tuple[int, int] = (0, 1),
    gather: Callable[[list[Any]], list[Any]] = list,
) -> dict[str, Labels]:
    """The cases of every label task of `model` on `sessions`, exactly as inference would predict them.

    Of several processes, `share` is (number of this one, how many), and `gather` joins what all have found.
    """
    import torch

    with torch.inference_mode():
        parts = gather(list(_predict(model.eval(), sessions, spec, on_report, *share)))
    labels = {}
    for task in (task for head in model.heads for task in head.labels):
        found = [part for name, *part in parts if name == task.name] or [_nothing(task.answer)]
        row, position, prediction = (np.concatenate(p) for p in zip(*found, strict=True))
        label = _labels_at(sessions, task.name, row, position)
        order = np.lexsort((position, row))
        order = order[~np.isnan(label[order])]
        labels[task.name] = Labels(
            task.name, task.answer.kind, task.metrics, row[order], position[order], label[order], prediction[order]
        )
    return labels


def _column(sessions: Sessions, name: str) -> NDArray[Any]:
    """A label column as it is stored: one value for each session (S,), or for each event (N,)."""
    return sessions.context[name] if name in sessions.context else sessions.values[name]


def _labels_at(
    sessions: Sessions, name: str, row: NDArray[np.int64], position: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The labels of the events at `position` of the sessions in `row`, (N,)."""
    return as_labels(_column(sessions, name)[row if name in sessions.context else sessions.offsets[row] + position])


def _nothing(answer: Any) -> list[NDArray[Any]]:
    """No cases: where there are no sessions."""
    shape = (0, answer.classes) if answer.classes else (0,)
    return [np.empty(0, np.int64), np.empty(0, np.int64), np.empty(shape)]


def _predict(
    model: Model, sessions: Sessions, spec: RunSpec, on_report: OnReport, rank: int, world: int
) -> Iterator[tuple[Any, ...]]:
    """Task, session rows, positions and predictions of one batch after the other."""
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


def constant(spec: RunSpec, schema: Schema, fitted: Sessions, sessions: Sessions) -> dict[str, Labels]:
    """The baseline of labels: every case of `sessions` gets the mean of the `fitted` ones, each class its share."""
    from t4r_lab.nn.batches import label_windows

    found = {}
    for path, head in spec.model.labels_by_path.items():
        column = label_column(head, schema, path)
        cases = label_windows(sessions, 1, label_level(head, column), spec.evaluation.positions, causal=False)
        row, position = cases.row, cases.stop - 1
        label = _labels_at(sessions, head.column, row, position)
        order = np.lexsort((position, row))
        order = order[~np.isnan(label[order])]
        known = as_labels(_column(fitted, head.column))
        known = known[~np.isnan(known)]
        guess = head.constant(known, column.classes)
        prediction = np.broadcast_to(guess, (len(order), *guess.shape))
        found[head.column] = Labels(
            head.column, head.kind, LABEL_METRICS[head.kind], row[order], position[order], label[order], prediction
        )
    return found
