"""Evaluation and scoring: a model reads sessions as in inference, and every target is ranked among all items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from t4r_lab.base.reports import OnReport, Progress, silent
from t4r_lab.nn.batches import (
    EVALUATION_BATCH,
    Windows,
    evaluation_batches,
    evaluation_windows,
    inference_length,
    make_batch,
    seen_items,
    whole_windows,
)
from t4r_lab.nn.heads.replaced_items import DISCRIMINATOR
from t4r_lab.nn.kernels.fast_types import quick_float32
from t4r_lab.nn.kernels.linear_cross_entropy import rows_per_chunk
from t4r_lab.nn.metrics.ranking import Ranks, ranks, without_seen
from t4r_lab.spec import NEXT_ITEM, EvaluationSpec, RunSpec
from t4r_lab.training.label_evaluation import Labels, evaluate_labels

if TYPE_CHECKING:
    from accelerate import Accelerator

    from t4r_lab.data.sessions.arrays import Sessions
    from t4r_lab.nn.heads.model import Model
    from t4r_lab.nn.layers.flow import Batch

Watch = Callable[[Tensor, Tensor, Tensor | None], None]
"""Function of each chunk of scores (N, I), its targets (N,) and the seen items (N, K) or None; changes none of them."""


def evaluate_tasks(
    model: Model,
    sessions: Sessions,
    spec: RunSpec,
    on_report: OnReport = silent,
    accelerator: Accelerator | None = None,
    watch: Watch | None = None,
) -> tuple[Ranks | None, dict[str, Labels]]:
    """Evaluate every task of `model`: the next item by `evaluate`, labels by `evaluate_labels`."""
    ranks = evaluate(model, sessions, spec, on_report, accelerator, watch) if model.predicts_items else None
    if set(model.weights) <= {NEXT_ITEM, DISCRIMINATOR}:
        return ranks, {}
    if accelerator is None or accelerator.num_processes == 1:
        return ranks, evaluate_labels(model, sessions, spec, on_report)
    from accelerate.utils import gather_object

    share = accelerator.process_index, accelerator.num_processes
    return ranks, evaluate_labels(model, sessions, spec, on_report, share, gather_object)


def task_metrics(ranks: Ranks | None, labels: Mapping[str, Labels]) -> dict[str, float]:
    """Metric → value, such as ``{"ndcg@10": …, "purchase/auc": …}``."""
    metrics = ranks.metrics() if ranks else {}
    return metrics | {name: value for cases in labels.values() for name, value in cases.metrics().items()}


@torch.inference_mode()
def evaluate(
    model: Model,
    sessions: Sessions,
    spec: RunSpec,
    on_report: OnReport = silent,
    accelerator: Accelerator | None = None,
    watch: Watch | None = None,
) -> Ranks:
    """Rank every target of `sessions` among all items, given the events before it.

    This is inference on each prefix with full ranking; ties count half. Each of several processes evaluates its share,
    and all return the whole. `watch` receives the scores that the ranks are computed from.
    """
    model.eval()
    device = next(model.parameters()).device
    windows = case_windows(model, sessions, spec)
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    parts, done = [], 0
    for index, chunk in enumerate(evaluation_batches(windows, EVALUATION_BATCH)):
        done += len(chunk)
        if index % world == rank:
            parts.append(_rank_chunk(model, sessions, chunk, spec.evaluation, device, watch))
            on_report(Progress("evaluating", done, len(windows), "sessions"))
    if world > 1:
        from accelerate.utils import gather_object

        parts = gather_object(parts)
    return Ranks.gather(parts, spec.evaluation.cutoffs, spec.evaluation.rank_metrics)


def case_windows(model: Model, sessions: Sessions, spec: RunSpec) -> Windows:
    """The windows in which the model reads the cases of `sessions`."""
    longest = inference_length(model.masking, spec.data.max_length)
    return evaluation_windows(sessions, longest, spec.evaluation.positions, model.masking.causal)


def _read_chunk(
    model: Model, sessions: Sessions, chunk: Windows, device: torch.device
) -> tuple[Tensor, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Body output (N, D), session row, position and target of every case of the windows."""
    batch = make_batch(sessions, chunk, model.main.body.inputs.item).to(device)
    start = torch.from_numpy(chunk.read).to(device) if model.masking.causal else None
    queries = model.read(batch, start)
    row, position = chunk.cases()
    position = position + 1  # of the target, which comes after what is read
    target = sessions.values["item_id"][sessions.offsets[row] + position].astype(np.int64)
    return queries, row, position, target


