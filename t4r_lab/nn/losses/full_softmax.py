"""The loss of the next item over the whole catalog."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from t4r_lab.base.errors import InputError
from t4r_lab.nn.kernels.linear_cross_entropy import linear_cross_entropy


@dataclass(frozen=True)
class FullSoftmax:
    """Cross-entropy over all items with smoothed labels (Szegedy et al., 2016).

    Parameters
    ----------
    label_smoothing: ε, the share of a target that is spread evenly over all items.
    precision: of the products: ``float32``, ``bfloat16``, or ``auto``, which takes bfloat16 where it pays and is safe.

    Raises
    ------
    InputError
        for a label smoothing outside of [0, 1).
    """

    label_smoothing: float = 0.0
    precision: str = "float32"

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise InputError("label_smoothing", f"{self.label_smoothing} is outside of [0, 1)", "use for example 0.1")

    def __call__(self, queries: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, temperature: float) -> Tensor:
        """Mean over cases, a scalar; 0 without any.

        Parameters
        ----------
        queries: (N, D). bias: (I,). labels: (N,) classes 0..I-1.
        weight: (I, D), or with more rows: the last I are the items', so that a table with padding needs no slice.
        """
        return linear_cross_entropy(queries, weight, bias, labels, self.label_smoothing, temperature, self.precision)
