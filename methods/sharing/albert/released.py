"""Released ALBERT checkpoints, as transformers reads them, turned into our encoder."""

from __future__ import annotations

import re

from torch import Tensor
from transformers import AlbertForSequenceClassification
from transformers.initialization import no_init_weights

from methods.sharing.albert.model import CompactAlbertConfig, CompactAlbertForSequenceClassification
from methods.sharing.groups import groups_of
from tasks.errors import BadInput

_GROUP = "encoder.albert_layer_groups.{group}.albert_layers.0."
_IN_LAYER = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.dense",
    "attention.output.LayerNorm": "attention.LayerNorm",
    "intermediate.dense": "ffn",
    "output.dense": "ffn_output",
    "output.LayerNorm": "full_layer_layer_norm",
}
_OUTSIDE = {
    "embeddings.projection": "encoder.embedding_hidden_mapping_in",
    "pooler.dense": "pooler",
}
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)")


def convert(model: AlbertForSequenceClassification) -> CompactAlbertForSequenceClassification:
    """Return the same function as our model, in eval mode; the weights are taken over.

    Raises:
        BadInput: it repeats layers within a group, or projects embeddings that are as wide as its layers.
    """
    config = model.config
    if config.inner_group_num != 1 or config.embedding_size == config.hidden_size:
        raise BadInput(
            "model: this ALBERT has several layers in a group or a projection between equal widths, as no "
            "released one has; take albert/albert-base-v2 or the like"
        )
    shared = {
        name: getattr(config, name)
        for name in (
            *("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_hidden_groups"),
            *("num_attention_heads", "intermediate_size", "hidden_act", "hidden_dropout_prob"),
            *("attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size"),
            *("initializer_range", "layer_norm_eps", "pad_token_id", "id2label", "label2id"),
        )
    }
    ours = CompactAlbertConfig(**shared, share="all", classifier_dropout=config.classifier_dropout_prob)
    with no_init_weights():
        converted = CompactAlbertForSequenceClassification(ours)
    theirs = model.state_dict()
    groups = groups_of(config.num_hidden_layers, config.num_hidden_groups)
    converted.load_state_dict(
        {name: _found(name, theirs, groups) for name in converted.state_dict()}, strict=True
    )
    return converted.eval()


def _found(name: str, theirs: dict[str, Tensor], groups: list[int]) -> Tensor:
    """The tensor of transformers' model that ours calls `name`."""
    if not name.startswith("bert."):
        return theirs[name]
    inner = name.removeprefix("bert.")
    if match := _LAYER.fullmatch(inner):
        position, part, kind = match.groups()
        return theirs[f"albert.{_GROUP.format(group=groups[int(position)])}{_IN_LAYER[part]}.{kind}"]
    part, _, kind = inner.rpartition(".")
    return theirs[f"albert.{_OUTSIDE.get(part, part)}.{kind}"]
