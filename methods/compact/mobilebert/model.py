"""Bottleneck BERTs as transformers models: the encoder, for pre-training, and as a classifier."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutputWithPooling, SequenceClassifierOutput

from methods.compact.mobilebert.configuration import BottleneckBertConfig, check
from methods.compact.mobilebert.layer import Embeddings, Layer, NoNorm
from methods.flops import flops_by_length
from methods.pretraining.heads import Outputs
from tasks.corpus.stream import TextBatch

Feature = tuple[Tensor, Tensor]
"""A layer's output (batch, tokens, hidden) and its attention scores (batch, heads, tokens, tokens)."""


class BottleneckBertPreTrainedModel(PreTrainedModel):
    """What the three models have in common. The prefix is that of released checkpoints."""

    config_class = BottleneckBertConfig
    config: BottleneckBertConfig
    base_model_prefix = "mobilebert"
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, NoNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, WordPrediction):
            init.zeros_(module.bias)


class Encoder(nn.Module):
    """The stack of blocks."""

    def __init__(self, config: BottleneckBertConfig):
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(
        self,
        hidden: Tensor,
        mask: Tensor | None,
        *,
        layers: int | None = None,
        with_scores: bool = False,
        every: bool = True,
    ) -> list[tuple[Tensor, Tensor | None]]:
        """Run the first `layers` blocks, by default all.

        Returns:
            Output and, where asked for, attention scores of every block, or of the last one alone.
        """
        found: list[tuple[Tensor, Tensor | None]] = []
        for layer in list(self.layer)[:layers]:
            hidden, scores = layer(hidden, mask, with_scores=with_scores)
            found.append((hidden, scores))
            if not every:
                del found[:-1]
        return found


class Pooler(nn.Module):
    """tanh(W [CLS]); only where `classifier_activation` asks for it, as in the teacher."""

    def __init__(self, config: BottleneckBertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, first: Tensor) -> Tensor:
        """Map (batch, hidden) to the same shape."""
        return self.dense(first).tanh()


class BottleneckBertModel(BottleneckBertPreTrainedModel):
    """The encoder.

    Raises:
        BadInput: the configuration cannot be built.
    """

    def __init__(self, config: BottleneckBertConfig):
        check(config)
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = Pooler(config) if config.classifier_activation else None
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> BaseModelOutputWithPooling:
        """Encode a batch.

        Args:
            input_ids: shape (batch, tokens).
            attention_mask: 1 for real tokens, shape (batch, tokens); by default all are.
            token_type_ids: shape (batch, tokens); by default 0.
            output_hidden_states: whether to keep the embeddings' output and each block's.

        Returns:
            `last_hidden_state`, shape (batch, tokens, hidden); `pooler_output`, shape (batch, hidden); where
            asked for `hidden_states`, one more than there are blocks.
        """
        embedded = self.embeddings(input_ids, attention_mask, token_type_ids)
        mask = additive(attention_mask, embedded.dtype)
        outputs = [hidden for hidden, _ in self.encoder(embedded, mask, every=output_hidden_states)]
        return BaseModelOutputWithPooling(
            last_hidden_state=outputs[-1],
            pooler_output=self.pooled(outputs[-1]),
            hidden_states=(embedded, *outputs) if output_hidden_states else None,
        )

    def pooled(self, hidden: Tensor) -> Tensor:
        """Return what stands for a whole text, (batch, hidden), given the last block's output."""
        return hidden[:, 0] if self.pooler is None else self.pooler(hidden[:, 0])

    def features(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        layers: int | None = None,
    ) -> list[Feature]:
        """Run the first `layers` blocks, by default all, and no more.

        Args:
            input_ids: shape (batch, tokens).
            attention_mask: 1 for real tokens, shape (batch, tokens); by default all are.
            token_type_ids: shape (batch, tokens); by default 0.
            layers: how many blocks.

        Returns:
            Of each block its output, shape (batch, tokens, hidden), and its attention scores, after the mask
            and before the softmax, shape (batch, heads, tokens, tokens).
        """
        hidden = self.embeddings(input_ids, attention_mask, token_type_ids)
        mask = additive(attention_mask, hidden.dtype)
        seen = self.encoder(hidden, mask, layers=layers, with_scores=True)
        return [(output, scores) for output, scores in seen if scores is not None]


