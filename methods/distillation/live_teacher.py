"""A teacher that runs beside its student, for texts that are not in the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from methods.distillation.observe import observe
from methods.distillation.parts import Kind
from methods.flops import batch_flops, cost_of_inference, flops_by_length
from tasks.batches import Batch

if TYPE_CHECKING:
    from methods.distillation.teacher_states import TeacherStates
    from methods.run import Run


class LiveTeacher:
    """The start model in eval mode and without gradients; its work is added to the run's cost."""

    def __init__(self, run: Run, wanted: TeacherStates):
        """Load the start model; `wanted` says what it shows of its states."""
        self._run = run
        self._model = run.start().eval()
        self.parts = {part.kind: part for part in wanted.parts_of(self._model)}
        self._flops = flops_by_length(self._model)

    def states(self, batch: Batch) -> Mapping[Kind, Tensor]:
        """Return the states of a batch, as `States.read` shapes them."""
        self._count(batch)
        with torch.no_grad():
            return observe(self._model, batch, self.parts.values())

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits of a batch, shape (batch, classes)."""
        self._count(batch)
        with torch.no_grad():
            return self._model(**batch.inputs).logits.float()

    def _count(self, batch: Batch) -> None:
        self._run.cost += cost_of_inference(batch_flops(batch, self._flops))
