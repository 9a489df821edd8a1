"""DistilBERT's loss without its masked words: soft targets, labels, direction of the last hidden states."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from methods.distillation.losses import mean_over_tokens, soft_targets
from methods.distillation.pairing import require_width
from methods.fit import Loss
from tasks.batches import Batch

if TYPE_CHECKING:
    from methods.distillation.distilbert import DistilBERT
    from methods.run import Run


def direction(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1 - cosine of the last hidden states, averaged over real tokens (arXiv 1910.01108, sec. 2).

    Args:
        student: shape (batch, tokens, hidden).
        teacher: shape (batch, tokens, hidden).
        mask: 1 for real tokens, shape (batch, tokens).
    """
    return mean_over_tokens(1 - F.cosine_similarity(student, teacher, dim=-1), mask)


def triple_loss(run: Run, student: PreTrainedModel, weights: DistilBERT) -> Loss:
    """Return the weighted sum; what has weight 0 is neither read nor computed.

    Raises:
        BadInput: student and teacher differ in width.
    """
    logits = torch.tensor(run.teacher_logits(), device=run.device) if weights.soft else None
    states = run.teacher_states() if weights.cosine else None
    if states:
        width = states.parts["hidden"].width
        require_width(student.config.hidden_size, width, loss="distilbert", weight="cosine")

    def loss(model: PreTrainedModel, batch: Batch) -> Tensor:
        output = model(**batch.inputs, output_hidden_states=states is not None)
        own = output.logits.float()
        total = weights.labels * F.cross_entropy(own, batch.labels)
        if logits is not None:
            total = total + weights.soft * soft_targets(own, logits[batch.positions], weights.temperature)
        if states is not None:
            teacher = states.read("hidden", batch.positions)[:, 0]
            last = output.hidden_states[-1].float()
            total = total + weights.cosine * direction(last, teacher, batch.inputs["attention_mask"])
        return total

    return loss
