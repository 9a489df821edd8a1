"""Intervals of ranks, from joint draws of seeds and examples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reports.metrics import Floats


def ranks(scores: Sequence[float]) -> list[int]:
    """Rank scores, highest first; equal scores share the better rank."""
    from scipy.stats import rankdata

    return [int(rank) for rank in rankdata([-score for score in scores], method="min")]


def rank_intervals(
    scores: Sequence[Floats], replicates: Sequence[Floats], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return 95 % intervals of the ranks of k methods by their mean over tasks.

    All methods share one draw of the examples and one resampling of the seeds, the latter widened by
    sqrt(n/(n-1)) and by Student's sqrt((n-1)/q) with q ~ chi2(n-1).

    Args:
        scores: by task, scores in points, shape (k, n), n >= 2 seeds common to all methods.
        replicates: by task, means over seeds under r example draws, shape (r, k).
        rng: random stream of the seed part.

    Returns:
        Lowest and highest rank, shape (k, 2).
    """
    totals = np.zeros_like(replicates[0])
    for task, drawn in zip(scores, replicates, strict=True):
        n = task.shape[1]
        picks = rng.multinomial(n, np.full(n, 1 / n), size=len(drawn)) / n
        widened = math.sqrt(n) / np.sqrt(rng.chisquare(n - 1, size=(len(drawn), 1)))
        centre = task.mean(axis=1)
        totals += centre + (picks @ (task.T - centre)) * widened + (drawn - drawn.mean(axis=0))
    above = np.stack([(totals > column[:, None]).sum(axis=1) for column in totals.T], axis=1) + 1
    return np.percentile(above, [2.5, 97.5], axis=0, method="nearest").T.astype(np.int64)
