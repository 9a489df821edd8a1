"""Differences between two groups of trials with different seeds, scored on the same examples."""

from __future__ import annotations

import numpy as np

from reports.metrics import Floats
from reports.statistics.paired import Estimate, agree


def difference(own: Floats, base: Floats, own_replicates: Floats, base_replicates: Floats) -> Estimate:
    """Estimate mean(own) - mean(base) and split its variance, seeds unpaired and examples paired.

    The two-group form of `paired.estimate`: A = var(own)/n + var(base)/m with Satterthwaite's degrees of
    freedom, V_ex = Var_r(mean own^r - mean base^r). In each group the part of its example variance that
    differs from seed to seed, max(0, (V_s - V_g)/(size-1)), is already in A; B = V_ex less both parts.

    Args:
        own: scores in points, shape (n,), n >= 2.
        base: scores in points, shape (m,), m >= 2.
        own_replicates: the same under example draws, shape (r, n).
        base_replicates: under the same draws, shape (r, m).
    """
    mean = float(own.mean() - base.mean())
    together = float((own_replicates.mean(axis=1) - base_replicates.mean(axis=1)).var(ddof=1))
    parts = [(float(group.var(ddof=1)) / len(group), len(group) - 1) for group in (own, base)]
    seed_variance = sum(variance for variance, _ in parts)
    squares = sum(variance**2 / df for variance, df in parts)
    df = seed_variance**2 / squares if squares > 0 else min(df for _, df in parts)
    residual = max(0.0, together - _in_seeds(own_replicates) - _in_seeds(base_replicates))
    if agree(own) and agree(base):
        # As in the paired estimate: seeds that agree leave the examples to decide.
        seed_variance, residual = 0.0, together
    return Estimate(mean, seed_variance, residual, together, df)


def _in_seeds(replicates: Floats) -> float:
    """Variance under example draws that the mean over seeds has because seeds react differently."""
    single = float(replicates.var(axis=0, ddof=1).mean())
    together = float(np.var(replicates.mean(axis=1), ddof=1))
    return max(0.0, (single - together) / (replicates.shape[1] - 1))
