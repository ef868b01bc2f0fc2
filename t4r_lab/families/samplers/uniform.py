"""Every item alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from t4r_lab.families.samplers.sampler import ItemSampler

if TYPE_CHECKING:
    from torch import Tensor


class Uniform(ItemSampler):
    """All alike."""

    kind: Literal["uniform"] = "uniform"
    words: ClassVar[str] = "uniformly"

    def build(self, counts: Tensor) -> UniformSampler:
        """Of `counts` (I,)."""
        return UniformSampler(counts)


class UniformSampler:
    """Every item alike."""

    def __init__(self, counts: Tensor) -> None:
        self.size = len(counts)

    def draw(self, count: int, labels: Tensor) -> Tensor:
        """(K,) classes, each with probability 1/I."""
        import torch

        return torch.randint(self.size, (count,), device=labels.device)

    def log_probability(self, classes: Tensor) -> Tensor:
        """-log I, in the shape of `classes`."""
        import torch

        return torch.full(classes.shape, -float(torch.tensor(float(self.size)).log()), device=classes.device)
