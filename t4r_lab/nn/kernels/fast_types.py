"""What this processor computes fast."""

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
    """In hardware: by AMX, or by AVX-512 with BF16, which newer AMD processors have."""
    return has_instructions(torch.cpu, "amx_tile") or has_instructions(torch.cpu, "avx512_bf16")


@contextmanager
def quick_float32() -> Iterator[None]:
    """Multiply float32 matrices by oneDNN where MKL, torch's choice, leaves half of the processor unused (AMD).

    oneDNN makes a kernel for each shape, in milliseconds: for products of one shape over and over. The switch says that
    it may round to bfloat16, which it does where that is faster (AMX): there, nothing is switched.
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
    """Tried out, as a later oneDNN may do otherwise."""
    amx, bfloat16 = (has_instructions(torch.cpu, name) for name in ("amx_tile", "avx512_bf16"))
    if _PRODUCTS is None or amx or not bfloat16:
        return False
    left, right = torch.linspace(-1, 1, 64 * 64).view(64, 64).cos(), torch.linspace(0, 9, 64 * 64).view(64, 64).sin()
    with _by_onednn():
        product = left @ right
    return bool((product - left.double() @ right.double()).abs().max() < 1e-4)
