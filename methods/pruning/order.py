"""In which order heads go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from methods import encoders

Head = tuple[int, int]
"""Position of its layer (the first, if the layer is shared) and its number before any pruning."""


def surviving_heads(model: PreTrainedModel) -> list[Head]:
    """List every head that is left once, by layer and number."""
    return [(layer.positions[0], head) for layer in encoders.layers(model) for head in layer.heads]


def random_order(model: PreTrainedModel, seed: int) -> list[Head]:
    """Shuffle the surviving heads; depends on `seed` alone, and a larger budget removes a superset."""
    heads = surviving_heads(model)
    return [heads[index] for index in np.random.default_rng(seed).permutation(len(heads))]


def ascending(model: PreTrainedModel, scores: NDArray[np.float64]) -> list[Head]:
    """Sort the surviving heads by score, least first; ties keep the order by layer and number.

    Args:
        model: the model the scores are of.
        scores: of shape (distinct layers, heads before pruning).
    """
    scored = [
        (scores[row, head], (layer.positions[0], head))
        for row, layer in enumerate(encoders.layers(model))
        for head in layer.heads
    ]
    return [head for _, head in sorted(scored)]


def removable(order: Iterable[Head], left: Mapping[int, int], floor: int = 0) -> list[Head]:
    """Leave out of `order` what must stay for every layer to keep `floor` of its units.

    Args:
        order: heads, or other units numbered in their layers, the first to go first.
        left: units that each layer has now, by its position; units of layers not named are left out.
        floor: units each layer keeps at least.
    """
    spare = {position: count - floor for position, count in left.items()}
    chosen = []
    for position, unit in order:
        if spare.get(position, 0) > 0:
            spare[position] -= 1
            chosen.append((position, unit))
    return chosen


def by_layer(heads: Iterable[Head]) -> dict[int, list[int]]:
    """Group heads by the position of their layer, both in ascending order."""
    grouped: dict[int, list[int]] = {}
    for position, head in sorted(heads):
        grouped.setdefault(position, []).append(head)
    return grouped
