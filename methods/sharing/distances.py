"""How far each layer moves its input (Lan et al., ICLR 2020, figure 1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from methods import encoders
from methods.precision import exact


class Distance(NamedTuple):
    """Between a layer's input and output, means over all tokens."""

    l2: float
    cosine: float
    """Cosine of the angle: 1 where the direction stays."""
    degrees: float
    """The angle, as the paper draws it."""


@torch.no_grad()
def layer_distances(model: PreTrainedModel, batches: Iterable[Mapping[str, Tensor]]) -> list[Distance]:
    """Measure every layer, shared ones at each position, in eval mode.

    Args:
        model: an encoder or a classifier of a known architecture.
        batches: the model's inputs by name, each of shape (batch, longest); padding does not count.

    Returns:
        One entry by position.
    """
    stack = encoders.stack(model)
    device = next(model.parameters()).device
    sums = exact(torch.zeros(len(stack), len(Distance._fields), device=device))
    tokens = 0
    seen: list[tuple[Tensor, Tensor]] = []
    hooks = [
        # A shared layer is one module: hooked once, called at each of its positions in turn.
        layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], _tensor(output))))
        for layer in set(stack)
    ]
    model.eval()
    try:
        for batch in batches:
            inputs = {name: tensor.to(device) for name, tensor in batch.items()}
            seen.clear()
            model(**inputs)
            real = inputs["attention_mask"].bool()
            tokens += int(real.sum())
            for position, (before, after) in enumerate(seen):
                before, after = exact(before[real]), exact(after[real])
                # Rounding may leave [-1, 1], where there is no angle.
                cosine = F.cosine_similarity(before, after, dim=-1).clamp(-1, 1)
                found = ((after - before).norm(dim=-1), cosine, cosine.acos().rad2deg())
                sums[position] += torch.stack([each.sum() for each in found])
    finally:
        for hook in hooks:
            hook.remove()
    return [Distance(*row) for row in (sums / tokens).tolist()]


def _tensor(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]
