"""What could have been detected, and what more seeds could still buy."""

from __future__ import annotations

import math

from reports.statistics.paired import Estimate

POWER = 0.8


def detectable(e: Estimate, *, plan: tuple[int, int] | None = None) -> float:
    """Smallest true difference, in points, that one comparison finds at 5 % with 80 % power.

    Verdicts are corrected for all comparisons of their family, so among many more is needed.

    MDE(n) = (t_{0.975, nu} + t_{0.8, nu}) sqrt(sd_seed^2/n + B), nu by Satterthwaite.

    Args:
        e: the estimate, with at least two seeds.
        plan: the present number of seeds, and the number to plan for; None for what is there.
    """
    from scipy.special import stdtrit

    a, b, df = e.seed_variance or 0.0, e.residual_example_variance or 0.0, e.df
    if plan is not None:
        now, seeds = plan
        a, df = a * now / seeds, seeds - 1
    total = a + b
    if total == 0:
        return 0.0
    nu = min(total**2 * df / a**2, 1e6) if a > 0 else 1e6
    return float((stdtrit(nu, 0.975) + stdtrit(nu, POWER)) * math.sqrt(total))


def floor(e: Estimate) -> float:
    """Smallest difference any number of seeds could detect: the evaluation set's own noise, 2.8 sqrt(B)."""
    from scipy.special import ndtri

    return float((ndtri(0.975) + ndtri(POWER)) * math.sqrt(e.residual_example_variance or 0.0))


def seeds_needed(e: Estimate, effect: float, now: int) -> int | None:
    """Seeds that detect `effect` points, with `now` in the estimate; None when no number up to 1,000 does."""
    if floor(e) >= effect or detectable(e, plan=(now, 1000)) > effect:
        return None
    low, high = 1, 1000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if detectable(e, plan=(now, middle)) <= effect else (middle, high)
    return high
