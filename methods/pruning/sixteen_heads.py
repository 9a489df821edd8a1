"""Are Sixteen Heads Really Better than One? Heads go by the gradient of the loss at their gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from methods.pruning.head_pruning import HeadPruning

if TYPE_CHECKING:
    from transformers import PreTrainedModel

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
    """Remove the heads of least importance, all at once, a layer's last head included.

    Importance is eq. 2 on the train split, per example, each layer's scores divided by their l2 norm. The
    paper's main curves have no training after pruning. Also left in the record: `importance`, the ranked
    scores, layers by heads.
    """

    normalise: bool = Field(True, description="divide importance by its l2 norm in each layer")
    examples: int = Field(4096, ge=1, description="train examples the importance is a mean over, at most")

    def cost(self) -> float:
        """Importance takes a forward and about half a backward pass over the examples."""
        return super().cost() + 0.2

    def order(self, run: Run, model: PreTrainedModel) -> list[Head]:
        """Rank heads by importance, least first."""
        from methods.pruning.importance import head_importance, layer_normalised
        from methods.pruning.order import ascending
        from tasks.batches import in_order

        sample = run.train.subset(self._sample(len(run.train), run.seeds.order))
        importance = head_importance(model, in_order(sample, BATCH_SIZE))
        run.cost += importance.cost
        scores = layer_normalised(importance.scores) if self.normalise else importance.scores
        run.notes["importance"] = [[float(f"{score:.4g}") for score in layer] for layer in scores]
        return ascending(model, scores)

    def _sample(self, available: int, seed: int) -> np.ndarray:
        """Positions of the examples used: all, or so many drawn by `seed`."""
        if available <= self.examples:
            return np.arange(available)
        return np.sort(np.random.default_rng(seed).choice(available, self.examples, replace=False))
