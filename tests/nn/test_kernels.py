"""Each kernel beside its plain reference: the same values and gradients."""

from __future__ import annotations

import itertools
import pkgutil
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from t4r_lab.nn import kernels
from t4r_lab.nn.kernels import dropout, fast_types, linear_cross_entropy, packed_attention, packing, table_rows
from t4r_lab.nn.kernels.packing import Packing, PackingCost
from tests.support import references


class Case(NamedTuple):
    """A kernel and its reference, functions of the same tensors."""

    module: ModuleType
    kernel: Callable[..., Tensor]
    reference: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    settings: tuple[tuple[ModuleType, str, Any], ...] = ()
    """what stands otherwise in a module, so that inputs as small as these go the way of large ones"""
    tolerances: dict[str, float] = {}  # noqa: RUF012
    """else those of `torch.testing` for the type of the inputs"""


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def integers(most: int, *shape: int) -> Tensor:
    return torch.randint(0, most, shape, generator=torch.Generator().manual_seed(7))


# ── packing and attention ───────────────────────────────────────────────────────────────────────

LONGEST = 12
LENGTHS = torch.cat([integers(6, 30) + 1, torch.tensor([LONGEST, 0, 1])])
REAL = torch.arange(LONGEST) < LENGTHS[:, None]
GROUPS = ((packing, "ATTENTION", PackingCost(16, 100)), (packing, "WHOLE", PackingCost(16, 100)))
"""Else sessions as short as these would be one group."""
READ = (torch.rand(REAL.shape, generator=torch.Generator().manual_seed(8)) < 0.3) & REAL


def packed() -> Packing:
    return Packing.of(LENGTHS, LONGEST, 2)


def only(hidden: Tensor) -> Tensor:
    packing = packed().only(READ)
    return packing.pad(packing.keep(packed().pack(hidden)))


def less_mean(events: Tensor, lengths: Tensor) -> Tensor:
    """Events of b sessions less the mean of their session, zero behind it: each event reads all of its session's."""
    real = (torch.arange(events.shape[1]) < lengths[:, None])[..., None]
    mean = (events * real).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1)
    return (events - mean) * real


def by_length(hidden: Tensor) -> Tensor:
    return packing.by_length(hidden, LENGTHS, lambda events, rows: less_mean(events, LENGTHS[rows]))


def attend(read: Tensor, distances: Tensor | None = None, *, causal: bool, dropout: float) -> Tensor:
    return packed_attention.attend(read, packed(), causal, 0.5, dropout, distances)


HIDDEN = (normal(len(LENGTHS), LONGEST, 3),)
EVENTS = int(LENGTHS.clamp(min=1).sum())
PACKING = {
    "pack": Case(packing, lambda x: packed().pack(x), partial(references.pack, lengths=LENGTHS), HIDDEN, GROUPS),
    "pad": Case(
        packing,
        lambda x: packed().pad(x),
        partial(references.pad, lengths=LENGTHS, longest=LONGEST),
        (normal(EVENTS, 3),),
        GROUPS,
    ),
    "only": Case(packing, only, lambda x: x * READ[..., None], HIDDEN, GROUPS),
    "groups": Case(
        packing,
        by_length,
        partial(
            references.alone, lengths=LENGTHS, read=lambda events: less_mean(events, torch.tensor([events.shape[1]]))
        ),
        HIDDEN,
        GROUPS,
    ),
}
ATTENTION = {
    f"attention, {'causal' if causal else 'both ways'}, {'relative' if relative else 'absolute'}, dropout {p}": Case(
        packed_attention,
        partial(attend, causal=causal, dropout=p),
        partial(references.attention, lengths=LENGTHS, causal=causal, scale=0.5)
        if relative
        else partial(references.attention, distances=None, lengths=LENGTHS, causal=causal, scale=0.5),
        (normal(EVENTS, 2, 4, 4), normal(2, 2 * LONGEST, 4, seed=1)) if relative else (normal(EVENTS, 2, 3, 4),),
        # a chance to drop, but nothing dropped, so that it is this kernel and not torch's
        (*GROUPS, (packed_attention, "factors", lambda values, p: torch.ones_like(values))),
    )
    for causal, relative, p in itertools.product((True, False), (True, False), (0.0, 0.5))
}

