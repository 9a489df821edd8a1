"""An encoder with the heads of pre-training, and their loss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from methods import checkpoint
from methods.flops import flops_by_length
from methods.pretraining.cross_entropy import cross_entropy
from methods.pretraining.loop import MetricSums
from tasks.corpus.segments import NO_LABEL
from tasks.corpus.stream import TextBatch

HEADS = "heads.safetensors"


@dataclass(frozen=True)
class Outputs:
    """What the heads say about a batch."""

    words: Tensor
    """Logits at the m masked places, shape (m, vocabulary)."""
    pairs: Tensor | None
    """Logits of in order or next against swapped or random, shape (batch, 2)."""


class PretrainingModel(nn.Module):
    """Masked-word head, tied to the word table, and sentence-pair head (Lan et al., ICLR 2020, section 3.1).

    The masked-word head is dense H→E, GELU, norm at width E, then the word table and a bias; it is computed
    at masked places alone.
    """

    def __init__(self, encoder: PreTrainedModel, *, pairs: bool) -> None:
        """Put new heads on an encoder.

        Args:
            encoder: returns `last_hidden_state` and `pooler_output`; its word table has width E.
            pairs: whether there is a sentence-pair head.
        """
        super().__init__()
        table = encoder.get_input_embeddings().weight
        hidden, deviation = encoder.config.hidden_size, encoder.config.initializer_range
        self.encoder = encoder
        self.dense = nn.Linear(hidden, table.shape[1])
        self.norm = nn.LayerNorm(table.shape[1], eps=encoder.config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(table.shape[0]))
        self.pairs = nn.Linear(hidden, 2) if pairs else None
        for linear in filter(None, (self.dense, self.pairs)):
            nn.init.normal_(linear.weight, std=deviation)
            nn.init.zeros_(linear.bias)
        self._flops = flops_by_length(encoder)
        self._per_word = 2 * (self.dense.weight.numel() + table.numel())

    def forward(self, batch: TextBatch) -> Outputs:
        """Run the encoder on the batch and the heads where they are needed."""
        output = self.encoder(**batch.inputs)
        hidden = output.last_hidden_state.flatten(0, 1)[batch.masked]
        table = self.encoder.get_input_embeddings().weight
        pairs = self.pairs(output.pooler_output) if self.pairs is not None else None
        return Outputs(F.linear(self.compared(hidden), table, self.bias), pairs)

    def compared(self, hidden: Tensor) -> Tensor:
        """Bring hidden states of shape (m, H) to what is compared with the rows of the word table, (m, E)."""
        compared: Tensor = self.norm(F.gelu(self.dense(hidden)))
        return compared

    def flops(self, batch: TextBatch) -> float:
        """Forward operations on a batch, by its padded length and its masked places."""
        examples, length = batch.inputs["input_ids"].shape
        return examples * self._flops(length) + len(batch.masked) * self._per_word


def save(model: PretrainingModel, folder: Path) -> None:
    """Write the encoder to `folder/model` and the heads to `folder/heads.safetensors`."""
    checkpoint.save(model.encoder, folder / "model")
    heads = {
        name: tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if not name.startswith("encoder.")
    }
    save_file(heads, folder / HEADS)


def load(folder: Path) -> PretrainingModel:
    """Read what `save` wrote, on the CPU, in eval mode; the caller's random state is untouched."""
    heads = load_file(folder / HEADS)
    with torch.random.fork_rng(devices=[]):
        model = PretrainingModel(checkpoint.load(folder / "model"), pairs="pairs.weight" in heads)
    model.load_state_dict(heads, strict=False)
    return model.eval()


def pretraining_loss(model: PretrainingModel, batch: TextBatch) -> tuple[Tensor, MetricSums]:
    """Mean loss at masked places plus mean loss of the sentence pairs; metrics are losses and accuracies."""
    outputs = model(batch)
    metrics: MetricSums = {}
    value = label_loss("mlm", outputs.words, batch.targets, metrics)
    if outputs.pairs is not None:
        value = value + label_loss("pair", outputs.pairs, batch.pairs, metrics)
    metrics["loss"] = (value, torch.ones_like(value))
    return value, metrics


def label_loss(name: str, logits: Tensor, labels: Tensor, metrics: MetricSums) -> Tensor:
    """Return the mean cross-entropy in fp32 over the labels that are there, 0 if none is; note its metrics.

    Args:
        name: before `_loss` and `_accuracy` in the metrics.
        logits: of shape (n, classes).
        labels: of shape (n,), `NO_LABEL` where there is none.
        metrics: receives the sums of both.
    """
    count = (labels != NO_LABEL).sum()
    total, right = cross_entropy(logits, labels)
    metrics[f"{name}_loss"] = (total, count)
    metrics[f"{name}_accuracy"] = (right, count)
    return total / count.clamp(min=1)
