"""Seed-paired differences to the baseline, with the variance of seeds and of examples apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.metrics import Floats


@dataclass(frozen=True)
class Estimate:
    """A mean difference and what is uncertain about it.

    Attributes:
        mean: mean paired difference in points, positive where the method is better.
        seed_variance: A, variance of the mean from seeds, in points squared; None with a single seed.
        residual_example_variance: B, variance of the mean from the examples that A does not hold yet, in
            points squared; None with a single seed.
        example_variance: V_ex, variance of the mean when only examples are drawn anew, in points squared.
        df: degrees of freedom of A.
    """

    mean: float
    seed_variance: float | None
    residual_example_variance: float | None
    example_variance: float
    df: float

    @property
    def identical(self) -> bool:
        """Whether no draw of seeds or examples shows any difference."""
        return self.mean == 0 and not self.seed_variance and self.example_variance == 0


def estimate(differences: Floats, replicates: Floats) -> Estimate:
    """Estimate the mean difference and split its variance.

    With D_s the difference at seed s and D_s^r the same under example draw r: A = var(D_s)/n,
    V_ex = Var_r(mean_s D_s^r), V_s = mean_s Var_r(D_s^r). The part of V_ex that differs from seed to seed,
    V_in = max(0, (V_s - V_ex)/(n-1)), is already in A; B = max(0, V_ex - V_in) is the rest.

    Args:
        differences: D_s in points, shape (n,).
        replicates: D_s^r in points, shape (r, n).
    """
    n = len(differences)
    together = float(replicates.mean(axis=1).var(ddof=1))
    mean = float(differences.mean())
    if n == 1:
        return Estimate(mean, None, None, together, 0.0)
    single = float(replicates.var(axis=0, ddof=1).mean())
    in_seeds = max(0.0, (single - together) / (n - 1))
    seed_variance, residual = float(differences.var(ddof=1)) / n, max(0.0, together - in_seeds)
    if agree(differences):
        # A holds nothing then, nor what is taken from B as its part: the examples alone decide.
        seed_variance, residual = 0.0, together
    return Estimate(mean, seed_variance, residual, together, n - 1)


def agree(points: Floats) -> bool:
    """Whether values in points are equal but for rounding: few seeds on few examples can be, by chance."""
    return float(np.ptp(points)) < _ROUNDING


_ROUNDING = 1e-9
"""Points; one of a million examples is 1e-4."""


def across(tasks: Sequence[Estimate]) -> Estimate:
    """Average over T tasks; the degrees of freedom follow Satterthwaite (1946) over the tasks' A."""
    count = len(tasks)
    mean = sum(e.mean for e in tasks) / count
    example_variance = sum(e.example_variance for e in tasks) / count**2
    parts = [(e.seed_variance, e.df) for e in tasks if e.seed_variance is not None]
    if len(parts) < count:
        return Estimate(mean, None, None, example_variance, 0.0)
    total = sum(a for a, _ in parts)
    squares = sum(a**2 / df for a, df in parts)
    df = total**2 / squares if squares > 0 else min(df for _, df in parts)
    residual = sum(e.residual_example_variance or 0.0 for e in tasks) / count**2
    return Estimate(mean, total / count**2, residual, example_variance, df)


def sign_flip(differences: Floats) -> float:
    """Two-sided exact sign-flip p of the mean; it cannot go below 2/2^n (0.0625 at n = 5).

    Beyond 14 seeds the patterns are drawn, 2^14 of them, from a fixed stream. One seed, or none that all
    tasks have, says nothing: p is 1.
    """
    if len(differences) < 2:
        return 1.0
    from scipy.stats import permutation_test

    def total(flipped: Floats, axis: int) -> Floats:
        # Sums that are equal but for rounding are ties.
        return np.round(flipped.sum(axis=axis), 9)

    drawn = permutation_test(
        (differences,), total, permutation_type="samples", vectorized=True, n_resamples=2**14, rng=20
    )
    return float(drawn.pvalue)


def mcnemar(own: NDArray[np.bool_], base: NDArray[np.bool_]) -> float:
    """Two-sided exact McNemar (1947) p for the correctness of two models on the same examples, shape (n,)."""
    from statsmodels.stats import contingency_tables

    wins, losses = int((own & ~base).sum()), int((base & ~own).sum())
    return float(contingency_tables.mcnemar([[0, wins], [losses, 0]], exact=True).pvalue)


def example_t_test(own: NDArray[np.bool_], base: NDArray[np.bool_]) -> float:
    """Two-sided paired t-test over examples of the correctness of two models, each shape (n,)."""
    from scipy.stats import ttest_rel

    mine, theirs = own.astype(float), base.astype(float)
    if np.ptp(mine - theirs) == 0:
        return 1.0 if mine[0] == theirs[0] else 0.0
    return float(ttest_rel(mine, theirs).pvalue)


def t_test(e: Estimate) -> float | None:
    """Two-sided paired t-test over seeds: these examples, new seeds; None where the seeds do not vary."""
    from scipy.special import stdtr

    if not e.seed_variance:
        return 1.0 if e.mean == 0 else None
    return 2 * float(stdtr(e.df, -abs(e.mean) / math.sqrt(e.seed_variance)))


def bootstrap(e: Estimate) -> tuple[float, float]:
    """Test over examples: these models, new examples.

    Returns:
        Two-sided p and the half-width of the 95 % interval in points.
    """
    from scipy.special import ndtr

    deviation = math.sqrt(e.example_variance)
    if deviation == 0:
        return (1.0 if e.mean == 0 else 0.0), 0.0
    return 2 * float(ndtr(-abs(e.mean) / deviation)), 1.959963984540054 * deviation
