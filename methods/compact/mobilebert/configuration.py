"""What a BERT with bottlenecks looks like: MobileBERT, MobileBERT-TINY and IB-BERT, of any size."""

from __future__ import annotations

from typing import Any

from transformers import MobileBertConfig

from tasks.errors import BadInput


class BottleneckBertConfig(MobileBertConfig):
    """transformers' MobileBERT configuration, so that a released one can be read, with two more meanings.

    Where neither attention nor query and key pass a bottleneck, queries and keys are made from the block's
    input, of `hidden_size` (Sun et al., table 1, column IB-BERT); transformers' own classes give them the
    width `intra_bottleneck_size` there and cannot run.

    `hidden_size` is the inter-block width, `intra_bottleneck_size` the width inside a block. With
    `classifier_activation` there is a pooler with tanh, without it the classifier sees the raw [CLS].
    """

    model_type = "bottleneck-bert"

    zero_padding: bool = True
    """Whether a trigram sees zeros beyond the text's end. Released weights saw the vector of [PAD] there."""


def mobilebert(**changes: Any) -> BottleneckBertConfig:
    """MobileBERT (table 1): 24,581,888 parameters; keywords change its fields."""
    return BottleneckBertConfig(**{"classifier_activation": False, **changes})


def mobilebert_tiny(**changes: Any) -> BottleneckBertConfig:
    """MobileBERT-TINY: two feed-forward networks, all of attention inside the bottleneck; 15,485,696."""
    shape = {
        "num_feedforward_networks": 2,
        "use_bottleneck_attention": True,
        "key_query_shared_bottleneck": False,
    }
    return mobilebert(**{**shape, **changes})


def ib_bert(**changes: Any) -> BottleneckBertConfig:
    """IB-BERT-LARGE, the teacher with inverted bottlenecks: 294,467,840 parameters with its pooler."""
    shape = {
        "intra_bottleneck_size": 1024,
        "intermediate_size": 4096,
        "num_feedforward_networks": 1,
        "key_query_shared_bottleneck": False,
        "normalization_type": "layer_norm",
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
    }
    return BottleneckBertConfig(**{**shape, **changes})


def check(config: BottleneckBertConfig) -> None:
    """Refuse what cannot be built.

    Raises:
        BadInput: the width inside a block is not a multiple of the heads, or a part is not known.
    """
    inner, heads = config.true_hidden_size, config.num_attention_heads
    if inner % heads:
        raise BadInput(
            f"heads: a width of {inner} inside the block cannot be divided among {heads} heads; "
            f"take a width that is a multiple of {heads}"
        )
    if config.embedding_size > config.hidden_size:
        raise BadInput(
            f"embedding_size: {config.embedding_size} is more than the hidden size {config.hidden_size}; "
            "take at most as much, the MLM head ties the word table to a part of the hidden vector"
        )
    if not config.trigram_input:
        raise BadInput("trigram_input: false is another architecture; only trigram embeddings are known")
    if config.normalization_type not in ("no_norm", "layer_norm"):
        raise BadInput(
            f"normalization_type: {config.normalization_type!r} is not known; take no_norm or layer_norm"
        )
    if config.num_feedforward_networks < 1:
        raise BadInput("num_feedforward_networks: a block has at least one; take 1 to 4")
