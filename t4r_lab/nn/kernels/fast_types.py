"""The types in which this processor multiplies fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any

import torch

from t4r_lab.base.private import has_instructions

_PRODUCTS: Any = getattr(torch.backends.mkldnn, "matmul", None)
"""The switch of oneDNN's products, which older versions of torch lack."""


def multiplies_bfloat16() -> bool:
    """True if the processor multiplies bfloat16 in hardware: by AMX, or by AVX-512 with BF16 (newer AMD)."""
    return has_instructions(torch.cpu, "amx_tile") or has_instructions(torch.cpu, "avx512_bf16")


@contextmanager
def quick_float32() -> Iterator[None]:
    """Multiply float32 matrices by oneDNN where MKL, torch's choice, leaves half of the processor unused (AMD).

    oneDNN compiles a kernel for each shape, in milliseconds, so that it pays only for repeated products of one shape.
    The switch allows it to round to bfloat16, which it does if that is faster (AMX): there it is not used.
    """
    with _by_onednn() if _onednn_keeps_float32() else nullcontext():
        yield


@contextmanager
def _by_onednn() -> Iterator[None]:
    before, _PRODUCTS.fp32_precision = _PRODUCTS.fp32_precision, "bf16"
    try:
        yield
    finally:
        _PRODUCTS.fp32_precision = before


@lru_cache
def _onednn_keeps_float32() -> bool:
    """True if oneDNN computes in float32 though it may round; tested, since a later version may differ."""
    amx, bfloat16 = (has_instructions(torch.cpu, name) for name in ("amx_tile", "avx512_bf16"))
    if _PRODUCTS is None or amx or not bfloat16:
        return False
    left, right = torch.linspace(-1, 1, 64 * 64).view(64, 64).cos(), torch.linspace(0, 9, 64 * 64).view(64, 64).sin()
    with _by_onednn():
        product = left @ right
    return bool((product - left.double() @ right.double()).abs().max() < 1e-4)
