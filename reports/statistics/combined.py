"""The test that decides: Student's t for the seeds, a normal for the examples, added."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from reports.metrics import Floats
from reports.statistics.paired import Estimate

_NODES = 1001
_NATS = 120.0  # twice the depth of the tails kept: exp(-60)


@lru_cache(maxsize=1024)
def _grid(df: float) -> tuple[Floats, Floats]:
    """Return nodes df/q and weights for an expectation over q ~ chi2(df).

    The trapezoid rule in log q converges geometrically, because the density falls off exponentially on both
    sides; unlike a rule in the quantiles of q it keeps its relative accuracy for very small p.
    """
    spread = math.sqrt(2 * _NATS / df)
    low, high = -(_NATS / df + spread), min(spread, math.log1p(2 * _NATS / df + 4))
    y = np.linspace(low, high, _NODES)  # q = df * exp(y)
    density = np.exp(df / 2 * (y - np.exp(y) + 1))
    return np.exp(-y), density / density.sum()


def upper_tail(
    x: float | Floats,
    seed_variance: float | Floats,
    residual_example_variance: float | Floats,
    df: float,
) -> Floats:
    """Return P(sqrt(A) t + sqrt(B) z > x), t of Student with `df` degrees of freedom, z normal.

    Args:
        x: one number or an array of shape (m,), in points.
        seed_variance: A in points squared, number or shape (m,).
        residual_example_variance: B in points squared, number or shape (m,).
        df: degrees of freedom, not necessarily whole.
    """
    from scipy.special import ndtr

    stretch, weights = _grid(df)
    given = (np.asarray(v, dtype=float) for v in (x, seed_variance, residual_example_variance))
    x, a, b = np.broadcast_arrays(*given)
    deviation = np.sqrt(a[..., None] * stretch + b[..., None])
    distance = np.broadcast_to(-x[..., None], deviation.shape)
    certain = np.where(distance == 0, 0.0, np.copysign(np.inf, distance))
    return ndtr(np.divide(distance, deviation, out=certain, where=deviation > 0)) @ weights


def p_value(e: Estimate) -> float:
    """Two-sided p of a difference: E over q of 2 Phi(-|d| / sqrt(A df/q + B)).

    Raises:
        ValueError: there is one seed only, so that the variance of seeds is unknown.
    """
    a, b = _variances(e)
    return min(1.0, 2 * float(upper_tail(abs(e.mean), a, b, e.df)))


def equivalence(e: Estimate, margin: float) -> float:
    """Two one-sided tests (Schuirmann, 1987): the larger p of `d <= -margin` and `d >= margin`."""
    a, b = _variances(e)
    return float(upper_tail(margin - abs(e.mean), a, b, e.df))


def half_width(e: Estimate, tail: float) -> float:
    """Return the distance x with P(sqrt(A) t + sqrt(B) z > x) = tail; 0.025 gives the 95 % interval's."""
    from scipy.optimize import brentq
    from scipy.special import ndtri, stdtrit

    a, b = _variances(e)
    if a + b == 0:
        return 0.0

    def surplus(x: float) -> float:
        return float(upper_tail(x, a, b, e.df)) - tail

    far = float(-math.sqrt(a) * stdtrit(e.df, tail) - math.sqrt(b) * ndtri(tail))
    while surplus(far) > 0:
        far *= 2
    return float(brentq(surplus, 0.0, far))


def _variances(e: Estimate) -> tuple[float, float]:
    """A and B."""
    if e.seed_variance is None or e.residual_example_variance is None:
        raise ValueError("one seed says nothing about other seeds: there is no combined test")
    return e.seed_variance, e.residual_example_variance
