"""The table of maskings, made of the files beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field, SerializeAsAny

from t4r_lab.families import maskings
from t4r_lab.families.custom import MemberTable, load, or_custom
from t4r_lab.families.maskings.policy import Masking
from t4r_lab.families.members import members

MASKINGS: MemberTable[type[Masking]] = MemberTable(
    members(maskings, Masking, ("clm", "mlm", "plm", "rtd")), lambda kind: load(kind, Masking)
)
"""Kind → masking, in the order of choices."""

if TYPE_CHECKING:
    MaskingSpec = Masking
else:
    _Ours = Annotated[Union[tuple(MASKINGS.values())], Field(discriminator="kind")]  # noqa: UP007 (of a tuple)
    MaskingSpec = Annotated[SerializeAsAny[_Ours], or_custom(Masking)]
