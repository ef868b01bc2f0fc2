"""The input block of the small dataset in memory."""

from __future__ import annotations

import torch

from t4r_lab.nn import TabularSequenceFeatures
from tests.support.toy import SCHEMA, Toy

ITEM_TABLE = {name: torch.as_tensor(values) for name, values in Toy().item_table().items()}


def features(masking: str = "clm", **options: object) -> TabularSequenceFeatures:
    return TabularSequenceFeatures.from_schema(
        SCHEMA,
        max_sequence_length=20,
        masking=masking,
        item_dim=16,
        item_table=ITEM_TABLE,
        **options,  # type: ignore[arg-type]
    )
