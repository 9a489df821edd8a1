"""A compact encoder that starts from a pretrained BERT instead of from random weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.models.bert.modeling_bert import BertEmbeddings

from methods.pretrained import Source
from methods.sharing.albert.model import CompactAlbertConfig, CompactAlbertModel
from methods.sharing.factorised import check_width

_TOKENS = 2**15
"""Tokens of text on which tables and projection are fitted: whole batches up to there, of a large one at most
twice as many."""


@torch.no_grad()
def from_encoder(
    source: Source,
    inputs: Iterable[Mapping[str, Tensor]],
    *,
    layers: int,
    embedding: int,
    share: str,
    groups: int,
    dropout: float,
) -> CompactAlbertModel:
    """Cut a compact encoder out of a BERT, as deep at least and as wide (`PretrainedEncoder.check_models`).

    Layer i of L starts as layer floor(i D / L) of the BERT's D; a shared one as the first of its group.

    Where E is below H, all three tables are brought to E directions: those in which word + position + type of
    a token are largest over the text, the first right singular vectors of these sums. Frequent words are kept
    best, rare ones worse than by a factorised word table, which would give up positions, as they lie in few
    directions that words hardly use. As the norm now stands at width E, the projection to H is fitted by
    least squares, so that what reaches the first layer is nearest to what reached it in the BERT over that
    text.

    Args:
        source: the BERT.
        inputs: its inputs on the text to train on, padded on the right; as many are taken as the fit needs.
        layers: L.
        embedding: E.
        share: what layers have in common.
        groups: of layers that share.
        dropout: in layers and attention.

    Raises:
        BadInput: the encoder is narrower than `embedding`.
    """
    theirs = AutoModel.from_pretrained(
        source.path, revision=source.revision or "main", dtype=torch.float32
    ).eval()
    depth = theirs.config.num_hidden_layers
    described = theirs.config.to_dict()
    kept = {name: described[name] for name in _SHAPE}
    config = CompactAlbertConfig(
        **kept,
        num_hidden_layers=layers,
        embedding_size=embedding,
        share=share,
        num_hidden_groups=groups,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        classifier_dropout=0.1,
    )
    ours = CompactAlbertModel(config).eval()
    # From the last to the first, so that a shared layer ends as the first of its group.
    for position in reversed(range(layers)):
        ours.encoder.layer[position].load_state_dict(
            theirs.encoder.layer[position * depth // layers].state_dict()
        )
    if pooler := getattr(theirs, "pooler", None):
        ours.pooler.load_state_dict(pooler.state_dict())
    _embed_alike(ours, theirs, inputs)
    return ours


_SHAPE = (
    "vocab_size",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
    "layer_norm_eps",
    "pad_token_id",
)


def _embed_alike(
    ours: CompactAlbertModel, theirs: PreTrainedModel, inputs: Iterable[Mapping[str, Tensor]]
) -> None:
    mine, other, width = ours.embeddings, theirs.embeddings, ours.config.embedding_size
    if mine.projection is None:
        # As wide as the layers: the directions would be all there are, and the norm is the BERT's.
        mine.load_state_dict(other.state_dict())
        return
    check_width(other.word_embeddings.weight, width)
    places = _places(inputs)
    summed = _summed(other, places).double()
    # Right singular vectors, the largest last; of a Gram matrix there are H, however short the text.
    directions = torch.linalg.eigh(summed.T @ summed).eigenvectors[:, -width:].float()
    for narrow, table in zip(_tables(mine), _tables(other), strict=True):
        narrow.weight.copy_(table.weight @ directions)
    # The norm takes the scale of all three off again; it is the tied head that wants rows of norm one.
    scale = mine.word_embeddings.weight.norm(dim=1).mean()
    for narrow in _tables(mine):
        narrow.weight.div_(scale)
    wanted = other.LayerNorm(summed.float()).double()
    given = mine.LayerNorm(_summed(mine, places)).double()
    given = torch.cat([given, torch.ones(len(given), 1, dtype=given.dtype)], dim=1)
    # The norm leaves rows that sum to nothing but rounding, which says nothing of a weight along that sum:
    # without a bound on the rank it came out near 10^5, and the first steps of training blew it up.
    solution = torch.linalg.lstsq(given, wanted, rcond=1e-5, driver="gelsd").solution
    mine.projection.weight.copy_(solution[:-1].T)
    mine.projection.bias.copy_(solution[-1])


def _places(inputs: Iterable[Mapping[str, Tensor]]) -> list[Tensor]:
    """Word, position and type of every token of the text that is looked at, padding left out."""
    found: list[Tensor] = []
    tokens = 0
    for batch in inputs:
        words, real = batch["input_ids"], batch["attention_mask"].bool()
        positions = torch.arange(real.shape[1]).expand_as(real)
        # Some tokenizers give no types; BERT takes the first then.
        types = batch.get("token_type_ids", torch.zeros_like(words))
        found.append(torch.stack([words[real], positions[real], types[real]]))
        tokens += int(real.sum())
        if tokens >= _TOKENS:
            break
    return list(torch.cat(found, dim=1)[:, : 2 * _TOKENS])


def _tables(embeddings: BertEmbeddings) -> list[nn.Embedding]:
    return [embeddings.word_embeddings, embeddings.position_embeddings, embeddings.token_type_embeddings]


def _summed(embeddings: BertEmbeddings, places: Iterable[Tensor]) -> Tensor:
    """What enters the norm at each place, shape (places, width)."""
    rows = [table.weight[at] for table, at in zip(_tables(embeddings), places, strict=True)]
    return torch.stack(rows).sum(0)
