"""Masked words of the task's own text, beside another loss (Devlin et al., NAACL 2019, arXiv 1810.04805)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from methods.flops import TRAINING_PASSES, batch_flops, flops_by_length
from methods.random_state import seeded
from reports.record import Cost
from tasks.batches import Batch
from tasks.errors import BadInput
from tasks.tokens import tokenizer

if TYPE_CHECKING:
    from methods.run import Run

CHOSEN, MASKED, REPLACED = 0.15, 0.8, 0.1
"""Share of tokens to guess; of these, the share shown as the mask and as a random word. The rest stay."""


class WordHead(nn.Module):
    """BERT's head for masked words, its output layer tied to the word embeddings."""

    def __init__(self, hidden: int, words: nn.Embedding):
        super().__init__()
        self.transform = nn.Linear(hidden, words.embedding_dim)
        self.norm = nn.LayerNorm(words.embedding_dim)
        self.bias = nn.Parameter(torch.zeros(words.num_embeddings))

    def forward(self, hidden: Tensor, words: Tensor) -> Tensor:
        """Map states of shape (n, hidden) and word embeddings to logits of shape (n, vocabulary)."""
        return F.linear(self.norm(F.gelu(self.transform(hidden))), words, self.bias)


def mask(ids: Tensor, special: Tensor, mask_id: int, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Hide words: return the ids as they are shown, and where there is a word to guess.

    Draws from torch's global random state, which `fit` seeds.

    Args:
        ids: token ids, shape (batch, tokens).
        special: ids that are never hidden, padding among them, shape (n,).
        mask_id: id of the mask.
        vocabulary: number of words to draw random ones from.
    """
    chosen = (torch.rand(ids.shape, device=ids.device) < CHOSEN) & ~torch.isin(ids, special)
    fate = torch.rand(ids.shape, device=ids.device)
    shown = torch.where(chosen & (fate < MASKED), mask_id, ids)
    random = torch.randint(vocabulary, ids.shape, device=ids.device)
    return torch.where(chosen & (fate >= 1 - REPLACED), random, shown), chosen


@contextmanager
def masked_words(run: Run, student: PreTrainedModel) -> Iterator[Callable[[PreTrainedModel, Batch], Tensor]]:
    """Give `student` a head for masked words inside the `with` block, and the loss that trains it.

    The loss runs the encoder a second time, on the masked text, and the head at the masked words; both are
    added to the run's cost.

    Raises:
        BadInput: the tokenizer has no mask token.
    """
    backend = tokenizer(run.model.path, run.model.revision).backend
    if backend.mask_token_id is None:
        raise BadInput(f"mlm: the tokenizer of {run.model.id!r} has no mask token; leave `mlm` out")
    special = torch.tensor(backend.all_special_ids, device=run.device)
    words = student.get_input_embeddings()
    with seeded(run.seeds.init):
        student.word_head = WordHead(student.config.hidden_size, words).to(run.device)
    flops = flops_by_length(student.base_model)
    per_word = 2 * (student.word_head.transform.weight.numel() + words.weight.numel())

    def loss(model: PreTrainedModel, batch: Batch) -> Tensor:
        ids = batch.inputs["input_ids"]
        shown, chosen = mask(ids, special, backend.mask_token_id, words.num_embeddings)
        hidden = model.base_model(**{**batch.inputs, "input_ids": shown}).last_hidden_state
        logits = model.word_head(hidden[chosen], words.weight).float()
        operations = batch_flops(batch, flops) + len(logits) * per_word
        run.cost += Cost(flops=TRAINING_PASSES * operations)
        # A small batch of short texts may have nothing to guess: then 0, and so are all gradients.
        return F.cross_entropy(logits, ids[chosen]) if len(logits) else logits.sum()

    try:
        yield loss
    finally:
        del student.word_head
