"""FLOPs, counted by PyTorch on the model as it is: pruned, shared and emptied layers need no formula."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from reports.record import Cost
from tasks.batches import Batch


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


def cost_of_passes(batch: Batch, flops: Callable[[int], float], passes: float) -> Cost:
    """Cost of work on a batch that is not training, as a number of forward passes.

    Args:
        batch: its padding counts in FLOPs and not in tokens.
        flops: forward FLOPs by length, from `flops_by_length`.
        passes: forward passes the work amounts to.
    """
    examples, length = batch.inputs["input_ids"].shape
    tokens = int(batch.inputs["attention_mask"].sum())
    return Cost(examples=examples, tokens=tokens, flops=passes * examples * flops(length))


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
