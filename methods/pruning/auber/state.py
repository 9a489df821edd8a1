"""The state AUBER's agent sees: one number per head of the layer, from its weights."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.encoders import Layer
from methods.pruning.auber.presets import Norm, State


def initial_state(layer: Layer, part: State, norm: Norm) -> Tensor:
    """Softmax of the standardised norms of each head's weights (Lee et al., 2021; official code).

    The norm is taken over a head's rows of the weight, biases left out; standardised with the population's
    standard deviation over the layer's heads. It does not depend on activations or data. Heads of equal norm,
    and `constant`, the control that tells the agent nothing, give equal entries.

    Args:
        layer: the layer as it is now, i.e. after the layers below it were pruned and fine-tuned.
        part: whose weights; the paper's is `value`.
        norm: sum of absolute values (`l1`, the paper's text) or Frobenius (`l2`, the official code).

    Returns:
        Of shape (heads left,), fp32, positive, summing to 1.
    """
    if part == "constant":
        return torch.full((len(layer.heads),), 1 / len(layer.heads))
    linear = {"value": layer.value, "query": layer.query, "key": layer.key}[part]
    # In fp64, so that scaling all weights leaves no trace.
    weights = linear.weight.detach().cpu().double().unflatten(0, (len(layer.heads), layer.head_size))
    norms = weights.flatten(1).norm(p={"l1": 1, "l2": 2}[norm], dim=1)
    centred = norms - norms.mean()
    spread = norms.std(correction=0)
    if spread > 1e-12 * norms.mean():
        centred = centred / spread
    return centred.softmax(0).float()
