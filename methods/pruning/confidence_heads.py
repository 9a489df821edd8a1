"""Confidence pruning of heads: those that attend to nothing in particular go first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from methods.pruning.head_pruning import HeadPruning

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pruning.order import Head
    from methods.run import Run

BATCH_SIZE = 32


class ConfidenceHeads(
    HeadPruning,
    name="confidence-heads",
    family="pruning",
    paper="after Voita et al., ACL 2019, arXiv 1905.09418; a baseline of AUBER",
    needs=("finetune",),
):
    """Remove the heads whose largest attention probability is least, on average over train tokens.

    Special tokens count neither as queries nor as keys, as Voita et al. leave out the end of the sentence,
    where heads with nothing to do look. Also left in the record: `confidence`, the means first ranked, layers
    by heads.
    """

    examples: int = Field(4096, ge=1, description="train examples the confidence is a mean over, at most")

    def cost(self) -> float:
        """Confidence takes a forward pass over the examples."""
        return super().cost() + 0.1 * (5 if self.reads() else 1)

    def order(self, run: Run, model: PreTrainedModel) -> list[Head]:
        """Rank heads by confidence, least first."""
        from methods.pruning.confidence import head_confidence
        from methods.pruning.order import ascending
        from tasks.batches import in_order

        sample = run.train.sample(self.examples, run.seeds.order)
        confidence = head_confidence(model, in_order(sample, BATCH_SIZE))
        run.cost += confidence.cost
        run.notes.setdefault("confidence", confidence.scores.round(4).tolist())
        return ascending(model, confidence.scores)
