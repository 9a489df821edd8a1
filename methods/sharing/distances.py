"""How far each layer moves its input (Lan et al., ICLR 2020, figure 1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from methods import encoders
from tasks.batches import in_order
from tasks.examples import Examples


class Distance(NamedTuple):
    """Between a layer's input and output, means over all tokens."""

    l2: float
    cosine: float
    """Cosine of the angle: 1 where the direction stays."""


@torch.no_grad()
def layer_distances(model: PreTrainedModel, examples: Examples, *, batch_size: int = 64) -> list[Distance]:
    """Measure every layer, shared ones at each position, in eval mode.

    Args:
        model: an encoder or a classifier of a known architecture.
        examples: what is read; padding does not count.
        batch_size: examples at once.

    Returns:
        One entry by position.
    """
    stack = encoders.stack(model)
    device = next(model.parameters()).device
    sums = torch.zeros(len(stack), 2, dtype=torch.float64, device=device)
    tokens = 0
    seen: list[tuple[Tensor, Tensor]] = []
    hooks = [
        # A shared layer is one module: hooked once, called at each of its positions in turn.
        layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], _tensor(output))))
        for layer in set(stack)
    ]
    model.eval()
    try:
        for batch in in_order(examples, batch_size):
            inputs = batch.to(device).inputs
            seen.clear()
            model(**inputs)
            real = inputs["attention_mask"].bool()
            tokens += int(real.sum())
            for position, (before, after) in enumerate(seen):
                before, after = before[real].double(), after[real].double()
                sums[position, 0] += (after - before).norm(dim=-1).sum()
                sums[position, 1] += F.cosine_similarity(before, after, dim=-1).sum()
    finally:
        for hook in hooks:
            hook.remove()
    return [Distance(*row) for row in (sums / tokens).tolist()]


def _tensor(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]
