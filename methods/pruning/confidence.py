"""Confidence of attention heads: how much of a token's attention goes to one place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from methods import encoders
from methods.attention import eager_attention
from methods.encoders import Layer
from methods.flops import batch_flops, cost_of_inference, flops_by_length
from methods.pruning.importance import Importance
from reports.record import Cost
from tasks.batches import Batch


def head_confidence(model: PreTrainedModel, batches: Iterable[Batch]) -> Importance:
    """Average each head's largest attention probability over query tokens (Voita et al. 2019, section 4).

    Queries and keys are the tokens that are neither padding nor special; probabilities are those of the
    whole row, not scaled up for the keys left out. Special are the tokens with the id of their example's
    first or last one: [CLS] and [SEP], <s> and </s>. Without dropout, in fp32; a layer that is shared counts
    each of its positions.

    Args:
        model: an encoder of a kind in `encoders.NAMINGS`; left in eval mode.
        batches: examples of the train split.

    Raises:
        ValueError: there is no ordinary token.
    """
    layers = encoders.layers(model)
    sums = torch.zeros(len(layers), model.config.num_attention_heads, dtype=torch.float64)
    queries, cost, flops = 0, Cost(), flops_by_length(model)
    model.eval()
    for batch in batches:
        ordinary = _ordinary(batch)
        queries += int(ordinary.sum())
        with _added_up(model, ordinary.to(model.device), sums), torch.inference_mode():
            model(**batch.to(model.device).inputs)
        cost += cost_of_inference(batch_flops(batch, flops))
    if not queries:
        raise ValueError("no token that is neither padding nor special to take the mean over")
    places = torch.tensor([len(layer.positions) for layer in layers])
    return Importance((sums / (queries * places[:, None])).numpy(), cost)


def _ordinary(batch: Batch) -> Tensor:
    """Tell tokens from padding and special ones: booleans of shape (batch, tokens)."""
    ids, real = batch.inputs["input_ids"], batch.inputs["attention_mask"].bool()
    last = ids.gather(1, real.sum(1, keepdim=True) - 1)
    return real & (ids != ids[:, :1]) & (ids != last)


@contextmanager
def _added_up(model: PreTrainedModel, ordinary: Tensor, sums: Tensor) -> Iterator[None]:
    """Add each head's maxima of the passes inside the `with` block to `sums`, in place."""
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(model.device.type, enabled=False))
        stack.enter_context(eager_attention(model))
        for layer, row in zip(encoders.layers(model), sums, strict=True):
            attention = layer.module.get_submodule(layer.naming.attention)
            hook = partial(_add, ordinary, row, layer)
            if layer.heads:
                stack.callback(attention.register_forward_hook(hook).remove)
        yield


def _add(ordinary: Tensor, row: Tensor, layer: Layer, module: nn.Module, inputs: Any, output: Any) -> None:
    # The second output, of shape (batch, heads, queries, keys), or what they are made of.
    probabilities = output[1].softmax(-1) if layer.naming.gives_scores else output[1]
    largest = (probabilities * ordinary[:, None, None, :]).amax(-1)
    row[list(layer.heads)] += (largest * ordinary[:, None, :]).sum((0, 2)).cpu().double()
