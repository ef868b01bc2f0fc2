"""The table of samplers, made of the files beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from t4r_lab.families import samplers
from t4r_lab.families.members import members
from t4r_lab.families.samplers.sampler import ItemSampler

SAMPLERS: dict[str, type[ItemSampler]] = members(samplers, ItemSampler, ("uniform", "log_uniform", "in_batch"))
"""Kind → sampler, in the order of choices."""

if TYPE_CHECKING:
    SamplerKind = str
else:
    SamplerKind = Literal[tuple(SAMPLERS)]


def described() -> str:
    """How they draw, in one line."""
    *others, last = (sampler.words or kind for kind, sampler in SAMPLERS.items())
    return f"{', '.join(others)}, or {last}"
