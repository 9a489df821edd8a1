"""Seed-paired differences to the baseline, with the variance of seeds and of examples apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from reports.metrics import Floats


@dataclass(frozen=True)
class Estimate:
    """A mean difference in points and what is uncertain about it.

    Attributes:
        mean: mean paired difference, positive where the method is better.
        seeds: A, variance of the mean from seeds; None with a single seed.
        examples: B, variance of the mean from the examples that A does not hold yet; None with a single seed.
        drawn: V_ex, variance of the mean when only examples are drawn anew.
        df: degrees of freedom of A.
    """

    mean: float
    seeds: float | None
    examples: float | None
    drawn: float
    df: float

    @property
    def identical(self) -> bool:
        """Whether no draw of seeds or examples shows any difference."""
        return self.mean == 0 and not self.seeds and self.drawn == 0


def estimate(differences: Floats, replicates: Floats) -> Estimate:
    """Estimate the mean difference and split its variance.

    With D_s the difference at seed s and D_s^r the same under example draw r: A = var(D_s)/n,
    V_ex = Var_r(mean_s D_s^r), V_s = mean_s Var_r(D_s^r). The part of V_ex that differs from seed to seed,
    V_res = max(0, (V_s - V_ex)/(n-1)), is already in A; B = max(0, V_ex - V_res) is the rest.

    Args:
        differences: D_s in points, shape (n,).
        replicates: D_s^r in points, shape (r, n).
    """
    n = len(differences)
    drawn = float(replicates.mean(axis=1).var(ddof=1))
    mean = float(differences.mean())
    if n == 1:
        return Estimate(mean, None, None, drawn, 0.0)
    single = float(replicates.var(axis=0, ddof=1).mean())
    residual = max(0.0, (single - drawn) / (n - 1))
    seeds, examples = float(differences.var(ddof=1)) / n, max(0.0, drawn - residual)
    if agree(differences):
        # A holds nothing then, nor what is taken from B as its part: the examples alone decide.
        seeds, examples = 0.0, drawn
    return Estimate(mean, seeds, examples, drawn, n - 1)


def agree(points: Floats) -> bool:
    """Whether values in points are equal but for rounding: few seeds on few examples can be, by chance."""
    return float(np.ptp(points)) < _ROUNDING


_ROUNDING = 1e-9
"""Points; one of a million examples is 1e-4."""


def across(tasks: Sequence[Estimate]) -> Estimate:
    """Average over T tasks; the degrees of freedom follow Satterthwaite (1946) over the tasks' A."""
    count = len(tasks)
    mean = sum(e.mean for e in tasks) / count
    drawn = sum(e.drawn for e in tasks) / count**2
    parts = [(e.seeds, e.df) for e in tasks if e.seeds is not None]
    if len(parts) < count:
        return Estimate(mean, None, None, drawn, 0.0)
    total = sum(a for a, _ in parts)
    squares = sum(a**2 / df for a, df in parts)
    df = total**2 / squares if squares > 0 else min(df for _, df in parts)
    examples = sum(e.examples or 0.0 for e in tasks) / count**2
    return Estimate(mean, total / count**2, examples, drawn, df)


def sign_flip(differences: Floats) -> float:
    """Two-sided exact sign-flip p of the mean; it cannot go below 2/2^n (0.0625 at n = 5).

    Beyond 14 seeds the patterns are drawn, 2^14 of them, from a fixed stream.
    """
    n = len(differences)
    if n <= 14:
        signs = np.array(list(product((-1.0, 1.0), repeat=n)))
    else:
        signs = np.random.default_rng(20).choice((-1.0, 1.0), size=(2**14, n))
        signs[0] = 1.0  # the observed pattern counts, so that p is never 0
    observed = abs(differences.sum())
    return float((np.abs(signs @ differences) >= observed * (1 - 1e-12) - 1e-12).mean())


def mcnemar(own: NDArray[np.bool_], base: NDArray[np.bool_]) -> float:
    """Two-sided exact McNemar (1947) p for the correctness of two models on the same examples, shape (n,)."""
    from scipy.special import bdtr

    wins, losses = int((own & ~base).sum()), int((base & ~own).sum())
    if wins + losses == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5)))


def example_t_test(own: NDArray[np.bool_], base: NDArray[np.bool_]) -> float:
    """Two-sided paired t-test over examples of the correctness of two models, each shape (n,)."""
    from scipy.special import stdtr

    differences = own.astype(float) - base.astype(float)
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    if deviation == 0:
        return 1.0 if mean == 0 else 0.0
    n = len(differences)
    return 2 * float(stdtr(n - 1, -abs(mean) / (deviation / math.sqrt(n))))


def t_test(e: Estimate) -> float | None:
    """Two-sided paired t-test over seeds: these examples, new seeds; None where the seeds do not vary."""
    from scipy.special import stdtr

    if not e.seeds:
        return 1.0 if e.mean == 0 else None
    return 2 * float(stdtr(e.df, -abs(e.mean) / math.sqrt(e.seeds)))


def bootstrap(e: Estimate) -> tuple[float, float]:
    """Test over examples: these models, new examples.

    Returns:
        Two-sided p and the half-width of the 95 % interval in points.
    """
    from scipy.special import ndtr

    deviation = math.sqrt(e.drawn)
    if deviation == 0:
        return (1.0 if e.mean == 0 else 0.0), 0.0
    return 2 * float(ndtr(-abs(e.mean) / deviation)), 1.959963984540054 * deviation
