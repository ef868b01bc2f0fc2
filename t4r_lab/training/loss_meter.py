"""The training loss of an epoch: sums by task, which stay on the device until a report reads them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from t4r_lab.training.checkpoint import State

if TYPE_CHECKING:
    from accelerate import Accelerator

REPORT_EVERY = 0.2
"""Seconds between two progress reports."""


class Diverged(RuntimeError):
    """The loss is no longer a number."""


class LossMeter:
    """Sums of losses and targets of one epoch by task, and the sessions without any target.

    Parameters
    ----------
    state: the sums of the epoch so far, if it is resumed.
    weights: weight of each task in the loss.
    """

    def __init__(self, state: State, weights: Mapping[str, float], device: torch.device) -> None:
        self.weights, self.skipped = weights, state.skipped
        self._reported = -math.inf  # the first step is reported at once
        exact = torch.float64 if device.type == "cpu" else torch.float32
        self.totals = {
            n: torch.tensor(state.loss_sum.get(n, 0.0), dtype=torch.float64).to(device, exact) for n in weights
        }
        self.counts = {name: state.loss_count.get(name, 0) for name in weights}

    def add(self, sums: Mapping[str, tuple[Tensor, int]], sessions: int) -> None:
        """Add the sums of a step on a number of `sessions`, which count as skipped if it had no target."""
        for name, (total, count) in sums.items():
            self.totals[name] += total
            self.counts[name] += count
        self.skipped += 0 if any(count for _, count in sums.values()) else sessions

    def join(self, accelerator: Accelerator) -> None:
        """Add the sums of the other processes."""
        if accelerator.num_processes > 1:
            for name, total in self.totals.items():
                joined = accelerator.reduce(torch.stack([total, total.new_tensor(self.counts[name])]), "sum")
                self.totals[name], self.counts[name] = joined[0], int(joined[1])
            skipped = torch.tensor(self.skipped, device=accelerator.device)
            self.skipped = int(accelerator.reduce(skipped, "sum"))

    def losses(self) -> dict[str, float]:
        """Mean loss of each task."""
        return {name: float(total) / max(self.counts[name], 1) for name, total in self.totals.items()}

    def mean(self) -> float:
        """Weighted sum of the tasks' losses.

        Raises
        ------
        Diverged
            if it is not finite.
        """
        value = sum(self.weights[name] * loss for name, loss in self.losses().items())
        if not math.isfinite(value):
            raise Diverged("the training loss is not finite; lower train.learning_rate, or set train.clip_norm")
        return value

    def due(self) -> bool:
        """True if the last report is older than `REPORT_EVERY` seconds; then the clock restarts."""
        if time.monotonic() - self._reported < REPORT_EVERY:
            return False
        self._reported = time.monotonic()
        return True

    def save(self, state: State, accelerator: Accelerator) -> None:
        """Write the sums of all processes into `state`, from which the main process resumes."""
        joined = copy(self)
        joined.totals, joined.counts = dict(self.totals), dict(self.counts)
        joined.join(accelerator)
        state.loss_sum = {name: float(total) for name, total in joined.totals.items()}
        state.loss_count, state.skipped = joined.counts, joined.skipped
