"""Gates: one factor per attention head or feed-forward neuron, in the middle of a forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from methods import encoders
from methods.encoders import Layer


@contextmanager
def head_gates(model: PreTrainedModel, gates: Tensor) -> Iterator[None]:
    """Multiply the context of every head by its gate in all forward passes inside the `with` block.

    The context is the input of the attention output projection, so a gate of 0 removes a head together
    with its value bias and leaves the output bias, and a gate of 1 changes no bit. It equals masking the
    head's attention probabilities, with any attention implementation. Gradients flow to `gates`, which is
    read anew in every forward pass (Michel et al., NeurIPS 2019, sec. 2.3).

    Args:
        model: an encoder of a kind in `encoders.NAMINGS`; it is left without hooks.
        gates: of shape (..., layers, heads): distinct layers as in `encoders.layers`, heads in the
            numbering before pruning; gates of heads that are gone have no effect. Leading dimensions, if
            any, are (batch, tokens), each either 1 or of full size: a gate for each example or token.

    Raises:
        ValueError: the last two dimensions of `gates` are not (layers, heads).
    """
    layers = encoders.layers(model)
    expected = (len(layers), model.config.num_attention_heads)
    if gates.shape[-2:] != expected:
        raise ValueError(f"gates must end in shape {expected}, not {tuple(gates.shape)}")
    with ExitStack() as stack:
        for row, layer in enumerate(layers):
            if layer.heads:
                hook = partial(_gate, gates, row, layer)
                stack.callback(layer.output.register_forward_pre_hook(hook).remove)
        yield


@contextmanager
def neuron_gates(model: PreTrainedModel, gates: Sequence[Tensor]) -> Iterator[None]:
    """Multiply the activation of every feed-forward neuron by its gate, as `head_gates` does the contexts.

    The activation is the input of the layer's second linear, so a gate of 0 removes a neuron and leaves that
    linear's bias.

    Args:
        model: an encoder of a kind in `encoders.NAMINGS`; it is left without hooks.
        gates: for each distinct layer a tensor that broadcasts to (batch, tokens, neurons).

    Raises:
        ValueError: there are not as many gates as layers and neurons.
    """
    layers = encoders.layers(model)
    expected = [layer.ffn_in.out_features for layer in layers]
    if [gate.shape[-1] for gate in gates] != expected:
        raise ValueError(f"gates must be of {expected} neurons, not {[gate.shape[-1] for gate in gates]}")
    with ExitStack() as stack:
        for layer, gate in zip(layers, gates, strict=True):
            hook = partial(_gate_neurons, gate)
            stack.callback(layer.ffn_out.register_forward_pre_hook(hook).remove)
        yield


def _gate(gates: Tensor, row: int, layer: Layer, module: nn.Module, inputs: tuple[Any, ...]) -> Tensor:
    context: Tensor = inputs[0]
    gate = gates[..., row, list(layer.heads)].to(context.dtype)
    per_head = context.unflatten(-1, (len(layer.heads), layer.head_size))
    return (per_head * gate.unsqueeze(-1)).flatten(-2)


def _gate_neurons(gate: Tensor, module: nn.Module, inputs: tuple[Any, ...]) -> Tensor:
    activation: Tensor = inputs[0]
    return activation * gate.to(activation.dtype)
