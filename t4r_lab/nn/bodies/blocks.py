"""Blocks that stand in a body: sequential composition, MLP, transformer, RNN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from t4r_lab.base.errors import InputError, first_line
from t4r_lab.nn.bodies.transformers import make_transformer, reads_packed, sequence_output
from t4r_lab.nn.inputs.tabular import TabularSequenceFeatures
from t4r_lab.nn.kernels.dropout import Dropout
from t4r_lab.nn.kernels.packing import by_length
from t4r_lab.nn.layers.flow import Batch, Masked
from t4r_lab.nn.layers.query_stream import query_stream
from t4r_lab.nn.masking import Masking, make_masking
from t4r_lab.spec import BODIES, MASKINGS, BodySpec, pair_refusal


class MLPBlock(nn.Module):
    """Fully-connected layers, (B, T, any) to (B, T, dimensions[-1]).

    The input width is taken from the block before, when `SequentialBlock` is made.
    """

    def __init__(
        self, dimensions: Sequence[int], activation: type[nn.Module] | None = nn.ReLU, dropout: float = 0.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for dim in dimensions:
            layers.append(nn.LazyLinear(dim))
            if activation is not None:
                layers.append(activation())
            if dropout:
                layers.append(Dropout(dropout))
        self.layers = nn.Sequential(*layers)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_in) to (B, T, dimensions[-1])."""
        out: Tensor = self.layers(hidden)
        return out


class TransformerBlock(nn.Module):
    """A transformer over (B, T, d_model), made from its configuration.

    `config` is what a configuration's ``build`` returns, or any configuration object of Hugging Face
    `transformers`; a model without a row in the table of bodies is tested on random events (`foreign.py`). Padding is
    always masked. `masking` (a policy or its name) is checked against what the body supports.

    Raises
    ------
    InputError
        for a pair of body and masking that isn't allowed; for a model that can't be a body.
    """

    def __init__(self, config: Any, masking: Masking | str | None = None) -> None:
        super().__init__()
        self.masking = make_masking(masking) if isinstance(masking, str) else masking
        self.transformer, self.maskings = make_transformer(config, self.masking.kind if self.masking else None)
        self.kind: str = config.model_type
        if self.permutes:
            self.transformer.mask_emb.requires_grad_(True)  # the query stream starts from it

    @property
    def permutes(self) -> bool:
        """True if the block is made for permutation training."""
        return self.masking is not None and self.masking.attention == "two streams"

    @property
    def placeholder(self) -> nn.Parameter | None:
        """The learned vector that a query stream starts from."""
        return self.transformer.mask_emb if self.permutes else None  # type: ignore[return-value]

    def forward(self, hidden: Tensor, masked: Masked, last: bool = False) -> Tensor:
        """(B, T, d_model); undefined at padding and, for the `last` block of a body, at positions that `masked` does
        not predict."""
        if masked.causal not in {_is_causal(masking) for masking in self.maskings}:
            usual = next(masking for masking in MASKINGS if _is_causal(masking) == masked.causal)
            if refusal := pair_refusal(self.kind, usual, self.maskings):
                raise refusal
        lengths = masked.batch.lengths
        if masked.order is None and reads_packed(self.transformer, self.kind):
            read = masked.predict if last else None
            return sequence_output(self.transformer, self.kind, hidden, lengths, masked.causal, read)
        return by_length(hidden, lengths, lambda events, rows: self._read(events, masked, rows))

    def _read(self, events: Tensor, masked: Masked, rows: Tensor | slice) -> Tensor:
        """(b, T', d_model) of `events` (b, T', D), the first T' of the `rows` of `masked`."""
        if masked.order is None:
            return sequence_output(self.transformer, self.kind, events, masked.batch.lengths[rows], masked.causal)
        length = events.shape[1]
        valid, order, predict = (x[rows, :length] for x in (masked.batch.valid, masked.order, masked.predict))
        return query_stream(self.transformer, events, valid, order, predict)


