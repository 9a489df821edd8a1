"""The pruning curve: one model with more and more of its heads removed, in a given order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from methods.pruning.order import Head
from methods.study import Variant


def curve(
    name: str,
    order: Sequence[Head],
    step: float,
    facts: Mapping[str, Any],
    model: Path | None = None,
) -> Iterator[Variant]:
    """Yield a variant for each share of heads removed: 0, `step`, 2 `step`, ... up to all of them.

    Step k removes the first floor(total k step) heads, in decimal arithmetic, so the sets are nested
    (Michel et al., NeurIPS 2019, sec. 4.2).

    Args:
        name: the curve's, unique in the study.
        order: every head of the model, the first to go first.
        step: share of all heads from one point to the next.
        facts: what the report must know of the curve; `share` and `heads` are added.
        model: a saved model; the start model by default.
    """
    share = Fraction(str(step))
    for k in range(math.floor(1 / share) + 1):
        count = math.floor(len(order) * k * share)
        at = {"share": float(k * share), "heads": count}
        yield Variant(f"{name}.{float(k * share):g}", tuple(order[:count]), model, {**facts, **at})