def _rank_chunk(
    model: Model,
    sessions: Sessions,
    chunk: Windows,
    evaluation: EvaluationSpec,
    device: torch.device,
    watch: Watch | None,
) -> tuple[NDArray[Any], ...]:
    queries, row, position, target = _read_chunk(model, sessions, chunk, device)
    labels, chunk_ranks = torch.from_numpy(target).to(device), []
    size = rows_per_chunk(model.next_item.candidates.shape[0])
    for start in range(0, len(queries), size):
        part, seen = slice(start, start + size), None
        if evaluation.filter_seen:
            seen = seen_items(sessions, row[part], position[part]).to(device)
        chunk_ranks.append(_ranks(model, queries[part], labels[part], seen, watch))
    return row, position, target, torch.cat(chunk_ranks).cpu().numpy()


def _ranks(model: Model, queries: Tensor, labels: Tensor, seen: Tensor | None, watch: Watch | None) -> Tensor:
    """Ranks of some cases, (N,).

    Their scores are freed on return, so that those of the next cases reuse the memory: the page faults of new memory
    take twice as long as the product itself.
    """
    with quick_float32():
        scores = model.next_item.scores(queries)
    if watch:
        watch(scores, labels, seen)
    return ranks(scores, labels, seen)


@torch.no_grad()
def fit_temperature(model: Model, sessions: Sessions, spec: RunSpec) -> float:
    """Fit the temperature of the model's scores to the targets of `sessions`; the order of the items is unchanged.

    Needs memory for the body's output of every case, (N, D), not for their scores.
    """
    model.eval()
    device = next(model.parameters()).device
    chunks = evaluation_batches(case_windows(model, sessions, spec), EVALUATION_BATCH)
    outputs = [_read_chunk(model, sessions, chunk, device) for chunk in chunks]
    if not outputs:
        return 1.0
    labels = torch.from_numpy(np.concatenate([target for *_, target in outputs])).to(device)
    return model.next_item.fit_temperature(torch.cat([queries for queries, *_ in outputs]), labels)


@torch.inference_mode()
def score(
    model: Model, sessions: Sessions, spec: RunSpec, k: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]]:
    """The k best next items after each whole session, a batch at a time.

    Yields (row of the session (b,), item ids (b, k), scores (b, k), probabilities (b, k)); sessions without
    events are left out. Probabilities are over all items, whether seen ones are filtered or not.
    """
    model.eval()
    device = next(model.parameters()).device
    windows = whole_windows(sessions, inference_length(model.masking, spec.data.max_length))
    windows = windows.take(np.flatnonzero(windows.stop > 0))
    size = min(EVALUATION_BATCH, rows_per_chunk(model.next_item.candidates.shape[0]))
    for chunk in evaluation_batches(windows, size):
        batch = make_batch(sessions, chunk, model.main.body.inputs.item).to(device)
        seen = seen_items(sessions, chunk.row, chunk.stop).to(device) if spec.evaluation.filter_seen else None
        items, best, shares = _best(model, batch, seen, k)
        yield chunk.row, items.cpu().numpy(), best.cpu().numpy(), shares.cpu().numpy()


def _best(model: Model, batch: Batch, seen: Tensor | None, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Item ids, scores and probabilities of the k best, (b, k) each; as in `_ranks`, all scores are freed on return."""
    scores = model.score(batch).float()
    norm = scores.logsumexp(1, keepdim=True)
    if seen is not None:
        scores = without_seen(scores, seen)
    top = scores.topk(min(k, scores.shape[1]), dim=1)
    return top.indices + 1, top.values, (top.values - norm).exp()