class SequentialBlock(nn.Module):
    """Blocks one after another; the first is the input block.

    Any module that maps (B, T, D) to (B, T, D') can stand in it, an ``nn.Linear`` or a batch-first
    ``nn.LSTM`` of plain PyTorch included. Widths are set, and mismatches refused, at construction.
    """

    def __init__(self, inputs: TabularSequenceFeatures, *blocks: nn.Module) -> None:
        super().__init__()
        self.inputs = inputs
        self.blocks = nn.ModuleList(blocks)
        for block in blocks:
            if isinstance(block, nn.RNNBase) and not block.batch_first:
                raise InputError(
                    type(block).__name__, "blocks map (B, T, D), it does (T, B, D)", "make it with batch_first=True"
                )
        if inputs.masking is not None:
            _refuse_masking(blocks, inputs.masking)
        self.output_dim = self._probe()

    @property
    def masking(self) -> Masking:
        """The masking of the input block.

        Raises
        ------
        InputError
            if the input block has none.
        """
        if self.inputs.masking is None:
            raise InputError(
                "masking", "the input block has none", f"give masking={' or '.join(map(repr, MASKINGS))} to from_schema"
            )
        return self.inputs.masking

    def forward(self, masked: Masked) -> Tensor:
        """(B, T, output_dim); undefined at positions that `masked` does not predict."""
        hidden: Tensor = self.inputs(masked)
        for block in self.blocks:
            hidden = _apply(block, hidden, masked, block is self.blocks[-1])
        return hidden

    @torch.no_grad()
    def _probe(self) -> int:
        """Run the blocks on empty events, which sets the width of lazy layers; returns the output width."""
        zeros = torch.zeros(1, 2, dtype=torch.long)
        masking = self.inputs.masking
        masked = Masked(
            Batch({}, torch.ones(1, dtype=torch.long) * 2),
            None,
            zeros > 0,
            zeros[0, :0],
            masking is None or masking.causal,
        )
        masked.batch.columns[masked.batch.item] = zeros
        hidden = torch.zeros(1, 2, self.inputs.output_dim)
        for index, block in enumerate(self.blocks):
            training = block.training
            block.eval()
            try:
                hidden = _apply(block, hidden, masked)
            except (RuntimeError, ValueError) as error:
                if isinstance(error, InputError):
                    raise
                raise InputError(
                    f"block {index} ({type(block).__name__})",
                    f"can't take the {hidden.shape[-1]} channels before it ({first_line(error)})",
                    "put MLPBlock([width]) between them",
                ) from None
            finally:
                block.train(training)
        return hidden.shape[-1]


def make_body(spec: BodySpec, length: int, masking: Masking | str | None = None) -> nn.Module:
    """The block of a body spec, (B, T, d_model) to (B, T, d_model), for sessions of up to `length` events."""
    row = BODIES[spec.kind]
    body = row.build(spec, length)
    return body if row.transformer is None else TransformerBlock(body, masking)


def _is_causal(masking: str) -> bool:
    """True if a position sees itself and earlier ones alone."""
    return MASKINGS[masking].attention == "causal"


def _refuse_masking(blocks: Sequence[nn.Module], masking: Masking) -> None:
    """Refuse bodies that can't train with `masking`; permutation needs a query stream, else a target sees itself."""
    bodies: list[Any] = [block for block in blocks if hasattr(block, "maskings")]
    for body in bodies:
        if refusal := pair_refusal(body.kind, masking.kind, body.maskings):
            raise refusal
    streams = sum(getattr(body, "permutes", False) for body in bodies)
    if masking.attention == "two streams" and streams != 1:
        raise InputError(
            "masking",
            f"{masking.kind!r} needs one transformer with a query stream, the body has {streams}",
            f"put one TransformerBlock(XLNetConfig.build(…), masking={masking.kind!r}) into it",
        )


def _apply(block: nn.Module, hidden: Tensor, masked: Masked, last: bool = False) -> Tensor:
    out = block(hidden, masked, last) if hasattr(block, "maskings") else block(hidden)
    return out[0] if isinstance(out, tuple) else out
