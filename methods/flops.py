"""FLOPs, counted by PyTorch on the model as it is: pruned, shared and emptied layers need no formula."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from reports.record import Cost
from tasks.batches import Batch

TRAINING_PASSES = 3
"""Forward passes that one of training amounts to: its way back is two, for inputs' and weights' gradients."""


@torch.no_grad()
def forward_flops(model: PreTrainedModel, length: int) -> float:
    """Count the floating point operations of one forward pass over one example.

    Matrix products only, a multiplication and an addition each counting as one, as is usual. Attention
    runs on the plain-product kernel while counting, because the counter does not know the fused CPU one.

    Args:
        model: any encoder that takes `input_ids`; its mode is kept.
        length: tokens of the example.
    """
    device = next(model.parameters()).device
    ids = torch.ones((1, length), dtype=torch.long, device=device)
    was_training = model.training
    model.eval()
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
    finally:
        model.train(was_training)
    return float(counter.get_total_flops())


def batch_flops(batch: Batch, flops: Callable[[int], float]) -> float:
    """Forward FLOPs of a batch, its padding included.

    Args:
        batch: of any number of examples.
        flops: forward FLOPs by length, from `flops_by_length`.
    """
    examples, length = batch.inputs["input_ids"].shape
    return examples * flops(length)


def cost_of_inference(flops: float) -> Cost:
    """Cost of passes from which no weight learns: those of rewards, scores, a teacher or a language model.

    They take operations and no training data: the steps, examples and tokens of a `Cost` are those of
    training alone, each counted once however often a step reads it.
    """
    return Cost(flops=flops)


def flops_by_length(model: PreTrainedModel) -> Callable[[int], float]:
    """Return a function from an example's padded length to its forward FLOPs.

    Linear layers grow with the length, attention with its square, the pooler not at all: three counts
    fix the polynomial, so training counts its cost without measuring again.
    """
    first, second, third = (forward_flops(model, length) for length in (2, 4, 6))
    square = (third - 2 * second + first) / 8
    slope = (second - first) / 2 - 6 * square
    constant = first - 2 * slope - 4 * square
    return lambda length: constant + slope * length + square * length**2