# ── cross-entropy ───────────────────────────────────────────────────────────────────────────────


def softmax_case(smoothing: float, temperature: float, rows: int, padding: int = 0) -> Case:
    def kernel(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
        return linear_cross_entropy.linear_cross_entropy(hidden, weight, bias, labels, smoothing, temperature)

    inputs = (normal(23, 5), normal(11 + padding, 5, seed=1), normal(11, seed=2), integers(11, 23))
    settings = ((linear_cross_entropy, "rows_per_chunk", lambda classes: rows),)
    plain = partial(references.cross_entropy, smoothing=smoothing, temperature=temperature)
    return Case(linear_cross_entropy, kernel, plain, inputs, settings)


SOFTMAX = {
    f"cross-entropy, smoothing {smoothing}, temperature {temperature}, {rows} rows a chunk": softmax_case(
        smoothing, temperature, rows
    )
    for smoothing, temperature, rows in itertools.product((0.0, 0.1, 0.9), (0.05, 1.0, 3.0), (1, 7, 1000))
} | {"cross-entropy, a table with padding": softmax_case(0.2, 1.0, 7, padding=2)}

# ── dropout, rows of tables, products ───────────────────────────────────────────────────────────

DROPOUT = {
    f"dropout {p} of {tuple(shape)}": Case(
        dropout, partial(dropout.drop, p=p), partial(references.dropout, p=p), (normal(*shape),)
    )
    for p, shape in itertools.product((0.05, 0.3, 0.9), ((64,), (7, 5, 3)))
}
TABLES = {
    f"{kind} of a {'large' if large else 'small'} table": Case(
        table_rows, kernel, reference, inputs, ((table_rows, "LARGE", 8 if large else 10),)
    )
    for large in (True, False)
    for kind, kernel, reference, inputs in (
        ("rows", table_rows.rows, references.rows, (normal(9, 4), integers(9, 6, 5))),
        (
            "rows with padding",
            partial(table_rows.rows, padding=0),
            partial(references.rows, padding=0),
            (normal(9, 4), integers(9, 6, 5)),
        ),
        ("entries", table_rows.entries, references.rows, (normal(9), integers(9, 20))),
    )
}


def quick_product(left: Tensor, right: Tensor) -> Tensor:
    with fast_types.quick_float32():
        return left @ right


PRODUCTS = {
    "product": Case(
        fast_types,
        quick_product,
        references.product,
        (normal(130, 64, dtype=torch.float32), normal(64, 2_000, seed=1, dtype=torch.float32)),
        tolerances={"rtol": 1e-5, "atol": 1e-4},
    )
}

CASES: dict[str, Case] = PACKING | ATTENTION | SOFTMAX | DROPOUT | TABLES | PRODUCTS


@pytest.fixture
def _memory_of_nan() -> Iterator[None]:
    """What a kernel doesn't write is NaN, not by luck the zero that it should have written."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("_memory_of_nan")
@pytest.mark.parametrize("name", CASES)
def test_a_kernel_and_its_reference_agree_in_values_and_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case, results = CASES[name], []
    for setting in case.settings:
        monkeypatch.setattr(*setting)
    for function in (case.kernel, case.reference):
        torch.manual_seed(3)
        inputs = [t.clone().requires_grad_(t.is_floating_point()) for t in case.inputs]
        out = function(*inputs)
        weights = torch.linspace(0.5, 2, out.numel(), dtype=out.dtype).view(out.shape)  # no two gradients are alike
        (weights * out).sum().backward()
        gradients = [t.grad for t in inputs if t.requires_grad]
        assert all(gradient is not None for gradient in gradients)
        results.append([out.detach(), *(gradient.to_dense() for gradient in gradients if gradient is not None)])
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, **case.tolerances)


def test_every_kernel_has_a_reference() -> None:
    modules = {f"{kernels.__name__}.{module.name}" for module in pkgutil.iter_modules(kernels.__path__)}
    assert {case.module.__name__ for case in CASES.values()} == modules


def test_inputs_go_the_way_of_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in GROUPS:
        monkeypatch.setattr(*setting)
    assert len(packed().groups) > 1 and len(packing.length_groups(LENGTHS, packing.WHOLE)) > 1
