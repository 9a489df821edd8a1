"""Students cut out of a larger encoder."""

from __future__ import annotations

from transformers import PreTrainedModel

from methods import encoders
from tasks.errors import BadInput


def first_layers(model: PreTrainedModel, layers: int | None) -> PreTrainedModel:
    """Keep embeddings, the first `layers` layers, pooler and classifier, in place; return the model.

    Args:
        model: an encoder of a known architecture.
        layers: layers to keep; None keeps half.

    Raises:
        BadInput: the encoder has fewer layers.
    """
    stack = encoders.stack(model)
    depth = len(stack)
    kept = max(1, depth // 2) if layers is None else layers
    if kept > depth:
        raise BadInput(f"layers: {kept} asked for, but the model has {depth}; give 1 to {depth}")
    del stack[kept:]
    model.config.num_hidden_layers = kept
    for by_layer in ("kept_heads", "kept_neurons"):
        if (left := getattr(model.config, by_layer, None)) is not None:
            setattr(model.config, by_layer, left[:kept])
    return model
