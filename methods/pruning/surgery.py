"""Physical pruning of heads and feed-forward neurons: weights are removed, not masked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from methods import encoders
from methods.encoders import Layer
from tasks.errors import BadInput


def prune_heads(model: PreTrainedModel, heads: Mapping[int, Collection[int]]) -> None:
    """Remove heads from `model` in place and write what is left to `model.config.kept_heads`.

    For each head go its rows of the query, key and value weights with their biases, and its columns of
    the attention output weight (in BERT-base 196,800 parameters); the output bias stays. A layer that
    loses every head skips its attention and adds the output bias alone. The head size, and with it the
    scale 1/sqrt(head size), is unchanged. Pruned weights are new parameters: make optimisers afterwards.

    Args:
        model: an encoder of a kind in `encoders.NAMINGS`, pruned before or not.
        heads: by position of the layer, heads to remove in the numbering before any pruning; those
            already gone are passed over. A shared layer is pruned once, whichever of its positions is
            named, and loses all heads named at any of them.

    Raises:
        BadInput: the architecture is unknown, or a layer or head is out of range.
    """
    _check_range(heads, [model.config.num_attention_heads] * len(encoders.stack(model)), "head")
    kept = encoders.kept_heads(model)
    for layer in encoders.layers(model):
        gone = {head for position in layer.positions for head in heads.get(position, ())}
        left = [head for head in layer.heads if head not in gone]
        if len(left) < len(layer.heads):
            _keep(layer, left)
        for position in layer.positions:
            kept[position] = left
    if heads:
        model.config.kept_heads = kept


def prune_neurons(model: PreTrainedModel, neurons: Mapping[int, Collection[int]]) -> None:
    """Remove feed-forward neurons in place and write what is left to `model.config.kept_neurons`.

    For each neuron go its row of the first linear with its bias and its column of the second (in BERT-base
    1,537 parameters); the second's bias stays. It equals a gate of 0 after the activation, where head gates
    stand before a projection.

    Args:
        model: an encoder of a kind in `encoders.NAMINGS`, pruned before or not.
        neurons: by position of the layer, neurons to remove as they are numbered now; a shared layer is cut
            once and loses all that are named at any of its positions.

    Raises:
        BadInput: the architecture is unknown, a layer or neuron is out of range, or a layer would lose all.
    """
    before = encoders.neuron_counts(model)
    _check_range(neurons, before, "neuron")
    for layer in encoders.layers(model):
        gone = {neuron for position in layer.positions for neuron in neurons.get(position, ())}
        left = [neuron for neuron in range(layer.ffn_in.out_features) if neuron not in gone]
        if not left:
            raise BadInput(f"neurons to prune: all of layer {layer.positions[0]}; every layer keeps one")
        if gone:
            _select(layer.ffn_in, torch.tensor(left), rows=True)
            _select(layer.ffn_out, torch.tensor(left), rows=False)
    after = encoders.neuron_counts(model)
    if after != before:
        model.config.kept_neurons = after


class NoHeads(nn.Module):
    """The self-attention of a layer without heads: no query, key or value, an empty context.

    It reports no attention weights: in `output_attentions` such a layer is missing.
    """

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
        """Return a context of shape (batch, tokens, 0)."""
        return hidden_states[..., :0], None


class NoHeadsWithOutput(nn.Module):
    """The same for DistilBERT, whose attention holds the output projection."""

    def __init__(self, out_lin: nn.Module):
        super().__init__()
        self.out_lin = out_lin

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
        """Return the output bias at every token, shape (batch, tokens, hidden)."""
        return self.out_lin(hidden_states[..., :0]), None


class OutputBias(nn.Module):
    """What is left of an attention output projection without heads: its bias."""

    def __init__(self, bias: nn.Parameter):
        super().__init__()
        self.bias = bias

    def forward(self, context: Tensor) -> Tensor:
        """Map an empty context of shape (batch, tokens, 0) to the bias, (batch, tokens, hidden)."""
        # A copy, since torch's FLOP counter fails on a module whose output is a view of a parameter.
        return self.bias.expand(*context.shape[:-1], -1).clone()


def _keep(layer: Layer, heads: list[int]) -> None:
    if not heads:
        _empty(layer)
        return
    places = torch.tensor([layer.heads.index(head) for head in heads])
    units = (places[:, None] * layer.head_size + torch.arange(layer.head_size)).flatten()
    for linear in (layer.query, layer.key, layer.value):
        _select(linear, units, rows=True)
    _select(layer.output, units, rows=False)
    attention: Any = layer.module.get_submodule(layer.naming.attention)
    setattr(attention, layer.naming.head_count, len(heads))
    if hasattr(attention, "all_head_size"):
        attention.all_head_size = len(units)


def _empty(layer: Layer) -> None:
    """Replace attention and output projection: linears of width zero break most library code."""
    bias = OutputBias(layer.output.bias)
    naming = layer.naming
    if naming.output.startswith(naming.attention + "."):
        layer.module.set_submodule(naming.attention, NoHeadsWithOutput(bias))
    else:
        layer.module.set_submodule(naming.attention, NoHeads())
        layer.module.set_submodule(naming.output, bias)


def _select(linear: nn.Linear, units: Tensor, *, rows: bool) -> None:
    """Keep the given output units (rows, with their biases) or input units (columns) of a linear."""
    units = units.to(linear.weight.device)
    linear.weight = _selected(linear.weight, units, dim=0 if rows else 1)
    if rows:
        linear.bias = _selected(linear.bias, units, dim=0)
    linear.out_features, linear.in_features = linear.weight.shape


def _selected(parameter: Tensor, units: Tensor, dim: int) -> nn.Parameter:
    return nn.Parameter(parameter.detach().index_select(dim, units), requires_grad=parameter.requires_grad)


def _check_range(units: Mapping[int, Collection[int]], counts: list[int], unit: str) -> None:
    """Refuse layers and units (heads, neurons) that there are not; `counts` says how many by position."""
    for position, chosen in units.items():
        if not 0 <= position < len(counts):
            raise BadInput(
                f"{unit}s to prune: no layer {position}; this encoder has layers 0 to {len(counts) - 1}"
            )
        for number in chosen:
            if not 0 <= number < counts[position]:
                raise BadInput(
                    f"{unit}s to prune: no {unit} {number} in layer {position}; "
                    f"its {unit}s are 0 to {counts[position] - 1}"
                )
