"""How many heads or neurons must go for a budget, measured on the model as it would become."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from transformers import PreTrainedModel

from methods import encoders
from methods.flops import flops_by_length
from methods.pruning.budget import Axis, smallest_share, units_to_remove
from methods.timing import interleaved
from tasks.errors import BadInput

LENGTH = 128
REPEATS = 15
_WARM_UP = 3

Cut = Callable[[PreTrainedModel, int], None]
"""Removes the given number of units from a model in place, in their order."""


@dataclass(frozen=True)
class Goal:
    """A share of one axis that is to be removed from the start model."""

    method: str
    """Its name, for errors."""
    axis: Axis
    share: float
    start: PreTrainedModel
    """The model before any pruning; never changed."""

    @cached_property
    def _whole(self) -> float:
        """The measure of the start model, which a bisection asks for at every step."""
        return _MEASURES[self.axis](self.start)

    def removed(self, model: PreTrainedModel) -> float:
        """Return the share that `model`, made from the start model, is already without.

        A latency is the median of interleaved repeats; a few percent of it are noise, more where other
        trials share the machine.
        """
        if self.axis == "latency":
            return 1 - _relative_time(model, self.start)
        return 1 - _MEASURES[self.axis](model) / self._whole

    def needed(self, model: PreTrainedModel, available: int, cut: Cut) -> int:
        """Return how many more units must go.

        Of heads and neurons the share, rounded down; of other axes the fewest that reach it, found by
        bisection on copies of `model`.

        Args:
            model: the start model, or what pruning has made of it so far; left as it is.
            available: units that may go.
            cut: called on copies with at most `available`.

        Raises:
            BadInput: the share is less than one unit, or more than `available` units are.
        """
        if self.axis in ("heads", "neurons"):
            wanted = self._wanted(_MEASURES[self.axis](model))
            if wanted > available:
                raise self._too_large(f"only {available} may go")
            return wanted
        most = self._removed_by(model, available, cut)
        if most < self.share:
            raise self._too_large(f"all {available} units that may go make up {max(most, 0):.3f}")
        least, reached = -1, available
        while reached - least > 1:
            middle = (least + reached) // 2
            if self._removed_by(model, middle, cut) >= self.share:
                reached = middle
            else:
                least = middle
        return reached

    def _wanted(self, left: int) -> int:
        total = round(self._whole)
        wanted = units_to_remove(total, self.share)
        if wanted == 0:
            raise BadInput(
                f"{self.method}: {self.axis}: {self.share} of {total} {self.axis} is less than one; "
                f"ask for {smallest_share(total)} or more"
            )
        return wanted - (total - left)

    def _removed_by(self, model: PreTrainedModel, units: int, cut: Cut) -> float:
        pruned = deepcopy(model)
        cut(pruned, units)
        # A share that is met exactly may come out a rounding error short of it.
        return self.removed(pruned) + 1e-9

    def _too_large(self, reason: str) -> BadInput:
        return BadInput(
            f"{self.method}: {self.axis}: {self.share} to remove is more than the model allows: {reason}; "
            "ask for less, or lower the floor if one is set"
        )


def _heads(model: PreTrainedModel) -> int:
    return sum(len(layer.heads) for layer in encoders.layers(model))


def _neurons(model: PreTrainedModel) -> int:
    return sum(layer.ffn_in.out_features for layer in encoders.layers(model))


def _encoder_parameters(model: PreTrainedModel) -> int:
    return encoders.parameters(model).encoder


def _flops(model: PreTrainedModel) -> int:
    return round(flops_by_length(model)(LENGTH))


_MEASURES: dict[str, Callable[[PreTrainedModel], int]] = {
    "heads": _heads,
    "neurons": _neurons,
    "encoder_parameters": _encoder_parameters,
    "flops": _flops,
}


@torch.inference_mode()
def _relative_time(model: PreTrainedModel, start: PreTrainedModel) -> float:
    """Median time of a forward pass of `model` ÷ that of `start`: one example of 128 tokens, fp32.

    The two take turns, so that a slow moment of the machine hits both.
    """
    # RoBERTa numbers positions from 2, and a small model may have fewer than are timed here.
    length = min(LENGTH, model.config.max_position_embeddings - 2)
    ids = torch.ones((1, length), dtype=torch.long, device=model.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    calls = {"own": partial(model, **inputs), "whole": partial(start, **inputs)}
    times = interleaved(calls, warm_up=_WARM_UP, repeats=REPEATS, device=ids.device.type)
    return statistics.median(times["own"]) / statistics.median(times["whole"])