class WordPrediction(nn.Module):
    """The MLM head: the word table, tied, completed by a table of its own up to the hidden size."""

    def __init__(self, config: BottleneckBertConfig):
        super().__init__()
        width, vocabulary = config.hidden_size, config.vocab_size
        self.transform = WordTransform(config)
        rest = width - config.embedding_size
        self.dense = nn.Linear(vocabulary, rest, bias=False) if rest else None
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Score every word at each of n positions.

        Args:
            hidden: encoder outputs, (n, hidden).
            table: the word embeddings, (vocabulary, embedding size).

        Returns:
            Logits of shape (n, vocabulary).
        """
        weight = table if self.dense is None else torch.cat([table, self.dense.weight.t()], dim=1)
        return nn.functional.linear(self.transform(hidden), weight, self.bias)


class WordTransform(nn.Module):
    """Linear, activation and LayerNorm (a real one, in every variant) before the word table."""

    def __init__(self, config: BottleneckBertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (..., hidden) to the same shape."""
        return self.LayerNorm(self.activation(self.dense(hidden)))


class PreTrainingHeads(nn.Module):
    """Masked words, and whether two segments belong together."""

    def __init__(self, config: BottleneckBertConfig):
        super().__init__()
        self.predictions = WordPrediction(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)


class BottleneckBertForPreTraining(BottleneckBertPreTrainedModel):
    """The encoder with its two pre-training heads; `stored` keeps it.

    The MLM head is tied to the word table by being given it, so there is no second parameter to keep in step.
    """

    def __init__(self, config: BottleneckBertConfig):
        super().__init__(config)
        self.mobilebert = BottleneckBertModel(config)
        self.cls = PreTrainingHeads(config)
        self.post_init()

    def forward(self, batch: TextBatch) -> Outputs:
        """Run the encoder on a batch of masked text and the heads where they are needed."""
        hidden = self.mobilebert(**batch.inputs).last_hidden_state
        return Outputs(self.words(hidden.flatten(0, 1)[batch.masked]), self.sentences(hidden))

    def flops(self) -> Callable[[TextBatch], float]:
        """Return a function from a batch to its forward operations."""
        polynomial = flops_by_length(self.mobilebert)

        def per_batch(batch: TextBatch) -> float:
            examples, length = batch.inputs["input_ids"].shape
            return examples * polynomial(length) + len(batch.masked) * self.word_flops

        return per_batch

    @property
    def word_flops(self) -> int:
        """Operations of the MLM head at one position."""
        return 2 * self.config.hidden_size * (self.config.hidden_size + self.config.vocab_size)

    def words(self, hidden: Tensor) -> Tensor:
        """Score every word at n positions: (n, hidden) to (n, vocabulary)."""
        return self.cls.predictions(hidden, self.mobilebert.embeddings.word_embeddings.weight)

    def sentences(self, hidden: Tensor) -> Tensor:
        """Score the pair of segments: the last block's output, (batch, tokens, hidden), to (batch, 2)."""
        return self.cls.seq_relationship(self.mobilebert.pooled(hidden))


class BottleneckBertForSequenceClassification(BottleneckBertPreTrainedModel):
    """The encoder with a linear classifier on what the pooler, or without one [CLS] itself, says."""

    def __init__(self, config: BottleneckBertConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.mobilebert = BottleneckBertModel(config)
        rate = config.classifier_dropout
        self.dropout = nn.Dropout(config.hidden_dropout_prob if rate is None else rate)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> SequenceClassifierOutput:
        """Classify ids of shape (batch, tokens): logits of shape (batch, labels)."""
        encoded = self.mobilebert(input_ids, attention_mask, token_type_ids, output_hidden_states)
        logits = self.classifier(self.dropout(encoded.pooler_output))
        return SequenceClassifierOutput(logits=logits, hidden_states=encoded.hidden_states)


def additive(attention_mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Turn a mask of ones and zeros, (batch, tokens), into what is added to scores, (batch, 1, 1, tokens)."""
    if attention_mask is None:
        return None
    return (1 - attention_mask[:, None, None, :].to(dtype)) * torch.finfo(dtype).min
