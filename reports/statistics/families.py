"""Corrections for many comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Correction = Literal["holm", "bh"]


def adjust(p_values: Sequence[float], correction: Correction) -> list[float]:
    """Return adjusted p-values in the given order.

    `holm` (Holm, 1979) bounds the chance of one false rejection in the family, `bh` (Benjamini and Hochberg,
    1995) the expected share of false ones.
    """
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return []
    method = {"holm": "holm", "bh": "fdr_bh"}[correction]
    return [float(p) for p in multipletests(list(p_values), method=method)[1]]
