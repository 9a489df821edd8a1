"""Are Sixteen Heads Really Better than One? Heads go by the gradient of the loss at their gates."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from methods.pruning.head_pruning import HeadPruning

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pruning.goal import Goal
    from methods.pruning.order import Head
    from methods.run import Run

BATCH_SIZE = 32


class SixteenHeads(
    HeadPruning,
    name="sixteen-heads",
    family="pruning",
    paper="Michel, Levy, Neubig, NeurIPS 2019, arXiv 1905.10650",
    needs=("finetune",),
):
    """Remove the heads of least importance, a layer's last head included.

    By default importance is eq. 2 on the train split, per example, each layer's scores divided by their l2
    norm, computed once, as in section 4.2, whose curves have no training after pruning. Also left in the
    record: `importance`, the scores first ranked, layers by heads.
    """

    unit: Literal["example", "token", "batch"] = Field(
        "example",
        description="what the absolute value is taken of: the paper's example, the official code's token, or "
        "a batch, in which signs cancel, for comparison",
    )
    normalise: bool = Field(True, description="divide importance by its l2 norm in each layer")
    recompute: bool = Field(False, description="compute importance anew after every step, not once")
    step: float = Field(
        0.1, gt=0, lt=1, description="share of all heads that goes in a step; matters with recompute only"
    )
    examples: int = Field(4096, ge=1, description="train examples the importance is a mean over, at most")

    def cost(self) -> float:
        """Importance takes a forward and about half a backward pass over the examples."""
        return super().cost() + 0.2 * (5 if self.recompute or self.reads() else 1)

    def order(self, run: Run, model: PreTrainedModel) -> list[Head]:
        """Rank heads by importance, least first."""
        from methods.pruning.importance import head_importance, layer_normalised
        from methods.pruning.order import ascending
        from tasks.batches import in_order

        sample = run.train.sample(self.examples, run.seeds.order)
        importance = head_importance(model, in_order(sample, BATCH_SIZE), unit=self.unit)
        run.cost += importance.cost
        scores = layer_normalised(importance.scores) if self.normalise else importance.scores
        run.notes.setdefault("importance", [[float(f"{score:.4g}") for score in layer] for layer in scores])
        return ascending(model, scores)

    def reach(self, run: Run, model: PreTrainedModel, goal: Goal, order: list[Head]) -> list[Head] | None:
        """Prune up to `goal`, with `recompute` in steps: after k of them floor(k * step * heads) are gone."""
        from methods.pruning.order import by_layer
        from methods.pruning.surgery import prune_heads

        if not self.recompute:
            return super().reach(run, model, goal, order)
        while len(heads := self.needed(goal, model, order)) > (stride := self._stride(model)):
            prune_heads(model, by_layer(heads[:stride]))
            order = self.order(run, model)
        super().reach(run, model, goal, order)
        return None

    def _stride(self, model: PreTrainedModel) -> int:
        """Heads to the end of the step that `model` is in; never none, however small a step is."""
        from methods import encoders
        from methods.pruning.order import surviving_heads

        total = len(encoders.layers(model)) * model.config.num_attention_heads
        gone = total - len(surviving_heads(model))
        each = total * Fraction(str(self.step))
        # The first whole number of steps that removes more than is gone.
        steps = math.ceil((gone + 1) / each)
        return math.floor(steps * each) - gone
