"""Taylor scores of feed-forward neurons, and the order in which neurons go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from methods import encoders
from methods.flops import batch_flops, cost_of_inference, flops_by_length
from methods.pruning.gates import neuron_gates
from methods.pruning.importance import gate_gradients, only_gates_learn
from reports.record import Cost
from tasks.batches import Batch

Neuron = tuple[int, int]
"""Position of its layer (the first, if the layer is shared) and its number, as `prune_neurons` takes it."""


def neuron_importance(
    model: PreTrainedModel, batches: Iterable[Batch]
) -> tuple[list[NDArray[np.float64]], Cost]:
    """Compute E_x |sum_t a_i dL/da_i|, the first-order change of the loss when neuron i goes.

    Molchanov et al., ICLR 2017, eq. 8, for linears: a_i is the activation after the non-linearity, and the
    inner sum is the gradient at a gate on it. Cross-entropy, eval mode, fp32; padding adds nothing.

    Args:
        model: left as it was.
        batches: examples with labels, from the train split.

    Returns:
        Scores of each distinct layer, shape (neurons,), and what they cost.

    Raises:
        ValueError: there is no batch.
    """
    widths = [layer.ffn_in.out_features for layer in encoders.layers(model)]
    sums = [torch.zeros(width, dtype=torch.float64) for width in widths]
    examples, cost, flops = 0, Cost(), flops_by_length(model)
    with only_gates_learn(model):
        for batch in batches:
            shapes = [(len(batch.labels), 1, width) for width in widths]
            gates = [torch.ones(shape, device=model.device, requires_grad=True) for shape in shapes]
            gradients = gate_gradients(model, batch, gates, neuron_gates(model, gates))
            for total, gradient in zip(sums, gradients, strict=True):
                total += gradient.abs().sum((0, 1)).cpu().double()
            examples += len(batch.labels)
            cost += cost_of_inference(2 * batch_flops(batch, flops))
    if not examples:
        raise ValueError("no examples to take the mean over")
    return [total.numpy() / examples for total in sums], cost


def ascending_neurons(model: PreTrainedModel, scores: Sequence[NDArray[np.float64]]) -> list[Neuron]:
    """Sort all neurons by their score over the l2 norm of their layer's scores, least first.

    The norm makes layers comparable (Molchanov et al., section 2.2). Ties keep the order of layer and number.
    """
    scored = [
        (score, (layer.positions[0], neuron))
        for layer, values in zip(encoders.layers(model), scores, strict=True)
        for neuron, score in enumerate(values / (np.linalg.norm(values) + 1e-20))
    ]
    return [neuron for _, neuron in sorted(scored)]
