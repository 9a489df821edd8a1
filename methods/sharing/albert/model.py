"""ALBERT's encoder with any part of its layers shared, as a transformers model.

It is BERT's code with two changes, so that pruning, FLOPs and checkpoints treat it like any BERT.
transformers' own ALBERT always projects the embeddings and always shares whole layers; `released` converts
its checkpoints.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import BertConfig
from transformers.models.bert.modeling_bert import (
    BertEmbeddings,
    BertForSequenceClassification,
    BertModel,
    BertPreTrainedModel,
)

from methods.sharing.groups import groups_of
from methods.sharing.ties import share_by_group

Share = Literal["all", "attention", "ffn", "none"]
"""What the layers of a group have in common.

`attention`: the query, key, value and output linears and their norm. `ffn`: both linears and their norm.
"""


@strict
class CompactAlbertConfig(BertConfig):
    """BERT's configuration and three more entries."""

    model_type = "compact-albert"

    embedding_size: int = 128
    """E, the width of all three embedding tables; equal to `hidden_size` there is no projection."""
    share: str = "all"
    """One of `Share`."""
    num_hidden_groups: int = 1
    """G: layer i of L uses the weights of group floor(i G / L)."""


class CompactAlbertEmbeddings(BertEmbeddings):
    """Embeddings, norm and dropout at width E, then one linear to the hidden width if that is another."""

    def __init__(self, config: CompactAlbertConfig) -> None:
        narrow = copy.copy(config)
        narrow.hidden_size = config.embedding_size
        super().__init__(narrow)
        self.projection = (
            nn.Linear(config.embedding_size, config.hidden_size)
            if config.embedding_size != config.hidden_size
            else None
        )

    def forward(self, *arguments: Any, **named: Any) -> Tensor:
        """Take what BERT's embeddings take; return shape (batch, length, hidden)."""
        embedded = super().forward(*arguments, **named)
        return embedded if self.projection is None else self.projection(embedded)


class CompactAlbertModel(BertModel):
    """The encoder; `encoder.layer` lists the layers by position, shared ones several times."""

    config_class = CompactAlbertConfig

    def __init__(self, config: CompactAlbertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config, add_pooling_layer)
        self.embeddings = CompactAlbertEmbeddings(config)
        tie(self.encoder.layer, config.share, config.num_hidden_groups)
        self.post_init()


class CompactAlbertForSequenceClassification(BertForSequenceClassification):
    """The encoder with a classifier on its pooled first token."""

    config_class = CompactAlbertConfig

    def __init__(self, config: CompactAlbertConfig) -> None:
        BertPreTrainedModel.__init__(self, config)
        self.num_labels = config.num_labels
        self.bert = CompactAlbertModel(config)
        dropout = config.classifier_dropout
        self.dropout = nn.Dropout(config.hidden_dropout_prob if dropout is None else dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()


def tie(stack: nn.ModuleList, share: str, groups: int) -> None:
    """Make the layers of a group one, wholly or in part, in place; the group's first layer stays."""
    assignment = groups_of(len(stack), groups)
    if share == "all":
        share_by_group(stack, assignment)
        return
    for position, group in enumerate(assignment):
        first = stack[assignment.index(group)]
        if share == "attention":
            stack[position].attention = first.attention
        elif share == "ffn":
            stack[position].intermediate = first.intermediate
            stack[position].output = first.output
