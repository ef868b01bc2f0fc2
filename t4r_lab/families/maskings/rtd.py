"""Replaced items."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from t4r_lab.families.knobs import knob
from t4r_lab.families.maskings.mlm import MLM
from t4r_lab.families.maskings.policy import Attention, Detection, Masking, Sketch

if TYPE_CHECKING:
    from torch import Tensor

    from t4r_lab.nn.layers.flow import Batch, Masked


class RTD(Masking):
    """Replaced items: a discriminator finds which items the masked model (MLM) has replaced; trained jointly.

    The discriminator is `nn/heads/replaced_items.py`.
    """

    kind: Literal["rtd"] = "rtd"
    probability: float = knob(
        0.2, "share of the positions hidden, and then replaced, in training", low=0.01, high=0.99, search=(0.05, 0.7)
    )
    weight: float = knob(
        10.0,
        "weight of the discriminator's loss relative to the generator's",
        low=0,
        high=1000,
        search=(1, 50),
        log=True,
    )
    discriminator: Literal["shared", "separate"] = knob(
        "shared", "its body: the generator's, or a second one on the same input block"
    )
    temperature: float = knob(
        1.0, "replacements are drawn from softmax(scores / temperature)", low=0.01, high=100, search=(0.5, 2), log=True
    )

    attention: ClassVar[Attention] = MLM.attention
    hides: ClassVar[bool] = MLM.hides
    training_extra: ClassVar[int] = MLM.training_extra
    inference_reserve: ClassVar[int] = MLM.inference_reserve

    @property
    def generator(self) -> MLM:
        """The masking of the model that draws the replacements."""
        return MLM(probability=self.probability)

    @property
    def detection(self) -> Detection:
        """The discriminator."""
        return Detection(self.weight, self.temperature, self.discriminator == "separate")

    def training(self, batch: Batch) -> Masked:
        """As the generator's masking; the discriminator then reads the filled-in sessions."""
        return self.generator.training(batch)

    def inference(self, batch: Batch, start: Tensor | None = None) -> Masked:
        """As the generator's masking."""
        return self.generator.inference(batch, start)

    def sketch(self) -> Sketch:
        """The share of events that are hidden and replaced."""
        return Sketch(f"{self.probability:.0%} hidden, then replaced", self.probability)
