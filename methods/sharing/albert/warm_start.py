"""A compact encoder that starts from a pretrained BERT instead of from random weights."""

from __future__ import annotations

import torch
from transformers import AutoModel, PreTrainedModel

from methods.pretrained import Source
from methods.sharing.albert.model import CompactAlbertConfig, CompactAlbertModel
from methods.sharing.factorised import factorise

_CALIBRATED = 64
"""Positions on which the projection is fitted."""


@torch.no_grad()
def from_encoder(
    source: Source, *, layers: int, embedding: int, share: str, groups: int, dropout: float
) -> CompactAlbertModel:
    """Cut a compact encoder out of a BERT, as deep at least and as wide (`PretrainedEncoder.check_models`).

    Where E is below H, the word table is factorised by SVD, its rows scaled to a mean norm of one; position
    and type tables follow by least squares. As the norm now stands at width E, the projection to H is fitted
    so that what reaches the first layer is nearest to what reached it in the BERT, over all words. Layer i
    of L starts as layer floor(i D / L) of the BERT's D; a shared one as the first of its group.

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
    _embed_alike(ours, theirs)
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


def _embed_alike(ours: CompactAlbertModel, theirs: PreTrainedModel) -> None:
    mine, other = ours.embeddings, theirs.embeddings
    if mine.projection is None:
        # As wide as the layers: the product would be the table itself, and the norm is the BERT's.
        mine.load_state_dict(other.state_dict())
        return
    rows, columns = factorise(other.word_embeddings.weight, ours.config.embedding_size)
    back = torch.linalg.pinv(columns.double()).float()
    mine.word_embeddings.weight.copy_(rows)
    mine.position_embeddings.weight.copy_(other.position_embeddings.weight @ back)
    mine.token_type_embeddings.weight.copy_(other.token_type_embeddings.weight @ back)
    # The norm takes the scale of all three off again; it is the tied head that wants rows of norm one. The
    # SVD's are a quarter of it, and a few steps of an optimiser would write over them.
    scale = mine.word_embeddings.weight.norm(dim=1).mean()
    for table in (mine.word_embeddings, mine.position_embeddings, mine.token_type_embeddings):
        table.weight.div_(scale)
    words = torch.arange(ours.config.vocab_size)[None]
    places = words % min(_CALIBRATED, ours.config.max_position_embeddings)
    wanted = other(input_ids=words, position_ids=places)[0].double()
    narrow = mine.LayerNorm(
        mine.word_embeddings(words)
        + mine.position_embeddings(places)
        + mine.token_type_embeddings(torch.zeros_like(words))
    )[0].double()
    given = torch.cat([narrow, torch.ones(len(narrow), 1, dtype=narrow.dtype)], dim=1)
    # The norm leaves rows that sum to nothing but rounding, which says nothing of a weight along that sum:
    # without a bound on the rank it came out near 10^5, and the first steps of training blew it up.
    solution = torch.linalg.lstsq(given, wanted, rcond=1e-5, driver="gelsd").solution
    mine.projection.weight.copy_(solution[:-1].T)
    mine.projection.bias.copy_(solution[-1])
