"""Several towers, each with its features and body, read as one body."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.nn.bodies.blocks import SequentialBlock
from t4r_lab.nn.inputs.tabular import TabularSequenceFeatures
from t4r_lab.nn.layers.flow import Masked
from t4r_lab.nn.masking import Masking

MERGES = ("concat", "sum", "gate")


class Towers(nn.Module):
    """Towers side by side, used in place of a `SequentialBlock`.

    Every tower reads the same masked batch. ``concat`` concatenates their outputs, ``sum`` adds them,
    ``gate`` weighs them at each event: out = Σ_k g_k·h_k with g = softmax([h_1; …; h_K]·W + b), the gate of a
    mixture of experts (Jacobs et al., 1991). A head's weights are tied to the items of the first tower.

    Raises
    ------
    InputError
        for fewer than two towers, an unknown merge, widths that can't be added, or maskings that differ.
    """

    def __init__(self, towers: Sequence[SequentialBlock], merge: str = "concat") -> None:
        super().__init__()
        if merge not in MERGES:
            raise InputError("merge", f"{merge!r} is not known", did_you_mean(merge, MERGES))
        if len(towers) < 2:
            raise InputError("towers", f"got {len(towers)}", "give two or more, or use the SequentialBlock itself")
        kinds = [tower.masking.kind for tower in towers]
        if len(set(kinds)) > 1:
            raise InputError(
                "towers", f"they share one masking, but theirs are {', '.join(kinds)}", "give all inputs the same"
            )
        lengths = [tower.inputs.max_sequence_length for tower in towers]
        if len(set(lengths)) > 1:
            raise InputError(
                "towers", f"they read one length of session, but theirs are {lengths}", "give all inputs the same"
            )
        widths = [tower.output_dim for tower in towers]
        if merge != "concat" and len(set(widths)) > 1:
            raise InputError(
                "",
                f"merge {merge!r} needs towers of one width, but theirs are {', '.join(map(str, widths))}",
                "end them with MLPBlock([width]), or merge by concat",
            )
        self.towers, self.merge = nn.ModuleList(towers), merge
        self.output_dim = sum(widths) if merge == "concat" else widths[0]
        self.gate = nn.Linear(sum(widths), len(widths)) if merge == "gate" else None

    @property
    def inputs(self) -> TabularSequenceFeatures:
        """The input block of the first tower, whose item embedding a tied head shares."""
        first = self.towers[0]
        assert isinstance(first, SequentialBlock)
        return first.inputs

    @property
    def masking(self) -> Masking:
        """The policy of the first tower, by which all of them are read."""
        first = self.towers[0]
        assert isinstance(first, SequentialBlock)
        return first.masking

    def forward(self, masked: Masked) -> Tensor:
        """(B, T, output_dim)"""
        outputs = [tower(masked) for tower in self.towers]
        joined = torch.cat(outputs, -1)
        if self.merge == "concat":
            return joined
        stacked = torch.stack(outputs, -1)  # (B, T, D, K)
        if self.gate is None:
            return stacked.sum(-1)
        return (stacked * self.gate(joined).softmax(-1)[..., None, :]).sum(-1)
