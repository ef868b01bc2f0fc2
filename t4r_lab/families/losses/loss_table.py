"""The table of losses of the next item, made of the files beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field, SerializeAsAny

from t4r_lab.families import losses
from t4r_lab.families.custom import MemberTable, load, or_custom
from t4r_lab.families.losses.item_loss import ItemLoss
from t4r_lab.families.members import members

USUAL = ("cross_entropy", "sampled_softmax", "bce", "gbce", "bpr", "top1", "bpr_max", "top1_max")
LOSSES: MemberTable[type[ItemLoss]] = MemberTable(members(losses, ItemLoss, USUAL), lambda kind: load(kind, ItemLoss))
"""Kind → loss, in the order of choices."""

if TYPE_CHECKING:
    LossSpec = ItemLoss
else:
    _Ours = Annotated[Union[tuple(LOSSES.values())], Field(discriminator="kind")]  # noqa: UP007 (of a tuple)
    LossSpec = Annotated[SerializeAsAny[_Ours], or_custom(ItemLoss)]
