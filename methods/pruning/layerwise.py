"""AUBER's schedule: layer by layer from the input side, prune one layer, train the whole model, go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tasks.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.encoders import Layer
    from methods.method import Work
    from methods.run import Run


def layer_by_layer(
    run: Run, model: PreTrainedModel, *, prune: Callable[[int, Layer], int], train: Callable[[], Any]
) -> None:
    """Go through the layers from the input side (Lee, Lee, Kang 2021, arXiv 2009.14409).

    A layer that stands at several positions is one. After each, the model is handed back as the stage
    `layer-<row>`, counted from 0 over distinct layers.

    Args:
        run: gets the stages.
        model: what `prune` and `train` change in place.
        prune: given a row and its layer as it now is, removes heads of it and returns how many.
        train: called after each layer that lost some; a layer that lost none is not trained for.
    """
    from methods import encoders

    for row in range(len(encoders.layers(model))):
        if prune(row, encoders.layers(model)[row]):
            train()
        run.stage(f"layer-{row}", model)


def require_heads_removed(key: str, other: Work) -> None:
    """Refuse to be `like` a method that does not remove heads.

    Raises:
        BadInput: it does not say that it does.
    """
    if not other.removes_heads:
        raise BadInput(f"like: {key!r} removes no heads by layer; name a method that does, such as auber")


def removed_by(run: Run, other: str, model: PreTrainedModel) -> list[int]:
    """Return how many heads another method removed from each layer, for the same task and seed.

    Args:
        run: holds the notes of `other`, which the method must say it `reads`.
        other: the key those notes stand under.
        model: the model the counts are for.

    Raises:
        BadInput: `other` does not say which heads it removed, or its encoder had another depth.
    """
    from methods import encoders

    removed = run.notes_of[other].get("removed_heads")
    if removed is None:
        raise BadInput(f"like: {other!r} does not say which heads it removed; name another, such as auber")
    depth = len(encoders.stack(model))
    if len(removed) != depth:
        raise BadInput(f"like: {other!r} had {len(removed)} layers, but this model has {depth}")
    return [len(heads) for heads in removed]
