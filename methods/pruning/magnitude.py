"""Size of the weights that a head or a feed-forward neuron is made of."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from methods import encoders
from methods.precision import exact


@torch.no_grad()
def head_magnitude(model: PreTrainedModel) -> NDArray[np.float64]:
    """Sum the squares of each head's parameters: those that physical pruning removes.

    Rows of the query, key and value weights with their biases, and columns of the output weight.

    Returns:
        Of shape (distinct layers, heads before pruning); 0 for heads that are gone.
    """
    layers = encoders.layers(model)
    sums = np.zeros((len(layers), model.config.num_attention_heads))
    for row, layer in enumerate(layers):
        if not layer.heads:
            continue
        columns = exact(layer.output.weight).square().sum(0)
        for linear in (layer.query, layer.key, layer.value):
            columns += exact(linear.weight).square().sum(1) + exact(linear.bias).square()
        sums[row, list(layer.heads)] = columns.unflatten(0, (-1, layer.head_size)).sum(1).cpu().numpy()
    return sums


@torch.no_grad()
def neuron_norms(model: PreTrainedModel) -> list[NDArray[np.float64]]:
    """Multiply the l2 norms of each neuron's input row and output column, without biases.

    Returns:
        For each distinct layer an array of shape (neurons,).
    """
    return [
        (exact(layer.ffn_in.weight).norm(dim=1) * exact(layer.ffn_out.weight).norm(dim=0)).cpu().numpy()
        for layer in encoders.layers(model)
    ]
