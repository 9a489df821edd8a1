"""Which layers share their tensors, and what an encoder must have to be shared. Imports no torch."""

from __future__ import annotations

from tasks.errors import BadInput


def groups_of(layers: int, groups: int) -> list[int]:
    """Assign each layer a group: neighbours together, group sizes differing by at most one."""
    return [position * groups // layers for position in range(layers)]


def require_layers(layers: int, groups: int, layer: int | None) -> None:
    """Make sure that an encoder of `layers` layers can be shared as asked.

    Args:
        layers: of the encoder.
        groups: distinct layers that are to be left.
        layer: the one that is to be kept, from 0; None where all have their part.

    Raises:
        BadInput: there are fewer layers than groups, or there is no such layer.
    """
    if groups > layers:
        raise BadInput(f"groups: {groups} asked for, but the model has {layers} layers; give 1 to {layers}")
    if layer is not None and layer >= layers:
        raise BadInput(f"layer: {layer} asked for, but the model has layers 0 to {layers - 1}")


def shared_already(name: str) -> str:
    """Say that an encoder's layers share weights, so that they cannot be shared in another way."""
    return f"the layers of {name!r} share weights already; choose an encoder whose layers do not"


def require_pooler(kind: str, has_pooler: bool) -> None:
    """Make sure that an encoder can recover on text: its sentence order is learnt through a pooler.

    Args:
        kind: its `model_type`, for the message.
        has_pooler: whether it has one.

    Raises:
        BadInput: it has none.
    """
    if not has_pooler:
        raise BadInput(
            f"corpus_tokens: sentence order is learnt through a pooler, and a {kind!r} encoder has none; "
            "leave it out, or take a BERT"
        )
