"""An encoder that applies its layers more than once, with query and key exchanged where it is asked to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from methods import encoders
from methods.encoders import Naming
from tasks.errors import BadInput


def run_in_order(
    model: PreTrainedModel, order: Sequence[int], exchanged: Sequence[bool] | None = None
) -> PreTrainedModel:
    """Let the encoder apply its layers in `order` from now on, in place; return the model.

    Nothing is copied: parameters, their names and the list of layers stay those of the model. An exchanged
    application uses the layer's W_Q, b_Q as keys and its W_K, b_K as queries, so that its raw attention
    scores are the transposed ones (Pea-KD, Cho & Kang, arXiv 2009.14822). `config.layer_order` and
    `config.layer_exchanges` say so, and make it real again after loading.

    Args:
        model: an encoder of a known architecture.
        order: positions in the list of layers, one for each application.
        exchanged: for each application whether query and key change places; by default none does.

    Raises:
        BadInput: a position is not in the encoder, or the two lists differ in length.
    """
    stack = encoders.stack(model)
    exchanges = [False] * len(order) if exchanged is None else list(exchanged)
    if not order or set(order) - set(range(len(stack))) or len(exchanges) != len(order):
        raise BadInput(
            f"layers in order {list(order)}, exchanged {exchanges}: the model has {len(stack)} layers; "
            f"give positions 0 to {len(stack) - 1}, and as many exchanges"
        )
    path = encoders.naming(model).stack
    parent, _, name = path.rpartition(".")
    encoder = model.base_model.get_submodule(parent)
    expand = partial(_expand, name, tuple(order), tuple(exchanges), encoders.naming(model))
    encoder.register_forward_pre_hook(expand)
    # Also after a failure: an interrupted pass must not leave another model behind.
    encoder.register_forward_hook(partial(_restore, name), always_call=True)
    model.config.layer_order, model.config.layer_exchanges = list(order), exchanges
    return model


class Exchanged(nn.Module):
    """One application of a layer with query and key in each other's place."""

    def __init__(self, layer: nn.Module, naming: Naming):
        super().__init__()
        self.layer = layer
        self.naming = naming

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Run the layer itself, its two projections exchanged for as long as it runs.

        Raises:
            BadInput: the layer would be run again for the backward pass, when nothing is exchanged any more.
        """
        if self.layer.training and getattr(self.layer, "gradient_checkpointing", False):
            raise BadInput(
                "gradient checkpointing runs a layer again without its query and key exchanged, and the "
                "gradients would be wrong; disable it with `gradient_checkpointing_disable()`"
            )
        parent, _, query = self.naming.query.rpartition(".")
        key = self.naming.key.rpartition(".")[2]
        attention = self.layer.get_submodule(parent)
        own = getattr(attention, query), getattr(attention, key)
        setattr(attention, query, own[1])
        setattr(attention, key, own[0])
        try:
            return self.layer(*inputs, **options)
        finally:
            setattr(attention, query, own[0])
            setattr(attention, key, own[1])


class _Applications(nn.ModuleList):
    """The layers in the order in which they run; there only while the encoder runs."""

    def __init__(
        self, stored: nn.ModuleList, order: Sequence[int], exchanged: Sequence[bool], naming: Naming
    ):
        super().__init__(
            Exchanged(stored[position], naming) if exchange else stored[position]
            for position, exchange in zip(order, exchanged, strict=True)
        )
        # In a tuple, since a module here would be taken for one more layer.
        self.stored = (stored,)


def _expand(
    name: str,
    order: Sequence[int],
    exchanged: Sequence[bool],
    naming: Naming,
    encoder: nn.Module,
    inputs: tuple[Any, ...],
) -> None:
    setattr(encoder, name, _Applications(getattr(encoder, name), order, exchanged, naming))


def _restore(name: str, encoder: nn.Module, inputs: tuple[Any, ...], outputs: Any) -> None:
    applications = getattr(encoder, name)
    if isinstance(applications, _Applications):
        setattr(encoder, name, applications.stored[0])
