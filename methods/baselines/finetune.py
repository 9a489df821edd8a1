"""Fine-tuning of the whole pretrained encoder: the baseline, and the start model and teacher of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from methods.method import Method
from reports.metrics import collapse

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.run import Run


class Finetune(
    Method,
    name="finetune",
    family="baseline",
    paper="Devlin et al., NAACL 2019, arXiv 1810.04805",
    version=1,
):
    """Train encoder and classifier on the task; fields left out take the sweep's `train:` settings."""

    epochs: float | None = Field(None, gt=0, description="passes over the train split")
    learning_rate: float | None = Field(None, gt=0, description="peak rate of AdamW")
    batch_size: int | None = Field(None, ge=1, description="examples per step")

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the fine-tuned model, drawn anew up to `run.redraws` times if it collapsed."""
        training = run.training.override(
            epochs=self.epochs, learning_rate=self.learning_rate, batch_size=self.batch_size
        )
        first = run.seeds
        for draw in range(run.redraws + 1):
            run.seeds = first.redrawn(draw)
            model = run.pretrained()
            run.fit(model, training=training)
            run.notes["redraws"] = draw
            if draw == run.redraws or not self._collapsed(model, run):
                break
        return model

    def _collapsed(self, model: PreTrainedModel, run: Run) -> bool:
        return collapse(run.choice.labels, run.predict(model, run.choice), run.task.primary).collapsed
