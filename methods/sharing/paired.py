"""Shuffled parameter sharing (SPS): which layers a student runs twice, and where query and key change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Shuffle = Literal["none", "upper", "both", "lower"]

DOUBLED_UP_TO = 3
"""Students of at most this many layers run all of them twice, deeper ones their upper half."""


def paired_order(layers: int) -> list[int]:
    """Positions in the order of application: 0 1 2 0 1 2 for three layers, 0 1 2 3 4 5 3 4 5 for six.

    The official code has it for one, two, three and six layers.
    """
    first = 0 if layers <= DOUBLED_UP_TO else layers - layers // 2
    return [*range(layers), *range(first, layers)]


def share_in_pairs(model: PreTrainedModel, shuffle: Shuffle) -> PreTrainedModel:
    """Run the layers of `model` in two passes, in place; return the model (Pea-KD, arXiv 2009.14822).

    Args:
        model: a student of k layers; its parameters and their names stay those of k layers.
        shuffle: the applications of paired layers in which query and key are exchanged: the second
            (`upper`, the paper's), the first (`lower`), `both`, or `none` (sharing without shuffling).
    """
    from methods import encoders
    from methods.sharing.passes import run_in_order

    layers = len(encoders.stack(model))
    order = paired_order(layers)
    paired = set(order[layers:])
    lower = [position in paired and shuffle in ("lower", "both") for position in order[:layers]]
    upper = [shuffle in ("upper", "both")] * len(paired)
    return run_in_order(model, order, lower + upper)
