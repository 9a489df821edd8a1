"""The metric that AUBER's rewards are changes of, with heads of one layer removed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedModel

from methods import encoders
from methods.pruning.auber.environment import Heads
from methods.pruning.masked import evaluator
from reports.metrics import score
from reports.record import Cost
from tasks.examples import Examples
from tasks.task import MetricName, Task


def official_metric(task: Task) -> MetricName:
    """The metric of AUBER's official code: Matthews where the task is ranked by it, else accuracy."""
    return task.primary if task.primary == "matthews" else "accuracy"


class Rewards:
    """Measures sets of removed heads on fixed examples; see `methods.pruning.masked` for what it costs."""

    def __init__(
        self, model: PreTrainedModel, row: int, examples: Examples, metric: MetricName, *, bf16: bool
    ) -> None:
        """Hold a model that must not change while it is judged.

        Args:
            model: the model before the layer is pruned.
            row: the layer, as in `encoders.layers`.
            examples: what it is judged on.
            metric: the metric.
            bf16: run matrix products in bfloat16.

        Raises:
            BadInput: no examples, or an encoder without known attention heads.
        """
        self._evaluator = evaluator(model, examples, bf16=bf16)
        self._row, self._labels, self._metric = row, examples.labels, metric
        self._heads = encoders.layers(model)[row].heads
        self._width = model.config.num_attention_heads

    def __call__(self, sets: Sequence[Heads]) -> list[float]:
        """Return the metric with each set removed; heads are counted among those the layer has."""
        stay = np.ones((len(sets), self._width), dtype=bool)
        for mask, removed in zip(stay, sets, strict=True):
            mask[[self._heads[place] for place in removed]] = False
        logits = self._evaluator.logits(self._row, stay)
        return [score(self._labels, one, [self._metric])[self._metric] for one in logits]

    @property
    def path(self) -> str:
        """How masks are evaluated, as `Evaluator.path`."""
        return self._evaluator.path

    @property
    def cost(self) -> Cost:
        """What all measurements cost so far, those of a killed attempt included once set."""
        return self._evaluator.cost

    @cost.setter
    def cost(self, cost: Cost) -> None:
        self._evaluator.cost = cost
