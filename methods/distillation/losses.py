"""The distillation loss: soft targets from a teacher, beside the labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.fit import Loss
from tasks.batches import Batch

if TYPE_CHECKING:
    from methods.distillation.fields import Reduction
    from methods.run import Run


def soft_targets(
    student: Tensor, teacher: Tensor, temperature: float, reduction: Reduction = "batchmean"
) -> Tensor:
    """T² KL(softmax(teacher / T) || softmax(student / T)), averaged over examples.

    T² keeps gradients of the size of the labels' ones (Hinton et al. 2015, section 2).

    Args:
        student: logits, shape (batch, classes).
        teacher: logits, shape (batch, classes).
        temperature: T, above 0.
        reduction: `mean` averages over examples *and classes*, as the codes of PKD and of an earlier Pea-KD
            do: with two classes that is half of `batchmean`.
    """
    log_p = F.log_softmax(teacher / temperature, dim=-1)
    log_q = F.log_softmax(student / temperature, dim=-1)
    loss = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * temperature**2
    return loss / student.shape[1] if reduction == "mean" else loss


def kd_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    alpha: float,
    reduction: Reduction = "batchmean",
) -> Tensor:
    """(1 - alpha) cross-entropy + alpha soft targets (Hinton et al., arXiv 1503.02531).

    Args:
        student: logits, shape (batch, classes).
        teacher: logits, shape (batch, classes).
        labels: class numbers, shape (batch,).
        temperature: T, above 0.
        alpha: weight of the soft targets, from 0 to 1.
        reduction: of the soft targets, see `soft_targets`.
    """
    hard = F.cross_entropy(student, labels)
    return (1 - alpha) * hard + alpha * soft_targets(student, teacher, temperature, reduction)


def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """-softmax(teacher / T) log softmax(student / T), averaged over examples *and* classes.

    TinyBERT's prediction loss as its code reduces it (task_distill.py); it has no hard labels and no T².

    Args:
        student: logits, shape (batch, classes).
        teacher: logits, shape (batch, classes).
        temperature: T, above 0.
    """
    log_q = F.log_softmax(student / temperature, dim=-1)
    return -(F.softmax(teacher / temperature, dim=-1) * log_q).mean()


def mean_over_tokens(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values`, shape (batch, tokens, ...), over real tokens and all that follows.

    Args:
        values: one or more numbers for each token.
        mask: 1 for real tokens and 0 for padding, shape (batch, tokens).
    """
    return values[mask.bool()].mean()


def loss_on_logits(
    run: Run, *, temperature: float, alpha: float, reduction: Reduction = "batchmean"
) -> Callable[[Tensor, Batch], Tensor]:
    """Return the KD loss in fp32 as a function of a student's logits, shape (batch, classes), and the batch.

    Teacher logits are looked up by the position of each example, so batches may come in any order; `alpha`
    0 reads none. The other fields are those of `kd_loss`.
    """
    if alpha == 0:
        return lambda logits, batch: F.cross_entropy(logits.float(), batch.labels)
    teacher = torch.tensor(run.teacher_logits(), device=run.device)

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        outputs = teacher[batch.positions]
        return kd_loss(
            logits.float(), outputs, batch.labels, temperature=temperature, alpha=alpha, reduction=reduction
        )

    return loss


def kd_training_loss(
    run: Run, *, temperature: float, alpha: float, reduction: Reduction = "batchmean"
) -> Loss:
    """Return the training loss of a student that learns from labels and from the teacher's logits."""
    loss = loss_on_logits(run, temperature=temperature, alpha=alpha, reduction=reduction)
    return lambda model, batch: loss(model(**batch.inputs).logits, batch)
