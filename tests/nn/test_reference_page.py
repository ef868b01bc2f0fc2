"""The code samples of Transformers4Rec's page "Model Architectures": import lines changed, what is cut short filled in."""

from __future__ import annotations

import pytest
import torch

from t4r_lab.nn.batches import make_batch, training_windows
from tests.support.toy import N_ITEMS, SCHEMA, Toy

schema = SCHEMA


@pytest.mark.parametrize("masking", ["clm", "mlm", "plm", "rtd"])
def test_the_samples_build_and_train(masking: str) -> None:
    # from transformers4rec.torch import TabularSequenceFeatures
    from t4r_lab.nn import TabularSequenceFeatures

    tabular_inputs = TabularSequenceFeatures.from_schema(
        schema,
        max_sequence_length=20,
        continuous_projection=64,
        aggregation="concat",
        d_output=100,
        masking=masking,
        item_table={name: torch.as_tensor(values) for name, values in Toy().item_table().items()},
    )

    # from transformers4rec.config import transformer
    # from transformers4rec.torch import MLPBlock, SequentialBlock, TransformerBlock
    import t4r_lab.nn as torch4rec
    from t4r_lab import nn as transformer
    from t4r_lab.nn import MLPBlock, SequentialBlock

    # Configures the XLNet Transformer architecture
    transformer_config = transformer.XLNetConfig.build(d_model=64, n_head=4, n_layer=2, total_seq_length=20)

    # Defines the model body including: inputs, masking, projection and transformer block.
    model_body = SequentialBlock(
        tabular_inputs,
        MLPBlock([64]),
        torch4rec.TransformerBlock(transformer_config, masking=tabular_inputs.masking),
    )

    # from transformers4rec.torch import Head, Model
    # from transformers4rec.torch.model.head import NextItemPredictionTask
    from t4r_lab.nn import Head, Model, NextItemPredictionTask

    # Defines the head related to next item prediction task
    head = Head(
        model_body,
        NextItemPredictionTask(weight_tying=True, hf_format=True),
        inputs=tabular_inputs,
    )

    # Get the end-to-end Model class
    model = Model(head)

    sessions = Toy().part("train")
    batch = make_batch(sessions, training_windows(sessions, 20))
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=3e-3), []
    for step in range(20):
        torch.manual_seed(step)
        loss = model.loss(batch).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-4:]) < sum(losses[:4])
    assert model.eval().score(batch).shape == (len(batch.lengths), N_ITEMS)
