"""Random encoders of every supported kind, small enough for tests, and examples for them."""

from __future__ import annotations

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from methods.compact.mobilebert.configuration import mobilebert
from methods.compact.mobilebert.model import BottleneckBertForSequenceClassification
from tasks.examples import Examples

KINDS = ("bert", "roberta", "electra", "distilbert")
STACKS = (*KINDS, "bottleneck-bert")
"""The last has no single attention input, so methods that prune heads have tests of their own for it."""
LAYERS, HEADS, HIDDEN, HEAD_SIZE = 3, 4, 32, 8
PER_HEAD = 3 * (HEAD_SIZE * HIDDEN + HEAD_SIZE) + HEAD_SIZE * HIDDEN
_VOCABULARY = 60
_SHAPE = {
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "vocab_size": _VOCABULARY,
    "max_position_embeddings": 40,
}


def encoder(kind: str, seed: int = 0) -> PreTrainedModel:
    """A classifier in eval mode; every bias and norm is random too, so that none can be lost unseen."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = _initialised(kind)
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return model.eval()


def compact_albert(share: str, layers: int = LAYERS, groups: int = 1) -> PreTrainedModel:
    """An ALBERT of the same shape, its layers wholly or in part shared."""
    from methods.sharing.albert.model import CompactAlbertConfig, CompactAlbertForSequenceClassification

    torch.manual_seed(0)
    fields = {"embedding_size": 16, "share": share, "num_hidden_groups": groups, "initializer_range": 0.3}
    return CompactAlbertForSequenceClassification(
        CompactAlbertConfig(**_SHAPE | fields | {"num_hidden_layers": layers})
    )


def _initialised(kind: str) -> PreTrainedModel:
    if kind == "bert":
        return BertForSequenceClassification(BertConfig(**_SHAPE))
    if kind == "roberta":
        return RobertaForSequenceClassification(RobertaConfig(**_SHAPE, type_vocab_size=1, pad_token_id=1))
    if kind == "electra":
        return ElectraForSequenceClassification(ElectraConfig(**_SHAPE, embedding_size=16))
    if kind == "bottleneck-bert":
        widths = {"intra_bottleneck_size": 16, "embedding_size": 16, "num_feedforward_networks": 2}
        return BottleneckBertForSequenceClassification(mobilebert(**_SHAPE | widths))
    shape = {"n_layers": LAYERS, "n_heads": HEADS, "dim": HIDDEN, "hidden_dim": 48}
    return DistilBertForSequenceClassification(
        DistilBertConfig(**shape, vocab_size=_VOCABULARY, max_position_embeddings=40)
    )


def examples(model: PreTrainedModel, count: int = 20, seed: int = 0) -> Examples:
    """Random token ids of lengths 3 to 17, with random labels of two classes."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 18, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    # DistilBERT has no types, but its tokenizer is BERT's and gives them.
    with_types = model.config.model_type in ("bert", "electra", "distilbert")
    return Examples(
        ids=rng.integers(4, _VOCABULARY, offsets[-1]).astype(np.int32),
        types=rng.integers(0, 2, offsets[-1]).astype(np.uint8),
        offsets=offsets,
        rows=np.arange(count),
        labels=rng.integers(0, 2, count),
        pad_id=model.config.pad_token_id,
        inputs=("input_ids", "token_type_ids", "attention_mask")
        if with_types
        else ("input_ids", "attention_mask"),
    )


def share_layers(model: PreTrainedModel, groups: list[int]) -> None:
    """Make positions of equal group one module, as cross-layer sharing does."""
    from methods import encoders

    stack = encoders.stack(model)
    for position, group in enumerate(groups):
        stack[position] = stack[groups.index(group)]
    model.config.layer_groups = groups
