"""Importance of attention heads by the gradient of the loss with respect to head gates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from methods import encoders
from methods.flops import batch_flops, cost_of_inference, flops_by_length
from methods.pruning.gates import head_gates
from reports.record import Cost
from tasks.batches import Batch

Unit = Literal["example", "token", "batch"]


@dataclass(frozen=True)
class Importance:
    """A raw score of each head and what it cost to compute."""

    scores: NDArray[np.float64]
    """Of shape (distinct layers, heads before pruning); 0 for heads that are gone."""
    cost: Cost


def head_importance(
    model: PreTrainedModel, batches: Iterable[Batch], *, unit: Unit = "example"
) -> Importance:
    """Compute I_h = E_x |dL(x)/dgate_h|, L being cross-entropy (Michel et al., NeurIPS 2019, eq. 2).

    The derivative equals sum_t <context_h,t , dL/dcontext_h,t>. In eval mode and fp32 whatever the
    training precision; padding has no gradient and adds nothing. Units of the absolute value:

    - `example`: the paper's; depends neither on the order of examples nor on how they are batched.
    - `token`: the official code's, |.| at every token. Divided by the number of tokens, in the last layer by
      the number of examples, as there only the first token has a gradient.
    - `batch`: |.| of the sum over a batch, divided by the number of examples, as in HF's bertology script:
      signs of examples cancel, and the result depends on the batches. For comparison only.

    One forward and one backward pass per batch, with gates as the only leaves. Each matrix product then has
    one product in the backward pass (its input's gradient) instead of two, so the floor is twice the
    forward FLOPs against three times for training.

    Args:
        model: a sequence classifier; mode, gradients and `requires_grad` are left as they were.
        batches: examples with labels, from train′.
        unit: what the absolute value is taken of.

    Raises:
        ValueError: there is no batch, or no head.
    """
    layers = encoders.layers(model)
    if not any(layer.heads for layer in layers):
        raise ValueError("no head is left to be scored")
    shape = (len(layers), model.config.num_attention_heads)
    sums: list[Tensor] = []
    examples, tokens, cost, flops = 0, 0, Cost(), flops_by_length(model)
    with only_gates_learn(model):
        for batch in batches:
            size, length = batch.inputs["input_ids"].shape
            leading = {"example": (size, 1), "token": (size, length), "batch": (1, 1)}[unit]
            gates = torch.ones(*leading, *shape, dtype=model.dtype, device=model.device, requires_grad=True)
            (gradient,) = gate_gradients(model, batch, [gates], head_gates(model, gates))
            sums.append(gradient.abs().sum((0, 1)))
            examples += size
            tokens += int(batch.inputs["attention_mask"].sum())
            cost += cost_of_inference(2 * batch_flops(batch, flops))
    if not sums:
        raise ValueError("no examples to take the mean over")
    # Added up in fp64 so that the order of batches leaves no trace, on the CPU as MPS has no fp64.
    scores = torch.stack(sums).cpu().double().sum(0).numpy() / examples
    if unit == "token":
        scores[:-1] *= examples / tokens
    return Importance(scores, cost)


def layer_normalised(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide each layer's scores, shape (layers, heads), by their l2 norm (Michel et al., sec. 4.1)."""
    return scores / (np.linalg.norm(scores, axis=1, keepdims=True) + 1e-20)


def gate_gradients(
    model: PreTrainedModel, batch: Batch, gates: Sequence[Tensor], applied: AbstractContextManager[None]
) -> tuple[Tensor, ...]:
    """Differentiate the summed loss: with a mean, the examples of a small last batch would count more.

    Args:
        model: under `only_gates_learn`.
        batch: moved to the model's device.
        gates: what the gradients, of equal shapes, are of.
        applied: entered for the forward pass; it puts the gates in their places.
    """
    batch = batch.to(model.device)
    with torch.autocast(model.device.type, enabled=False), torch.enable_grad(), applied:
        loss = F.cross_entropy(model(**batch.inputs).logits, batch.labels, reduction="sum")
        return torch.autograd.grad(loss, gates)


@contextmanager
def only_gates_learn(model: PreTrainedModel) -> Iterator[None]:
    """Eval mode, and no gradients of weights, which would cost half as much again."""
    training = model.training
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
        model.train(training)
