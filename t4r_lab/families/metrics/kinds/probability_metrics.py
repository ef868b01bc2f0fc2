"""Metrics of the next-item probabilities, from sums over cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from t4r_lab.families.metrics.shared.metric_row import Metric

if TYPE_CHECKING:
    from torch import Tensor


class ProbabilitySums(Protocol):
    """Sums over cases, as `t4r_lab.nn.metrics.calibration.Calibration` has them."""

    bins: Tensor
    """(3, bins) of the confidence: cases, confidence, hits"""
    nll: float
    brier: float

    @property
    def cases(self) -> float:
        """Number of cases, at least 1."""


def _ece(sums: ProbabilitySums) -> float:
    _, confidence, hits = sums.bins
    return float((hits - confidence).abs().sum()) / sums.cases


def _brier(sums: ProbabilitySums) -> float:
    return sums.brier / sums.cases


def _nll(sums: ProbabilitySums) -> float:
    return sums.nll / sums.cases


ECE = "Σ over bins of (cases / N)·|share of hits - mean confidence|"
METRICS = (
    Metric("ece", "probabilities", ECE, _ece, "lower"),
    Metric("brier", "probabilities", "mean Σ_j (p_j - 1[j is the target])²", _brier, "lower"),
    Metric("nll", "probabilities", "mean -log p of the target", _nll, "lower"),
)
