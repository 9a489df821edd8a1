"""Raw attention scores, read off any attention kernel while the encoder runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from methods import encoders
from methods.encoders import Layer


@contextmanager
def raw_scores(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """Collect Q K' / sqrt(d) before mask and softmax in forward passes inside the `with` block.

    Yields:
        A list that grows by one tensor of shape (batch, heads, tokens, tokens) for each application of a
        layer with heads, in the order in which they run, in fp32. It can be differentiated. Clear it
        between passes.
    """
    scores: list[Tensor] = []
    handles, hooked = [], set()
    for layer in encoders.layers(model):
        attention = layer.module.get_submodule(layer.naming.attention)
        # Layers may share their attention alone; it then runs once for each of them.
        if not layer.heads or attention in hooked:
            continue
        hooked.add(attention)
        outputs: dict[nn.Module, Tensor] = {}
        handles += [
            linear.register_forward_hook(partial(_keep, outputs)) for linear in (layer.query, layer.key)
        ]
        handles.append(attention.register_forward_hook(partial(_multiply, layer, outputs, scores)))
    try:
        yield scores
    finally:
        for handle in handles:
            handle.remove()


def _keep(
    outputs: dict[nn.Module, Tensor], linear: nn.Module, inputs: tuple[Any, ...], output: Tensor
) -> None:
    outputs[linear] = output


def _multiply(layer: Layer, outputs: dict[nn.Module, Tensor], scores: list[Tensor], *_: Any) -> None:
    # Looked up now: in an exchanged application the two have changed places.
    query, key = (
        outputs[linear].float().unflatten(-1, (len(layer.heads), layer.head_size)).transpose(1, 2)
        for linear in (layer.query, layer.key)
    )
    outputs.clear()
    with torch.autocast(query.device.type, enabled=False):
        scores.append(query @ key.transpose(-1, -2) * layer.head_size**-0.5)
