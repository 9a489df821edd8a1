"""One forward pass that also returns inner states: the live side of the teacher's cached states."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

import torch
from torch import Tensor
from transformers import PreTrainedModel

from methods.distillation.parts import Kind, Part
from methods.distillation.scores import raw_scores
from tasks.batches import Batch


def observe(model: PreTrainedModel, batch: Batch, parts: Iterable[Part]) -> dict[Kind, Tensor]:
    """Run `model` and return the states of the given parts, shaped as `States.read` returns them.

    States of padding tokens are there too, and mean nothing.
    """
    wanted = {part.kind: part for part in parts}
    with ExitStack() as stack:
        scores = stack.enter_context(raw_scores(model)) if "attentions" in wanted else []
        output = model(**batch.inputs, output_hidden_states=True)
    seen: dict[Kind, Tensor] = {}
    for kind, part in wanted.items():
        if kind == "cls":
            seen[kind] = first_tokens([output.hidden_states[layer] for layer in part.layers])
        elif kind == "hidden":
            seen[kind] = torch.stack([output.hidden_states[layer] for layer in part.layers], dim=1)
        else:
            seen[kind] = torch.stack([scores[layer - 1] for layer in part.layers], dim=1)
    return seen


def first_tokens(hidden: Iterable[Tensor]) -> Tensor:
    """Stack the states of the first token, [CLS], by layer: shape (batch, layers, hidden)."""
    return torch.stack([states[:, 0] for states in hidden], dim=1)
