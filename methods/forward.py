"""The forward pass of an encoder in parts, for work that must not repeat what it has computed.

The parts compute what transformers' own modules do, in eval mode, with attention as plain matrix products.
The last layer can be computed for the first token alone, the only one a classifier reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from operator import attrgetter

import torch
from torch import Tensor
from transformers import (
    BertForSequenceClassification,
    DistilBertForSequenceClassification,
    ElectraForSequenceClassification,
    PreTrainedModel,
    RobertaForSequenceClassification,
)

from methods.encoders import Layer, embeddings

_CLASSIFIERS: dict[type[PreTrainedModel], Callable[[PreTrainedModel, Tensor], Tensor]] = {
    BertForSequenceClassification: lambda model, hidden: model.classifier(model.bert.pooler(hidden)),
    RobertaForSequenceClassification: lambda model, hidden: model.classifier(hidden),
    ElectraForSequenceClassification: lambda model, hidden: model.classifier(hidden),
    DistilBertForSequenceClassification: lambda model, hidden: model.classifier(
        torch.relu(model.pre_classifier(hidden[:, 0]))
    ),
}


def why_not_by_parts(model: PreTrainedModel) -> str | None:
    """Say why this model can only be run as a whole; None where its parts are known."""
    if type(model) not in _CLASSIFIERS:
        known = ", ".join(kind.__name__ for kind in _CLASSIFIERS)
        return f"a {type(model).__name__} is none of the classifiers taken apart: {known}"
    if getattr(model.config, "is_decoder", False):
        return "it is a decoder, whose tokens see only those before them"
    if getattr(model.config, "layer_order", None):
        return "it runs its layers in an order of its own"
    return None


def embed(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return the input of the first layer, shape (batch, tokens, hidden)."""
    module = embeddings(model)
    # A tokenizer may give types to an encoder that has none, such as DistilBERT, which drops them.
    taken = signature(module.forward).parameters
    embedded: Tensor = module(**{name: tensor for name, tensor in inputs.items() if name in taken})
    projection = getattr(model.base_model, "embeddings_project", None)
    return embedded if projection is None else projection(embedded)


def additive_mask(inputs: Mapping[str, Tensor]) -> Tensor | None:
    """Return what is added to attention scores, shape (batch, 1, 1, tokens); None where nothing is padded."""
    real = inputs.get("attention_mask")
    if real is None or bool(real.all()):
        return None
    added = torch.zeros(real.shape, device=real.device)
    return added.masked_fill_(real == 0, torch.finfo(added.dtype).min)[:, None, None]


def attend(layer: Layer, hidden: Tensor, padding: Tensor | None) -> Tensor:
    """Attend in every head left: the input of the output projection.

    Args:
        layer: the layer.
        hidden: its input, shape (batch, tokens, hidden).
        padding: as from `additive_mask`.

    Returns:
        Heads side by side, shape (batch, tokens, heads * head_size).
    """
    if not layer.heads:
        return hidden[..., :0]
    query, key, value = (
        linear(hidden).unflatten(-1, (len(layer.heads), layer.head_size)).transpose(1, 2)
        for linear in (layer.query, layer.key, layer.value)
    )
    scores = query @ key.transpose(2, 3) * layer.head_size**-0.5
    return (_weights(scores, padding) @ value).transpose(1, 2).flatten(2)


def attend_from_first(layer: Layer, hidden: Tensor, padding: Tensor | None) -> Tensor:
    """Attend from the first token only; as `attend`, shape (batch, 1, heads * head_size).

    One query makes it worth while to move the key and value weights out of the sum over tokens: a score is
    (W_k^T q) x_t, the key bias adding the same to all, and the context is W_v (sum_t p_t x_t) + b_v, as
    the weights p sum to 1. That takes 4 * heads * hidden FLOPs a token instead of 4 * hidden^2, in MiniLM a
    thirty-second part.
    """
    if not layer.heads:
        return hidden[:, :1, :0]
    shape = (len(layer.heads), layer.head_size)
    query = layer.query(hidden[:, 0]).unflatten(-1, shape)
    key, value = (linear.weight.unflatten(0, shape) for linear in (layer.key, layer.value))
    scores = torch.einsum("bad,adh->bah", query, key) @ hidden.transpose(1, 2) * layer.head_size**-0.5
    weights = _weights(scores, None if padding is None else padding[:, 0])
    attended = torch.einsum("bah,adh->bad", weights @ hidden, value).flatten(1) + layer.value.bias
    return attended.unsqueeze(1)


def finish_layer(layer: Layer, hidden: Tensor, attended: Tensor) -> Tensor:
    """Finish a layer after attention: residual and norm, feed-forward, residual and norm.

    Args:
        layer: the layer.
        hidden: its input at the tokens wanted, shape (batch, tokens, hidden).
        attended: output projection of the context, bias included, of the same shape.
    """
    part = layer.module.get_submodule
    middle = part(layer.naming.attention_norm)(attended + hidden)
    inner = attrgetter(layer.naming.activation)(layer.module)(layer.ffn_in(middle))
    output: Tensor = part(layer.naming.ffn_norm)(layer.ffn_out(inner) + middle)
    return output


def run_layer(layer: Layer, hidden: Tensor, padding: Tensor | None) -> Tensor:
    """Run a whole layer; shapes as in `attend`."""
    return finish_layer(layer, hidden, layer.output(attend(layer, hidden, padding)))


def run_layer_at_first(layer: Layer, hidden: Tensor, padding: Tensor | None) -> Tensor:
    """Run a layer for the first token; the result is of shape (batch, 1, hidden)."""
    return finish_layer(layer, hidden[:, :1], layer.output(attend_from_first(layer, hidden, padding)))


def classify(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Return logits, shape (batch, classes), from the last layer's output at the first token or at all."""
    return _CLASSIFIERS[type(model)](model, hidden)


def _weights(scores: Tensor, padding: Tensor | None) -> Tensor:
    """Softmax in fp32, as autocast has it."""
    return (scores.float() if padding is None else scores.float() + padding).softmax(-1)
