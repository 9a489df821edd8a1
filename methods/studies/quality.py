"""How good the start model is without sets of heads, on selection data: what studies choose by."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.pruning.masked_predictions import predict_without
from reports.metrics import cross_entropy, score

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pruning.order import Head
    from methods.run import Run


@dataclass(frozen=True)
class Quality:
    """Primary metric and mean cross-entropy of one model on the `reward` examples."""

    score: float
    loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """Sorts better models later: few examples give many ties in the metric, which the loss breaks."""
        return self.score, -self.loss


def qualities(run: Run, model: PreTrainedModel, sets: Sequence[Collection[Head]]) -> list[Quality]:
    """Return the quality of `model` on `run.reward` without each set of heads, in training precision."""
    labels, primary = run.reward.labels, run.task.primary
    return [
        Quality(score(labels, logits, [primary])[primary], cross_entropy(labels, logits))
        for logits in predict_without(model, run.reward, sets, bf16=run.bf16)
    ]
