"""Heads of different layers paired before they are averaged: their order within a layer means nothing."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from methods.encoders import Layer


@torch.no_grad()
def match_heads(layer: Layer, reference: Layer) -> None:
    """Reorder the heads of `layer`, in place, so that each stands where its nearest of `reference` does.

    The pairing has the least sum of squared distances between the heads' query, key, value and output weights
    (Hungarian method, Kuhn, 1955). What the layer computes does not change.
    """
    distances = torch.cdist(_heads(reference), _heads(layer)).square()
    _, order = linear_sum_assignment(distances.numpy())
    rows = torch.cat([torch.arange(layer.head_size) + int(head) * layer.head_size for head in order])
    for linear in (layer.query, layer.key, layer.value):
        linear.weight.copy_(linear.weight[rows])
        linear.bias.copy_(linear.bias[rows])
    layer.output.weight.copy_(layer.output.weight[:, rows])


def _heads(layer: Layer) -> Tensor:
    """All weights of each head in a row, shape (heads, weights), on the CPU in double precision."""
    parts = [layer.query.weight, layer.key.weight, layer.value.weight, layer.output.weight.T]
    heads = [part.reshape(-1, layer.head_size * part.shape[1]) for part in parts]
    return torch.cat(heads, dim=1).cpu().double()
