"""What a student is asked to learn from its teacher: feature maps and attention (section 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

HIDDEN, MEAN, VARIANCE = 100.0, 5000.0, 5.0
"""Weights of the parts of feature-map transfer in the published code."""


def feature_maps(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared difference of a layer's outputs.

    Args:
        student: outputs, (batch, tokens, hidden).
        teacher: the same layer's outputs, of the same shape.
        mask: 1 at real tokens, (batch, tokens); without it padding counts too, as in the published code.
    """
    return _mean((student - teacher).square().mean(dim=-1), mask)


def decomposed(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Feature-map transfer as the published code decomposes it; arguments as for `feature_maps`.

    The weighted sum of three parts: the mean squared difference after a LayerNorm without gain and bias, the
    squared difference of the tokens' means and the absolute one of their variances over features. The code
    takes the teacher's mean and variance over all its layers at once, by a slip; here they are those of the
    matching layer, as the paper says.
    """
    width = student.shape[-1:]
    hidden = feature_maps(F.layer_norm(student, width), F.layer_norm(teacher, width), mask)
    mean = _mean((student.mean(dim=-1) - teacher.mean(dim=-1)).square(), mask)
    variances = [maps.var(dim=-1, correction=0) for maps in (student, teacher)]
    return HIDDEN * hidden + MEAN * mean + VARIANCE * _mean((variances[0] - variances[1]).abs(), mask)


def attention(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """KL(teacher || student) of each head's attention distribution, averaged over heads and queries.

    Args:
        student: scores after the mask and before softmax and dropout, (batch, heads, queries, keys).
        teacher: the same layer's scores, of the same shape.
        mask: 1 at real tokens, (batch, queries); without it padded queries count too.
    """
    log_p, log_q = F.log_softmax(teacher.float(), dim=-1), F.log_softmax(student.float(), dim=-1)
    by_query = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)
    return _mean(by_query.mean(dim=1), mask)


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of (batch, tokens) over tokens, those of mask 0 left out."""
    if mask is None:
        return values.mean()
    # Not a product: a padded position may hold anything, infinities included.
    return torch.where(mask.bool(), values, 0.0).sum() / mask.sum()
