"""Fine-tuning of the whole pretrained encoder: the baseline, and the start model and teacher of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.method import Method
from methods.settings import TrainingOverrides
from reports.metrics import collapse

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.run import Run


class Finetune(
    TrainingOverrides,
    Method,
    name="finetune",
    family="baseline",
    paper="Devlin et al., NAACL 2019, arXiv 1810.04805",
    version=1,
):
    """Train encoder and classifier on the task; fields left out take the sweep's `train:` settings."""

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the fine-tuned model, drawn anew up to `run.redraws` times if it collapsed."""
        training, first = self.on(run.training), run.seeds
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
