"""Logits of a model on a split."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from methods.attention import fastest_attention
from tasks.batches import in_order
from tasks.examples import Examples


def predict(
    model: PreTrainedModel, examples: Examples, *, bf16: bool = False, batch_size: int = 64
) -> NDArray[np.float32]:
    """Predict every example once; the model is left in eval mode.

    Args:
        model: a sequence classifier, on its device.
        examples: n examples.
        bf16: run matrix products in bfloat16; final scores are taken without.
        batch_size: examples at once; of similar lengths, so that little is padded.

    Returns:
        Logits of shape (n, classes), in the order of `examples`.
    """
    device = next(model.parameters()).device
    logits = np.empty((len(examples), model.config.num_labels), dtype=np.float32)
    model.eval()
    # One autocast region for all batches: weights are cast to bfloat16 once, not once a batch.
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)
    with fastest_attention(model), torch.inference_mode(), autocast:
        for batch in in_order(examples, batch_size):
            output = model(**batch.to(device).inputs).logits
            logits[batch.positions.numpy()] = output.float().cpu().numpy()
    return logits
