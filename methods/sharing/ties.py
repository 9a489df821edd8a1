"""Cross-layer parameter sharing: several positions of the encoder run one and the same layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from methods import encoders
from methods.precision import exact
from methods.sharing.groups import groups_of, require_layers, shared_already
from methods.sharing.matching import match_heads
from tasks.errors import BadInput

Init = Literal["mean", "first", "layer", "matched-mean"]


def share_layers(
    model: PreTrainedModel, groups: int, init: Init, *, layer: int | None = None
) -> PreTrainedModel:
    """Make the layers of a group one module, in place; return the model.

    Embeddings, pooler and classifier are untouched. `config.layer_groups` says which layers are one.

    Args:
        model: an encoder of a known architecture whose layers have equal shapes.
        groups: number of distinct layers left.
        init: the shared layer starts as the tensor-wise `mean` of its group, as the group's `first` layer, as
            the one `layer` that the model keeps, or as the mean after the heads of every layer were paired
            with those of the group's first (`matched-mean`).
        layer: number of the layer to keep, from 0; with `init="layer"` and one group.

    Raises:
        BadInput: there are fewer layers than groups, there is no such layer, or layers share weights already.
    """
    stack = encoders.stack(model)
    own = [id(parameter) for part in stack for parameter in part.parameters()]
    if len(set(own)) < len(own):
        raise BadInput(shared_already(model.config.model_type))
    require_layers(len(stack), groups, layer)
    assignment = groups_of(len(stack), groups)
    if init == "matched-mean":
        parts = encoders.layers(model)
        for part, group in zip(parts, assignment, strict=True):
            match_heads(part, parts[assignment.index(group)])
    if init == "layer":
        stack[0] = stack[layer or 0]
    elif init != "first":
        for group in range(groups):
            _become_mean([member for member, own in zip(stack, assignment, strict=True) if own == group])
    share_by_group(stack, assignment)
    model.config.layer_groups = assignment
    return model


def share_by_group(stack: nn.ModuleList, assignment: Sequence[int]) -> None:
    """Let every position run the first layer of its group, in place.

    Args:
        stack: the layers by position.
        assignment: a number by position, equal where layers become one.
    """
    for position, group in enumerate(assignment):
        stack[position] = stack[assignment.index(group)]


@torch.no_grad()
def _become_mean(layers: list[nn.Module]) -> None:
    """Set the first layer to the mean of all, in double precision so that equal layers stay equal."""
    for parameter, *others in zip(*(layer.parameters() for layer in layers), strict=True):
        parameter.copy_(exact(torch.stack([parameter, *others])).mean(dim=0))
