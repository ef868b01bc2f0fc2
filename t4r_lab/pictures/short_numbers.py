"""Numbers as short text: three significant digits."""

from __future__ import annotations

import math


def number(value: float | None) -> str:
    """`value` with three significant digits; a dash if there is none.

    >>> number(0.03814), number(0.5), number(12.345), number(12345.6), number(2e-06), number(None)
    ('0.0381', '0.500', '12.3', '12,346', '2.00e-06', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size >= 3:
        return f"{value:,.0f}"
    return f"{value:.{2 - size}f}" if size >= -4 else f"{value:.2e}"


def count(value: float) -> str:
    """A count as short text.

    >>> count(933), count(2933), count(16234), count(1_500_000)
    ('933', '2.93k', '16.2k', '1.50M')
    """
    for size, sign in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{number(value / size)}{sign}"
    return f"{value:,.0f}"


def megabytes(size: float) -> str:
    """A size in bytes as short text.

    >>> megabytes(0), megabytes(2_130_000), megabytes(1.5e9)
    ('0 MB', '2.13 MB', '1.50 GB')
    """
    return f"{number(size / 1e9)} GB" if size >= 1e9 else f"{number(size / 1e6)} MB"
