"""Plain references of the kernels: each does the same, a session, an event or a number at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def pack(padded: Tensor, lengths: Tensor) -> Tensor:
    """(B, T, D) to (N, D); a session without events counts as one of one."""
    return torch.cat([events[: max(length, 1)] for events, length in zip(padded, lengths.tolist(), strict=True)])


def pad(packed: Tensor, lengths: Tensor, longest: int) -> Tensor:
    """(N, D) to (B, T, D), zero behind each session."""
    sessions = packed.split(lengths.clamp(min=1).tolist())
    return torch.stack([F.pad(events, (0, 0, 0, longest - len(events))) for events in sessions])


def alone(hidden: Tensor, lengths: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
    """(B, T, D) of what `read` (1, n, D) makes of each session alone, zero behind it."""
    sessions = [read(events[None, :length])[0] for events, length in zip(hidden, lengths.tolist(), strict=True)]
    return torch.stack([F.pad(events, (0, 0, 0, hidden.shape[1] - len(events))) for events in sessions])


def attention(read: Tensor, distances: Tensor | None, *, lengths: Tensor, causal: bool, scale: float) -> Tensor:
    """Softmax attention of packed events, session by session, event by event, head by head."""
    out, start = [], 0
    for length in lengths.clamp(min=1).tolist():
        for i, head in itertools.product(range(length), range(read.shape[1])):
            others = range(i + 1 if causal else length)
            query, *_, by_distance = read[start + i, head]
            scores = [query @ read[start + j, head, 1] * scale for j in others]
            if distances is not None:
                zero = distances.shape[1] // 2
                scores = [
                    s + by_distance @ distances[head, zero - (i - j)] for s, j in zip(scores, others, strict=True)
                ]
            shares = torch.stack(scores).softmax(0)
            out.append(sum(share * read[start + j, head, 2] for share, j in zip(shares, others, strict=True)))
        start += length
    return torch.stack(out).view(len(read), -1)


def cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, *, smoothing: float = 0.0, temperature: float = 1.0
) -> Tensor:
    """All logits at once; of a table with more rows than there are biases, the last are the classes'."""
    logits = (hidden @ weight[len(weight) - len(bias) :].T + bias) / temperature
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def dropout(values: Tensor, *, p: float) -> Tensor:
    """Bit by bit: a random word decides for four elements, each 16 bits as a signed number, the lowest first."""
    words = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None).tolist()
    draws = [((word >> 16 * part) & 0xFFFF) ^ 0x8000 for word in words for part in range(4)]  # from 0: the sign is off
    dropped = round(p * 65_536)
    keep = torch.tensor([draw >= dropped for draw in draws[: values.numel()]]).view(values.shape)
    return torch.where(keep, values * (65_536 / (65_536 - dropped)), 0.0)


def rows(table: Tensor, ids: Tensor, *, padding: int | None = None) -> Tensor:
    """A product with ones and zeros; row `padding` gets no gradient."""
    if padding is not None:
        table = torch.cat([table[:padding], table[padding : padding + 1].detach(), table[padding + 1 :]])
    return F.one_hot(ids, len(table)).to(table) @ table


def product(left: Tensor, right: Tensor) -> Tensor:
    """In float64, rounded at the end."""
    return (left.double() @ right.double()).to(left.dtype)
