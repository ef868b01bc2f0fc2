"""Calibration of the next-item distribution, summed over chunks of scores: ECE, Brier score, NLL, reliability."""

from __future__ import annotations

import torch
from torch import Tensor

from t4r_lab.families.metrics.metric_table import metrics_of

BINS = 15
"""Bins of equal width over the confidence, as in Guo et al. (2017)."""


class Calibration:
    """Sums over cases for calibration metrics; `add` takes a chunk of scores at a time.

    With p = softmax(scores) over all items, y the target and ŷ the top item: NLL is the mean of -log p_y, the Brier
    score the mean of Σ_j (p_j - 1[j = y])² = Σ p² - 2 p_y + 1, and the expected calibration error the
    mean over bins of p_ŷ, weighted by their cases, of |share of hits - mean confidence|.
    """

    def __init__(self, bins: int = BINS) -> None:
        self.bins = torch.zeros(3, bins, dtype=torch.float64)  # cases, confidence, hits
        self.nll = self.brier = 0.0

    def add(self, scores: Tensor, targets: Tensor) -> None:
        """`scores` (N, I) of all items, none left out; `targets` (N,) item ids."""
        norm = scores.logsumexp(1, keepdim=True)
        probability = (scores - norm).exp_()
        log_target = scores.gather(1, targets[:, None] - 1) - norm
        self.nll -= float(log_target.double().sum())
        squares = torch.linalg.vector_norm(probability, dim=1).square()  # Σ p², without another array of that size
        self.brier += float((squares - 2 * log_target[:, 0].exp() + 1).double().sum())
        confidence, top = (part.cpu() for part in probability.max(1))
        bins = self.bins.shape[1]
        index = (confidence * bins).long().clamp(max=bins - 1)
        hit = (top + 1 == targets.cpu()).double()
        self.bins.index_add_(1, index, torch.stack([torch.ones_like(hit), confidence.double(), hit]))

    @property
    def cases(self) -> float:
        """Number of cases, at least 1."""
        return max(float(self.bins[0].sum()), 1.0)

    def metrics(self) -> dict[str, float]:
        """Each metric of probabilities, such as ``ece``."""
        return {name: row.compute(self) for name, row in metrics_of("probabilities").items()}

    def curve(self) -> list[dict[str, float]]:
        """The reliability curve: mean confidence, share of hits and cases of each bin that has any."""
        cases, confidence, hits = self.bins
        filled = cases > 0
        columns = (cases[filled], confidence[filled] / cases[filled], hits[filled] / cases[filled])
        return [
            {"confidence": float(c), "accuracy": float(a), "cases": int(n)} for n, c, a in zip(*columns, strict=True)
        ]


def fit_temperature(queries: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, rows: int, steps: int = 20) -> float:
    """The temperature that minimizes the NLL of softmax((h·Wᵀ + b) / τ) (Guo et al., 2017).

    Newton's method in β = 1/τ, in which the NLL is convex: its slope is E_p[s] - s_y and its curvature Var_p[s],
    each summed over chunks of `rows`. β is kept within a factor of 4 a step.

    Parameters
    ----------
    queries: (N, D). weight: (I, D). bias: (I,). labels: (N,) classes 0..I-1.
    """
    beta = 1.0
    for _ in range(steps):
        slope = curvature = 0.0
        for start in range(0, len(queries), rows):
            scores = torch.addmm(bias, queries[start : start + rows], weight.T)
            target_score = scores.gather(1, labels[start : start + rows, None])[:, 0]
            probability = torch.softmax(scores * beta, 1)
            mean = (probability * scores).sum(1)
            slope += float((mean - target_score).double().sum())
            curvature += float((probability * (scores - mean[:, None]).square()).sum(1).double().sum())
        step = slope / max(curvature, 1e-12)
        next_beta = min(max(beta - step, beta / 4), beta * 4)
        next_beta = min(max(next_beta, 1e-3), 1e3)
        if abs(next_beta - beta) < 1e-5 * beta:
            return 1 / next_beta
        beta = next_beta
    return 1 / beta
