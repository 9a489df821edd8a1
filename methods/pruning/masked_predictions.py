"""Logits of one model without each of several sets of heads."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from methods import encoders
from methods.inference import predict
from methods.pruning.gates import head_gates
from methods.pruning.masked import evaluator
from methods.pruning.order import Head
from tasks.examples import Examples


def predict_without(
    model: PreTrainedModel, examples: Examples, sets: Sequence[Collection[Head]], *, bf16: bool = False
) -> list[NDArray[np.float32]]:
    """Return the logits, shape (n, classes), of `model` without each set of heads.

    Heads are masked, which gives the logits of really removing them up to rounding. Sets within one layer
    share what does not depend on them; an empty set gives the model's own logits to the bit.

    Args:
        model: an encoder of a kind in `encoders.NAMINGS`; it is left as it was.
        examples: n examples.
        sets: heads to leave out.
        bf16: run matrix products in bfloat16.
    """
    found: dict[int, NDArray[np.float32]] = {}
    by_row: dict[int, list[int]] = {}
    gates = [gates_without(model, heads) for heads in sets]
    for number, one in enumerate(gates):
        rows = torch.nonzero((one == 0).any(dim=1)).flatten().tolist()
        if len(rows) == 1:
            by_row.setdefault(rows[0], []).append(number)
        else:
            with head_gates(model, one):
                found[number] = predict(model, examples, bf16=bf16)
    if by_row:
        shared = evaluator(model, examples, bf16=bf16)
        for row, numbers in sorted(by_row.items()):
            masks = np.stack([gates[number][row].cpu().numpy() > 0 for number in numbers])
            found.update(zip(numbers, shared.logits(row, masks), strict=True))
    return [found[number] for number in range(len(sets))]


def gates_without(model: PreTrainedModel, heads: Collection[Head]) -> Tensor:
    """Gates of shape (distinct layers, heads before pruning): 0 for the given heads, 1 for all others."""
    layers = encoders.layers(model)
    row = {position: number for number, layer in enumerate(layers) for position in layer.positions}
    gates = torch.ones(len(layers), model.config.num_attention_heads, device=model.device)
    for position, head in heads:
        gates[row[position], head] = 0.0
    return gates
