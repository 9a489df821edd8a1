"""Cross-entropy over a vocabulary, and how many answers are right, in as few passes as there can be."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tasks.corpus.segments import NO_LABEL


def cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the cross-entropies and count the right answers over the labels that are there.

    It is `F.cross_entropy(logits.float(), labels, ignore_index=NO_LABEL, reduction="sum")`. With logits of
    some hundred words by thousands of entries that function and `argmax` walk over more memory than the
    products around them: here the softmax is kept and becomes the gradient where it lies.

    Args:
        logits: shape (n, classes), of any floating type; all is computed in fp32.
        labels: int64, `NO_LABEL` where there is none, shape (n,).

    Returns:
        The sum, which can be differentiated once, and the count.
    """
    total, right = _CrossEntropy.apply(logits, labels)
    return total, right


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        counted = labels != NO_LABEL
        places = torch.where(counted, labels, 0)[:, None]
        scores = logits.float()
        highest, answers = scores.max(dim=-1, keepdim=True)
        behind = highest - scores.gather(1, places)
        # A copy of lower precision's logits is ours to overwrite; each row is read before it is written.
        shares = torch.softmax(scores, dim=-1, out=None if scores is logits else scores)
        # Not minus the logarithm of the label's own share, which may have become 0.
        losses = behind - shares.gather(1, answers).log()
        right = (answers.squeeze(1) == labels).sum()
        ctx.save_for_backward(shares, places, counted)
        ctx.dtype = logits.dtype
        ctx.mark_non_differentiable(right)
        return torch.where(counted, losses.squeeze(1), 0.0).sum(), right

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Any) -> tuple[Tensor, None]:
        shares, places, counted = ctx.saved_tensors
        # In place: PyTorch then refuses a second pass through a graph that was kept.
        gradient = shares.scatter_add_(1, places, torch.full_like(places, -1.0, dtype=shares.dtype))
        return gradient.mul_((counted * above[0])[:, None]).to(ctx.dtype), None
