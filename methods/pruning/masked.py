"""Logits of an encoder for many choices of heads of one layer, without repeating what they share.

Rewards of AUBER, forward selection of heads and the ablation of each head ask for thousands of evaluations of
almost the same model: one layer's heads differ, everything below that layer is the same.

The floor. A layer's four attention linears cost 8 h^2 FLOPs a token and its feed-forward part 16 h^2 (h:
its hidden size; products of tokens with tokens left out), a plain evaluation of L layers 24 L h^2. With a
mask in layer l, counted from 0, the layers below it and the contexts of its heads are the same for all
masks; left are its feed-forward part and the layers above, of which the last is needed at the first token
only: next to nothing (`forward.attend_from_first`). The output projection is linear, so what a head adds to
its result is computed once and summed by mask. That makes 16 h^2 + 24 (L - 2 - l) h^2 for l < L - 1, and
about 0 for l = L - 1. Over the six layers of MiniLM these are 13 1/3 layers' worth against 36: 2.7 times
fewer FLOPs for as many masks in every layer. Each head of every layer once, as in an ablation, is 160 layers'
worth and 5 for the activations that all share, against 432: 2.6 times fewer. Attention between tokens, few
FLOPs but a fifth of the time, is done in 10 layers instead of 36, so that a little more than these ratios
can be had.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from methods import encoders, forward
from methods.flops import cost_of_inference, flops_by_length
from methods.inference import predict
from methods.pruning.gates import head_gates
from reports.record import Cost
from tasks.batches import in_order
from tasks.errors import BadInput
from tasks.examples import Examples

Masks = NDArray[np.bool_]
"""Heads that stay, shape (masks, heads before any pruning); those already gone have no effect."""

_BATCH = 32
"""Examples at once: as fast as more, with less padding and less memory."""

_GROUP = 4
"""Masks whose sums over heads are one matrix product, always of this many rows."""


class Evaluator(Protocol):
    """Predicts with heads of one layer removed."""

    path: ClassVar[str]
    """`shared` or `whole`: how it does it."""
    cost: Cost
    """Spent so far."""

    def __init__(self, model: PreTrainedModel, examples: Examples, *, bf16: bool = False) -> None: ...

    def logits(self, row: int, masks: Masks) -> NDArray[np.float32]:
        """Predict every example with each mask in the layer `row` of `encoders.layers`.

        Returns:
            Logits of shape (masks, examples, classes), in the order of the examples. A mask's logits are the
            same bits whatever masks are asked for beside it, before or after.
        """
        ...


def evaluator(model: PreTrainedModel, examples: Examples, *, bf16: bool = False) -> Evaluator:
    """Return the fastest evaluator for this model; its `path` says which.

    Args:
        model: a sequence classifier, pruned before or not; it must not change while the evaluator is used.
        examples: what to predict.
        bf16: run matrix products in bfloat16.

    Raises:
        BadInput: no examples, or an encoder without known attention heads.
    """
    kind: type[Evaluator] = WholeEvaluator if why_not_by_parts(model) else MaskedEvaluator
    return kind(model, examples, bf16=bf16)


def why_not_by_parts(model: PreTrainedModel) -> str | None:
    """Say why masks of this model need whole forward passes; None where they do not."""
    layers = encoders.layers(model)
    if len(layers) < len(encoders.stack(model)):
        return "it shares layers: a mask in one changes several"
    return forward.why_not_by_parts(model)


class WholeEvaluator:
    """A forward pass of the whole model, with gates, for every mask: what `MaskedEvaluator` is judged by."""

    path: ClassVar[str] = "whole"

    def __init__(self, model: PreTrainedModel, examples: Examples, *, bf16: bool = False) -> None:
        _check(examples)
        self.cost = Cost()
        self._model, self._examples, self._bf16 = model, examples, bf16
        self._shape = (len(encoders.layers(model)), model.config.num_attention_heads)
        flops = flops_by_length(model)
        self._flops = sum(flops(int(length)) for length in examples.lengths)

    def logits(self, row: int, masks: Masks) -> NDArray[np.float32]:
        """As `Evaluator.logits`."""
        logits = np.empty((len(masks), len(self._examples), self._model.config.num_labels), np.float32)
        for mask, place in zip(masks, logits, strict=True):
            gates = torch.ones(self._shape, device=self._model.device)
            gates[row] = torch.from_numpy(mask)
            with head_gates(self._model, gates):
                place[:] = predict(self._model, self._examples, bf16=self._bf16)
        self.cost += cost_of_inference(len(masks) * self._flops)
        return logits


class MaskedEvaluator:
    """Computes activations below the layer once, contributions of its heads once a call, the rest per mask.

    Layers are best asked for in ascending order: the activations are then carried from one to the next.
    Memory: the activations of all examples at one layer's input, and as much again for the contexts.
    """

    path: ClassVar[str] = "shared"

    def __init__(self, model: PreTrainedModel, examples: Examples, *, bf16: bool = False) -> None:
        if reason := why_not_by_parts(model):
            raise ValueError(f"masks of this model need whole forward passes: {reason}")
        _check(examples)
        self.cost = Cost()
        self._model, self._examples, self._bf16 = model.eval(), examples, bf16
        self._layers = encoders.layers(model)
        self._batches = [batch.to(model.device) for batch in in_order(examples, _BATCH)]
        self._padding = [forward.additive_mask(batch.inputs) for batch in self._batches]
        self._row = -1
        self._hidden: list[Tensor] = []
        """Input of layer `_row`, by batch."""
        self._contexts: list[Tensor] = []
        """Contexts of its heads, by batch; of the last layer at the first token only."""

    def logits(self, row: int, masks: Masks) -> NDArray[np.float32]:
        """As `Evaluator.logits`."""
        heads = list(self._layers[row].heads)
        stay = torch.zeros(math.ceil(len(masks) / _GROUP) * _GROUP, len(heads), device=self._model.device)
        stay[: len(masks)] = torch.from_numpy(masks[:, heads])
        logits = np.empty((len(masks), len(self._examples), self._model.config.num_labels), np.float32)
        autocast = torch.autocast(self._model.device.type, dtype=torch.bfloat16, enabled=self._bf16)
        with torch.inference_mode(), autocast:
            self._enter(row)
            for number, batch in enumerate(self._batches):
                attended = self._attended(number, stay)
                # One mask at a time, so that the shapes of products, and with them their rounding, do not
                # depend on how many masks come together.
                for place, one in zip(logits, attended, strict=False):
                    output = self._finish(number, one)
                    place[batch.positions.numpy()] = output.float().cpu().numpy()
        self.cost += cost_of_inference(len(masks) * self._flops())
        return logits

    def _enter(self, row: int) -> None:
        """Bring the activations to the input of layer `row` and attend there."""
        if row == self._row:
            return
        if row < self._row or self._row < 0:
            self._row = 0
            self._hidden = [forward.embed(self._model, batch.inputs) for batch in self._batches]
        for layer in self._layers[self._row : row]:
            self._hidden = [
                forward.run_layer(layer, hidden, padding)
                for hidden, padding in zip(self._hidden, self._padding, strict=True)
            ]
        self._row = row
        attend = forward.attend_from_first if self._is_last else forward.attend
        self._contexts = [
            attend(self._layers[row], hidden, padding)
            for hidden, padding in zip(self._hidden, self._padding, strict=True)
        ]

    @property
    def _is_last(self) -> bool:
        return self._row == len(self._layers) - 1

    def _attended(self, number: int, stay: Tensor) -> Iterator[Tensor]:
        """Sum the heads' shares of the layer's attention output by mask; each is (batch, tokens, hidden).

        Of the shares (batch's examples, 12 times its activations) only those of one batch are kept: making
        them again in the next call costs as much as one output projection.
        """
        layer = self._layers[self._row]
        per_head = (len(layer.heads), layer.head_size)
        bias = layer.output.bias
        if not layer.heads:
            yield from [layer.output(self._contexts[number])] * len(stay)
            return
        shares = torch.einsum(
            "btad,had->abth",
            self._contexts[number].unflatten(-1, per_head),
            layer.output.weight.unflatten(-1, per_head),
        )
        for group in stay.split(_GROUP):
            yield from (group @ shares.flatten(1)).unflatten(1, shares.shape[1:]) + bias

    def _finish(self, number: int, attended: Tensor) -> Tensor:
        """Compute logits of a batch from the layer's attention output."""
        hidden, padding = self._hidden[number], self._padding[number]
        hidden = forward.finish_layer(self._layers[self._row], hidden[:, : attended.shape[1]], attended)
        if not self._is_last:
            for layer in self._layers[self._row + 1 : -1]:
                hidden = forward.run_layer(layer, hidden, padding)
            hidden = forward.run_layer_at_first(self._layers[-1], hidden, padding)
        return forward.classify(self._model, hidden)

    def _flops(self) -> float:
        """FLOPs of one mask for all examples, without what is done for the first token alone."""
        total = 0.0
        for layer in self._layers[self._row : -1]:
            ffn = layer.ffn_in.weight.numel() + layer.ffn_out.weight.numel()
            width = 0 if layer.positions[0] == self._row else len(layer.heads) * layer.head_size
            linears = ffn + 4 * width * layer.ffn_out.out_features
            for batch in self._batches:
                examples, length = batch.inputs["input_ids"].shape
                total += 2.0 * examples * length * (linears + 2 * length * width)
        return total


def _check(examples: Examples) -> None:
    if not len(examples):
        raise BadInput("no examples to judge heads on; raise `limit` or `selection` in the sweep")
