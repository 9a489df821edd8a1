"""Pruning curve: how many heads can go at once, by the order in which they go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field

from methods.pruning.partly_shared_layers import RefusesPartlySharedLayers
from methods.study import Experiment, Variant

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pruning.order import Head
    from methods.run import Run


class PruningCurve(
    RefusesPartlySharedLayers,
    Experiment,
    name="pruning-curve",
    paper="Michel, Levy, Neubig, NeurIPS 2019, arXiv 1905.10650, sec. 4.2",
    needs=("finetune",),
    report="reports.studies.pruning_curve:report",
):
    """Remove more and more heads of the start model, without training, in five orders.

    - `importance`: least important first, as `sixteen-heads` ranks them on the train split.
    - `ablation`: the head whose removal alone leaves the best model first (the paper's dashed line). The
      ranking is made on the `reward` part of the selection split, not on the data of the curve.
    - `random`: several draws, averaged in each seed.
    - `reverse`: most important first.
    - `magnitude`: least sum of squared weights first.
    """

    step: float = Field(0.1, gt=0, le=0.5, description="share of all heads from one point to the next")
    draws: int = Field(5, ge=1, description="random orders")
    examples: int = Field(4096, ge=1, description="train examples the importance is a mean over, at most")

    def cost(self) -> float:
        """Passes over validation for each point of each curve, over a tenth of train for each head."""
        return 1.0 + (4 + self.draws) / self.step / 50

    def variants(self, run: Run) -> Iterable[Variant]:
        """Every point of every curve."""
        from methods.pruning.magnitude import head_magnitude
        from methods.pruning.order import ascending, random_order
        from methods.pruning.sixteen_heads import SixteenHeads
        from methods.studies.curve import curve

        model = run.start()
        importance = SixteenHeads(examples=self.examples).order(run, model)
        orders = {
            "importance": importance,
            "ablation": self._by_ablation(run, model),
            "reverse": importance[::-1],
            "magnitude": ascending(model, head_magnitude(model)),
        }
        for name, order in orders.items():
            yield from curve(name, order, self.step, {"order": name, "draw": 0})
        for draw in range(self.draws):
            order = random_order(model, run.seeds.redrawn(draw).dropout)
            yield from curve(f"random-{draw}", order, self.step, {"order": "random", "draw": draw})

    def _by_ablation(self, run: Run, model: PreTrainedModel) -> list[Head]:
        """Heads by what the model is worth without each, best first."""
        from methods.pruning.order import surviving_heads
        from methods.studies.quality import qualities

        heads = surviving_heads(model)
        without = dict(zip(heads, qualities(run, model, [[head] for head in heads]), strict=True))
        return sorted(heads, key=lambda head: without[head].rank, reverse=True)
