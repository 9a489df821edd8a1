"""The parts of a bottleneck BERT; modules bear the names of transformers' MobileBERT, so weights fit."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from methods.compact.mobilebert.configuration import BottleneckBertConfig


class NoNorm(nn.Module):
    """gamma * h + beta, elementwise, without any statistics (section 3.3)."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (..., width) to the same shape."""
        return hidden * self.weight + self.bias


def norm(config: BottleneckBertConfig, width: int) -> nn.Module:
    """Make the normalisation the configuration asks for."""
    if config.normalization_type == "no_norm":
        return NoNorm(width)
    return nn.LayerNorm(width, eps=config.layer_norm_eps)


class Embeddings(nn.Module):
    """Trigrams of word vectors brought to the hidden size, plus position and type (section 3.4).

    A trigram is [next; current; previous], so that the linear after it is a convolution of width 3. What a
    text's last token sees as its next one must not depend on how far its batch is padded: zeros, or for
    released weights, which were trained on padded texts, the vector of [PAD].
    """

    def __init__(self, config: BottleneckBertConfig):
        super().__init__()
        self.zero_padding = config.zero_padding
        self.pad_id = config.pad_token_id
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=self.pad_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.embedding_transformation = nn.Linear(3 * config.embedding_size, width)
        self.LayerNorm = norm(config, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Embed ids of shape (batch, tokens) as (batch, tokens, hidden)."""
        words = self.embedding_transformation(self.trigrams(input_ids, attention_mask))
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        positions = self.position_embeddings.weight[: input_ids.shape[1]]
        return self.dropout(self.LayerNorm(words + positions + self.token_type_embeddings(types)))

    def trigrams(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return [next; current; previous] word vectors, shape (batch, tokens, 3 * embedding size)."""
        if self.zero_padding:
            words = self.word_embeddings(input_ids)
            if attention_mask is not None:
                words = words * attention_mask[..., None].to(words.dtype)
            words = F.pad(words, (0, 0, 1, 1))
        else:
            words = self.word_embeddings(F.pad(input_ids, (0, 1), value=self.pad_id))
            words = F.pad(words, (0, 0, 1, 0))
        return torch.cat([words[:, 2:], words[:, 1:-1], words[:, :-2]], dim=-1)


class Projection(nn.Module):
    """Norm(W h): into a bottleneck."""

    def __init__(self, config: BottleneckBertConfig, inputs: int, outputs: int):
        super().__init__()
        self.dense = nn.Linear(inputs, outputs)
        self.LayerNorm = norm(config, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        return self.LayerNorm(self.dense(hidden))


class Residual(nn.Module):
    """Norm(dropout(W h) + residual): how every part of a block ends."""

    def __init__(self, config: BottleneckBertConfig, inputs: int, outputs: int, dropout: float = 0.0):
        super().__init__()
        self.dense = nn.Linear(inputs, outputs)
        self.LayerNorm = norm(config, outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """Map (..., inputs) and a residual of (..., outputs) to the latter's shape."""
        return self.LayerNorm(self.dropout(self.dense(hidden)) + residual)


class Bottleneck(nn.Module):
    """What attention is given: queries' and keys' input, values' input, and the residual."""

    def __init__(self, config: BottleneckBertConfig):
        super().__init__()
        self.all_inside = config.use_bottleneck_attention
        self.input = Projection(config, config.hidden_size, config.intra_bottleneck_size)
        self.attention = None
        if config.key_query_shared_bottleneck and not self.all_inside:
            self.attention = Projection(config, config.hidden_size, config.intra_bottleneck_size)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (query and key input, value input, residual) of a block's input (batch, tokens, hidden)."""
        residual = self.input(hidden)
        if self.all_inside:
            return residual, residual, residual
        return hidden if self.attention is None else self.attention(hidden), hidden, residual


class SelfAttention(nn.Module):
    """Multi-head attention whose queries and keys read another tensor than its values."""

    def __init__(self, config: BottleneckBertConfig):
        super().__init__()
        self.config = config
        inner = config.true_hidden_size
        outside = config.hidden_size
        shared = config.use_bottleneck and config.key_query_shared_bottleneck
        inside = config.use_bottleneck and config.use_bottleneck_attention
        self.num_attention_heads = config.num_attention_heads
        self.head_size = inner // config.num_attention_heads
        self.query = nn.Linear(inner if inside or shared else outside, inner)
        self.key = nn.Linear(inner if inside or shared else outside, inner)
        self.value = nn.Linear(inner if inside else outside, inner)
        self.dropout = config.attention_probs_dropout_prob

    def forward(
        self, query_input: Tensor, value_input: Tensor, mask: Tensor | None = None, with_scores: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return the context (batch, tokens, heads * head size) and, where computed, the scores.

        Args:
            query_input: what queries and keys are made from, (batch, tokens, width).
            value_input: what values are made from, (batch, tokens, width).
            mask: added to the scores, (batch, 1, 1, tokens); large negative at padding.
            with_scores: compute the scores, (batch, heads, queries, keys): after the mask, before softmax.
        """
        query, key = self._by_head(self.query(query_input)), self._by_head(self.key(query_input))
        value = self._by_head(self.value(value_input))
        dropout = self.dropout if self.training else 0.0
        scores = None
        if with_scores or self.config._attn_implementation == "eager":
            scores = query @ key.transpose(-1, -2) * self.head_size**-0.5
            if mask is not None:
                scores = scores + mask
            context = F.dropout(scores.softmax(dim=-1), dropout) @ value
        else:
            context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return context.transpose(1, 2).flatten(-2), scores

    def _by_head(self, tensor: Tensor) -> Tensor:
        return tensor.unflatten(-1, (-1, self.head_size)).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention and the projection of its context."""

    def __init__(self, config: BottleneckBertConfig):
        super().__init__()
        self.self = SelfAttention(config)
        inner = config.true_hidden_size
        self.output = Residual(
            config, inner, inner, 0.0 if config.use_bottleneck else config.hidden_dropout_prob
        )


class Intermediate(nn.Module):
    """The first half of a feed-forward network."""

    def __init__(self, config: BottleneckBertConfig):
        super().__init__()
        self.dense = nn.Linear(config.true_hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (..., width inside the block) to (..., intermediate size)."""
        return self.activation(self.dense(hidden))


class FeedForward(nn.Module):
    """One of the stacked feed-forward networks (section 3.2)."""

    def __init__(self, config: BottleneckBertConfig):
        super().__init__()
        self.intermediate = Intermediate(config)
        self.output = Residual(config, config.intermediate_size, config.true_hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (..., width inside the block) to the same shape."""
        return self.output(self.intermediate(hidden), hidden)


class Output(Residual):
    """The second half of the last feed-forward network, and the way out of the bottleneck."""

    def __init__(self, config: BottleneckBertConfig):
        dropout, inner = config.hidden_dropout_prob, config.true_hidden_size
        bottleneck = config.use_bottleneck
        super().__init__(config, config.intermediate_size, inner, 0.0 if bottleneck else dropout)
        self.bottleneck = Residual(config, inner, config.hidden_size, dropout) if bottleneck else None


class Layer(nn.Module):
    """One block (figure 1): bottleneck, attention, feed-forward networks, and out again."""

    def __init__(self, config: BottleneckBertConfig):
        super().__init__()
        self.bottleneck = Bottleneck(config) if config.use_bottleneck else None
        self.attention = Attention(config)
        self.ffn = nn.ModuleList(FeedForward(config) for _ in range(config.num_feedforward_networks - 1))
        self.intermediate = Intermediate(config)
        self.output = Output(config)

    def forward(
        self, hidden: Tensor, mask: Tensor | None = None, with_scores: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return the block's output (batch, tokens, hidden) and, where computed, the attention scores."""
        query_input, value_input, residual = (
            (hidden, hidden, hidden) if self.bottleneck is None else self.bottleneck(hidden)
        )
        context, scores = self.attention.self(query_input, value_input, mask, with_scores)
        inner = self.attention.output(context, residual)
        for feed_forward in self.ffn:
            inner = feed_forward(inner)
        inner = self.output(self.intermediate(inner), inner)
        return (inner if self.output.bottleneck is None else self.output.bottleneck(inner, hidden)), scores
