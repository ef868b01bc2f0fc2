"""The table of samplers, made of the files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, SerializeAsAny

from t4r_lab.base.errors import InputError, did_you_mean, shortened
from t4r_lab.families import samplers
from t4r_lab.families.custom import is_custom, load
from t4r_lab.families.members import members
from t4r_lab.families.samplers.sampler import ItemSampler

SAMPLERS: dict[str, type[ItemSampler]] = members(samplers, ItemSampler, ("uniform", "log_uniform", "in_batch"))
"""Kind → sampler, in the order of choices."""


def _named(value: object) -> object:
    """A word of the table as it is; a custom class, or its name with knobs, as a sampler."""
    kind = value.get("kind") if isinstance(value, Mapping) else value
    knobs = {name: knob for name, knob in value.items() if name != "kind"} if isinstance(value, Mapping) else {}
    if is_custom(kind):
        return load(kind, ItemSampler).model_validate(knobs)
    if isinstance(value, Mapping) and kind in SAMPLERS:
        if knobs:
            raise InputError(next(iter(knobs)), f"sampler {kind} has no knobs", "leave it out")
        return kind
    if isinstance(value, ItemSampler) or (isinstance(kind, str) and kind in SAMPLERS):
        return value
    raise InputError("", f"{shortened(value)} is not a choice", did_you_mean(kind, SAMPLERS))


if TYPE_CHECKING:
    SamplerSpec = str | ItemSampler
else:
    SamplerSpec = Annotated[Literal[tuple(SAMPLERS)] | SerializeAsAny[ItemSampler], BeforeValidator(_named)]


def sampler_of(sampler: SamplerSpec) -> ItemSampler:
    """The sampler that a word or a part of a spec stands for."""
    return SAMPLERS[sampler].model_validate({}) if isinstance(sampler, str) else sampler


def described() -> str:
    """The samplers in one line, by the distribution that each draws from."""
    *first, last = (sampler.words or kind for kind, sampler in SAMPLERS.items())
    return f"{', '.join(first)}, or {last}"
