"""Training dynamics: when in fine-tuning it is decided which heads matter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from methods.pruning.partly_shared_layers import RefusesPartlySharedLayers
from methods.study import Experiment, Variant

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.run import Run


class TrainingDynamics(
    RefusesPartlySharedLayers,
    Experiment,
    name="training-dynamics",
    paper="Michel, Levy, Neubig, NeurIPS 2019, arXiv 1905.10650, sec. 6",
    report="reports.studies.training_dynamics:report",
):
    """Fine-tune as the start model is and draw the pruning curve of checkpoints on the way.

    At each checkpoint heads go by their importance for that checkpoint, computed on the train split; nothing
    is trained afterwards. The last checkpoint is the start model itself, or its first draw where the sweep
    had that redrawn (`collapsed_teacher: redraw`).
    """

    percents: tuple[float, ...] = Field(
        (1, 2, 4, 8, 16, 32, 64, 100), min_length=1, description="checkpoints, in percent of the steps"
    )
    step: float = Field(0.1, gt=0, le=0.5, description="share of all heads from one point to the next")
    examples: int = Field(1024, ge=1, description="train examples the importance is a mean over, at most")

    @field_validator("percents")
    @classmethod
    def _in_range(cls, percents: tuple[float, ...]) -> tuple[float, ...]:
        if list(percents) != sorted(set(percents)) or percents[0] <= 0 or percents[-1] > 100:
            raise ValueError("percents must rise and lie above 0 and up to 100, e.g. [1, 10, 100]")
        return percents

    def cost(self) -> float:
        """One fine-tuning, then passes over validation for every point of every curve."""
        return 1.0 + len(self.percents) * (0.05 + 1 / self.step / 50)

    def variants(self, run: Run) -> Iterable[Variant]:
        """Every point of the curve of every checkpoint."""
        from methods import checkpoint
        from methods.fit import steps_of
        from methods.pruning.sixteen_heads import SixteenHeads
        from methods.studies.curve import curve

        total = steps_of(len(run.train), run.training)
        percents: dict[int, float] = {}
        for percent in self.percents:
            # With few steps several percentages fall on one step; its checkpoint is named after the first.
            percents.setdefault(max(1, round(total * percent / 100)), percent)

        def save(step: int, model: PreTrainedModel) -> None:
            if step in percents:
                checkpoint.save(model, run.folder / "checkpoints" / str(step))

        run.fit(run.pretrained(), after=save)
        for step, percent in percents.items():
            folder = run.folder / "checkpoints" / str(step)
            model = checkpoint.load(folder).to(run.device)
            order = SixteenHeads(examples=self.examples).order(run, model)
            yield from curve(str(step), order, self.step, {"percent": percent, "step": step}, folder)
        del run.notes["importance"]
