"""Sequence masking: the events that are hidden, those that are predicted, and who may attend to whom.

The maskings are in `t4r_lab/families/maskings/`, a file each.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.families.custom import is_custom
from t4r_lab.families.maskings.clm import CLM
from t4r_lab.families.maskings.masking_table import MASKINGS
from t4r_lab.families.maskings.mlm import MLM
from t4r_lab.families.maskings.plm import PLM
from t4r_lab.families.maskings.policy import Masking
from t4r_lab.families.maskings.rtd import RTD
from t4r_lab.spec.run_spec import explain

__all__ = ["MASKINGS", "CausalLM", "MaskedLM", "Masking", "PermutationLM", "ReplacedItems", "make_masking"]

CausalLM = CLM
MaskedLM = MLM
PermutationLM = PLM
ReplacedItems = RTD
"""The maskings by their long names."""


def make_masking(masking: Masking | str, **knobs: Any) -> Masking:
    """The masking of a kind, with its knobs; a masking object is returned unchanged.

    Raises
    ------
    InputError
        for an unknown kind or an invalid value of a knob.
    """
    if isinstance(masking, Masking):
        return masking
    if masking not in MASKINGS and not is_custom(masking):
        raise InputError("masking", f"{masking!r} is not known", did_you_mean(masking, MASKINGS))
    try:
        return MASKINGS[masking](**knobs)
    except ValidationError as error:
        refusal = explain(MASKINGS[masking], knobs, error)
        raise refusal.at(f"masking.{refusal.path}") from None
