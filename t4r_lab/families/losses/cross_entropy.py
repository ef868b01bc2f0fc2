"""Cross-entropy over all items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from t4r_lab.families.knobs import knob
from t4r_lab.families.losses.item_loss import ItemLoss, Prior, prior

if TYPE_CHECKING:
    from t4r_lab.nn.losses.full_softmax import FullSoftmax


class CrossEntropy(ItemLoss):
    """Full softmax cross-entropy over all items."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = knob(
        0.0, "share of the target's probability spread over all items", low=0, high=0.99, search=(0, 0.9)
    )
    precision: Literal["auto", "float32", "bfloat16"] = knob(
        "auto",
        "of the products with item vectors; auto: bfloat16 if the processor supports it and the catalog is large",
    )
    prior: Prior = prior()

    def build(self, items: int) -> FullSoftmax:
        """-log softmax, labels smoothed (Szegedy et al., 2016), a chunk of rows at a time."""
        from t4r_lab.nn.losses.full_softmax import FullSoftmax

        return FullSoftmax(self.label_smoothing, self.precision)
