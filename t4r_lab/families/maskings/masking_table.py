"""The table of maskings, made of the files beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from t4r_lab.families import maskings
from t4r_lab.families.maskings.policy import Masking
from t4r_lab.families.members import members

MASKINGS: dict[str, type[Masking]] = members(maskings, Masking, ("clm", "mlm", "plm", "rtd"))
"""Kind → masking, in the order of choices."""

if TYPE_CHECKING:
    MaskingSpec = Masking
else:
    MaskingSpec = Annotated[Union[tuple(MASKINGS.values())], Field(discriminator="kind")]  # noqa: UP007 (of a tuple)
