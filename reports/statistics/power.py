"""What could have been detected, and what more seeds could still buy."""

from __future__ import annotations

import math

from reports.statistics.paired import Estimate

POWER = 0.8


def detectable(e: Estimate, *, seeds: int | None = None, now: int | None = None) -> float:
    """Smallest true difference, in points, that one comparison finds at 5 % with 80 % power.

    Verdicts are corrected for all comparisons of their family, so among many more is needed.

    MDE(n) = (t_{0.975, nu} + t_{0.8, nu}) sqrt(sd_seed^2/n + B), nu by Satterthwaite.

    Args:
        e: the estimate, with at least two seeds.
        seeds: number of seeds to plan for; the present number when absent.
        now: the present number of seeds, needed with `seeds`.
    """
    from scipy.special import stdtrit

    between, examples, df = e.seeds or 0.0, e.examples or 0.0, e.df
    if seeds is not None and now is not None:
        between, df = between * now / seeds, seeds - 1
    total = between + examples
    if total == 0:
        return 0.0
    nu = min(total**2 * df / between**2, 1e6) if between > 0 else 1e6
    return float((stdtrit(nu, 0.975) + stdtrit(nu, POWER)) * math.sqrt(total))


def floor(e: Estimate) -> float:
    """Smallest difference any number of seeds could detect: the evaluation set's own noise, 2.8 sqrt(B)."""
    from scipy.special import ndtri

    return float((ndtri(0.975) + ndtri(POWER)) * math.sqrt(e.examples or 0.0))


def seeds_needed(e: Estimate, effect: float, now: int) -> int | None:
    """Seeds that detect `effect` points; None when no number of seeds (up to 1,000) does."""
    if floor(e) >= effect or detectable(e, seeds=1000, now=now) > effect:
        return None
    low, high = 1, 1000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if detectable(e, seeds=middle, now=now) <= effect else (middle, high)
    return high
