"""How each architecture is taken apart: where its layers, attention heads and feed-forward parts are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from torch import nn
from transformers import PreTrainedModel

from reports.record import Parameters
from tasks.errors import BadInput


@dataclass(frozen=True)
class Naming:
    """Where transformers keeps the parts of an architecture; all but `stack` are relative to one layer."""

    stack: str
    """The list of layers, relative to the model without its classifier."""
    attention: str
    """The module that reshapes into heads."""
    query: str
    key: str
    value: str
    output: str
    """The linear after the heads; its input is the context, heads side by side."""
    attention_norm: str
    """The layer norm after attention and residual."""
    ffn_in: str
    activation: str
    """The attribute that holds the function between the two feed-forward linears."""
    ffn_out: str
    ffn_norm: str
    """The layer norm at the end of the layer."""
    head_count: str
    """The attribute of `attention` that holds its number of heads."""
    gives_scores: bool = False
    """Whether `attention` returns scores before the softmax beside the context, and not probabilities."""


_BERT = Naming(
    stack="encoder.layer",
    attention="attention.self",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    output="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    ffn_in="intermediate.dense",
    activation="intermediate.intermediate_act_fn",
    ffn_out="output.dense",
    ffn_norm="output.LayerNorm",
    head_count="num_attention_heads",
)
_DISTILBERT = Naming(
    stack="transformer.layer",
    attention="attention",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    output="attention.out_lin",
    attention_norm="sa_layer_norm",
    ffn_in="ffn.lin1",
    activation="ffn.activation",
    ffn_out="ffn.lin2",
    ffn_norm="output_layer_norm",
    head_count="n_heads",
)
NAMINGS = {
    "bert": _BERT,
    "roberta": _BERT,
    "electra": _BERT,
    "distilbert": _DISTILBERT,
    "compact-albert": _BERT,
    "bottleneck-bert": replace(_BERT, gives_scores=True),
}
"""By transformers' `model_type`."""


@dataclass(frozen=True)
class Layer:
    """One distinct layer; where cross-layer sharing repeats it, it still appears once."""

    module: nn.Module
    positions: tuple[int, ...]
    """Where it stands in the encoder, from 0; several when it is shared."""
    heads: tuple[int, ...]
    """Heads left, by their numbers before any pruning."""
    head_size: int
    naming: Naming

    @property
    def query(self) -> nn.Linear:
        """Of shape (heads * head_size, hidden); gone, like key and value, when no head is left."""
        return self._linear(self.naming.query)

    @property
    def key(self) -> nn.Linear:
        """Of shape (heads * head_size, hidden)."""
        return self._linear(self.naming.key)

    @property
    def value(self) -> nn.Linear:
        """Of shape (heads * head_size, hidden)."""
        return self._linear(self.naming.value)

    @property
    def output(self) -> nn.Linear:
        """Of shape (hidden, heads * head_size); its input is the context that head gates multiply."""
        return self._linear(self.naming.output)

    @property
    def ffn_in(self) -> nn.Linear:
        """Of shape (neurons, hidden)."""
        return self._linear(self.naming.ffn_in)

    @property
    def ffn_out(self) -> nn.Linear:
        """Of shape (hidden, neurons)."""
        return self._linear(self.naming.ffn_out)

    def _linear(self, path: str) -> nn.Linear:
        return cast(nn.Linear, self.module.get_submodule(path))


def naming(model: PreTrainedModel) -> Naming:
    """Return where the parts of the model's architecture are.

    Raises:
        BadInput: the architecture is not one of `NAMINGS`.
    """
    kind = model.config.model_type
    if kind not in NAMINGS:
        raise BadInput(
            f"model: no known layers and attention heads in a {kind!r} model ({type(model).__name__}); "
            f"choose an encoder of one of these kinds: {', '.join(NAMINGS)}"
        )
    return NAMINGS[kind]


def stack(model: PreTrainedModel) -> nn.ModuleList:
    """Return the list of layers by position; a shared layer is the same object at several positions.

    Raises:
        BadInput: the architecture is not one of `NAMINGS`.
    """
    return _stack(model, naming(model))


def applications(model: PreTrainedModel) -> int:
    """Return how many layers a forward pass applies: more than the model has where it runs some again."""
    return len(getattr(model.config, "layer_order", None) or stack(model))


def layers(model: PreTrainedModel) -> list[Layer]:
    """Take the encoder apart into its distinct layers, in the order they first appear.

    Raises:
        BadInput: the architecture is not one of `NAMINGS`.
    """
    names = naming(model)
    positions: dict[nn.Module, list[int]] = {}
    for position, module in enumerate(_stack(model, names)):
        positions.setdefault(module, []).append(position)
    heads = kept_heads(model)
    # Where blocks have a bottleneck, heads share the width inside it.
    width = getattr(model.config, "true_hidden_size", model.config.hidden_size)
    head_size = width // model.config.num_attention_heads
    return [
        Layer(module, tuple(places), tuple(heads[places[0]]), head_size, names)
        for module, places in positions.items()
    ]


def kept_heads(model: PreTrainedModel) -> list[list[int]]:
    """Return the heads left at each position, by their numbers before any pruning."""
    kept = getattr(model.config, "kept_heads", None)
    if kept is not None:
        return [list(heads) for heads in kept]
    return [list(range(model.config.num_attention_heads)) for _ in stack(model)]


def removed_heads(model: PreTrainedModel, had: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the heads gone at each position, by their numbers before any pruning.

    Args:
        model: as it is now.
        had: `kept_heads` as it was before.
    """
    return [
        [head for head in before if head not in now]
        for before, now in zip(had, kept_heads(model), strict=True)
    ]


def head_counts(model: PreTrainedModel) -> list[int]:
    """Return the number of heads left at each position."""
    return [len(heads) for heads in kept_heads(model)]


def neuron_counts(model: PreTrainedModel) -> list[int]:
    """Return the number of feed-forward neurons left at each position."""
    count = {place: layer.ffn_in.out_features for layer in layers(model) for place in layer.positions}
    return [count[position] for position in sorted(count)]


def embeddings(model: PreTrainedModel) -> nn.Module:
    """Return the module that embeds tokens, without ELECTRA's projection to the hidden size."""
    naming(model)
    return model.base_model.get_submodule("embeddings")


def head(model: PreTrainedModel) -> str:
    """Return the path of the linear that gives the logits, relative to the classifier model."""
    return "classifier" if isinstance(model.get_submodule("classifier"), nn.Linear) else "classifier.out_proj"


def parameters(model: PreTrainedModel) -> Parameters:
    """Count unique parameters: all, those of the layers, and those before the first layer.

    ELECTRA's projection from embedding to hidden size counts among the embeddings.
    """
    projection = getattr(model.base_model, "embeddings_project", None)
    before = [embeddings(model)] + ([projection] if projection is not None else [])
    return Parameters(total=_count([model]), encoder=_count([stack(model)]), embeddings=_count(before))


def _count(modules: Iterable[nn.Module]) -> int:
    unique = {parameter for module in modules for parameter in module.parameters()}
    return sum(parameter.numel() for parameter in unique)


def _stack(model: PreTrainedModel, names: Naming) -> nn.ModuleList:
    return cast(nn.ModuleList, model.base_model.get_submodule(names.stack))
