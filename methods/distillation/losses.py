"""The distillation loss: soft targets from a teacher, beside the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from methods.fit import Loss, cross_entropy
from tasks.batches import Batch

if TYPE_CHECKING:
    from methods.run import Run


def soft_targets(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² KL(softmax(teacher / T) || softmax(student / T)), averaged over examples.

    T² keeps gradients of the size of the labels' ones (Hinton et al. 2015, section 2). Some codes, PKD's for
    one, average over examples *and classes*: with two classes their weight is half of ours.

    Args:
        student: logits, shape (batch, classes).
        teacher: logits, shape (batch, classes).
        temperature: T, above 0.
    """
    log_p = F.log_softmax(teacher / temperature, dim=-1)
    log_q = F.log_softmax(student / temperature, dim=-1)
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * temperature**2


def hinton(student: Tensor, teacher: Tensor, labels: Tensor, *, temperature: float, alpha: float) -> Tensor:
    """(1 - alpha) cross-entropy + alpha soft targets (Hinton et al., arXiv 1503.02531)."""
    hard = F.cross_entropy(student, labels)
    return (1 - alpha) * hard + alpha * soft_targets(student, teacher, temperature)


def from_teacher(run: Run, *, temperature: float, alpha: float) -> Loss:
    """Return the training loss of a student; `alpha` 0 is plain training and reads no teacher outputs.

    Teacher logits are looked up by the position of each example, so batches may come in any order.
    """
    if alpha == 0:
        return cross_entropy
    teacher = torch.tensor(run.teacher_logits(), device=run.device)

    def loss(model: PreTrainedModel, batch: Batch) -> Tensor:
        student = model(**batch.inputs).logits.float()
        return hinton(student, teacher[batch.positions], batch.labels, temperature=temperature, alpha=alpha)

    return loss
