"""Correlation of two measurements of the same things, with bootstrap intervals over the things."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reports.metrics import Floats
from reports.statistics.replicates import REPLICATES

Interval = tuple[float, float]


@dataclass(frozen=True)
class Correlation:
    """Pearson's and Spearman's r of m pairs, each with its 95 % percentile interval."""

    pearson: float
    pearson_interval: Interval
    spearman: float
    spearman_interval: Interval


def correlate(x: Floats, y: Floats, rng: np.random.Generator, draws: int = REPLICATES) -> Correlation | None:
    """Correlate x and y, each of shape (m,); pairs are drawn anew with replacement for the intervals.

    Draws in which one of the two does not vary have no r and are left out.

    Returns:
        None where there are fewer than three pairs or one side does not vary.
    """
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    picks = rng.integers(0, len(x), size=(draws, len(x)))
    drawn_x, drawn_y = x[picks], y[picks]
    return Correlation(
        float(_pearson(x[None], y[None])[0]),
        _interval(_pearson(drawn_x, drawn_y)),
        float(_pearson(_ranks(x[None]), _ranks(y[None]))[0]),
        _interval(_pearson(_ranks(drawn_x), _ranks(drawn_y))),
    )


def _pearson(x: Floats, y: Floats) -> Floats:
    """Pearson's r of each row; NaN where a row does not vary."""
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    spread = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    # A row of equal values keeps a rounding error of its mean.
    flat = (np.ptp(x, axis=1) == 0) | (np.ptp(y, axis=1) == 0)
    return np.divide((x * y).sum(axis=1), spread, out=np.full(len(x), np.nan), where=~flat)


def _ranks(values: Floats) -> Floats:
    """Ranks along each row, ties sharing their mean rank."""
    from scipy.stats import rankdata

    return rankdata(values, axis=1)


def _interval(drawn: Floats) -> Interval:
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)
