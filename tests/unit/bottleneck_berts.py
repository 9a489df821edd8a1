"""Small random bottleneck BERTs, their pairs, and batches for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch

from methods.compact.mobilebert import configuration
from methods.compact.mobilebert.mobilebert_transfer import MobileBertTransfer
from methods.compact.mobilebert.model import (
    BottleneckBertForPreTraining,
    BottleneckBertForSequenceClassification,
)
from tasks.corpus.stream import Position, TextBatch

VOCABULARY, WIDTH, INNER, HEADS, LAYERS = 60, 48, 16, 4, 3
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "embedding_size": 12,
    "hidden_size": WIDTH,
    "intra_bottleneck_size": INNER,
    "intermediate_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 24,
}


def randomised(cls: Any, config: Any, seed: int = 0, spread: float = 0.2) -> Any:
    """A model in eval mode; biases and norms are random too, so that none can be lost unseen."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = cls(config)
        for parameter in model.parameters():
            parameter.add_(spread * torch.randn(parameter.shape))
    return model.eval()


def classifier(seed: int = 0, **changes: Any) -> BottleneckBertForSequenceClassification:
    """A MobileBERT classifier of three layers."""
    config = configuration.mobilebert(**{**SHAPE, **changes})
    return randomised(BottleneckBertForSequenceClassification, config, seed)


def student(seed: int = 1, **changes: Any) -> BottleneckBertForPreTraining:
    """A MobileBERT of three layers."""
    config = configuration.mobilebert(**{**SHAPE, **changes})
    return randomised(BottleneckBertForPreTraining, config, seed, 0.1)


def teacher(seed: int = 2, **changes: Any) -> BottleneckBertForPreTraining:
    """An IB-BERT that fits `student`."""
    shape = {**SHAPE, "intra_bottleneck_size": 64, "intermediate_size": 96, **changes}
    return randomised(BottleneckBertForPreTraining, configuration.ib_bert(**shape), seed, 0.1)


def inputs(lengths: tuple[int, ...], width: int | None = None, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random texts of these lengths, padded to `width`; a text is the same in any batch it is first in."""
    width = width or max(lengths)
    ids = torch.zeros(len(lengths), width, dtype=torch.long)
    types, mask = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        torch.manual_seed(seed + row)
        ids[row, :length] = torch.randint(5, VOCABULARY, (length,))
        types[row, length // 2 : length] = 1
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def batch(seed: int = 0) -> TextBatch:
    """Four texts of 12 tokens at most, five of their tokens masked."""
    lengths = (12, 9, 7, 12)
    made = inputs(lengths, seed=10 * seed)
    torch.manual_seed(seed)
    words = torch.randint(5, VOCABULARY, (5,))
    return TextBatch(made, torch.tensor([1, 5, 13, 26, 40]), words, torch.randint(2, (4,)), sum(lengths))


@dataclass
class Batches:
    """A stream of `batch`es without a corpus; it may be the same one always, or be cut off after so many."""

    position: Position = field(default_factory=Position)
    text: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(digest="batches"))
    same: bool = False
    dies_after: int | None = None

    def __iter__(self) -> Iterator[TextBatch]:
        while True:
            number = self.position.batch
            if number == self.dies_after:
                raise KeyboardInterrupt
            self.position = Position(0, 0, number + 1)
            yield batch(0 if self.same else number)


def strategies(pair: MobileBertTransfer) -> dict[str, MobileBertTransfer]:
    """The ways of teaching a pair's student that are compared: each strategy, and `pkt` without one part."""
    changes: dict[str, dict[str, Any]] = {name: {"strategy": name} for name in ("akt", "jkt", "pkt", "none")}
    changes |= {
        "pkt-without-feature-maps": {"feature_maps": "none"},
        "pkt-without-attention": {"attention": False},
        "pkt-without-mlm-distillation": {"alpha": 1.0},
        "pkt-without-bottleneck": {"bottleneck": False},
    }
    plain = pair.model_dump()
    return {name: MobileBertTransfer(**plain | fields) for name, fields in changes.items()}
