"""What pruning methods have in common around the pruning itself: recovery training and what is noted."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from methods.method import Method
from methods.pruning.partly_shared_layers import RefusesPartlySharedLayers
from methods.settings import Rate, require_one_length

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.run import Run


class Recovery(RefusesPartlySharedLayers, Method):
    """Shrink the start model and train it on where asked.

    Notes left in the record: `kept_heads` and `removed_heads`, head numbers by layer; `train_choice_gap`, the
    primary metric on train and `choice` before and after, see `methods.gap`.
    """

    epochs: float = Field(0, ge=0, description="passes over the train split after pruning")
    steps: int | None = Field(None, ge=1, description="optimiser steps after pruning, instead of epochs")
    learning_rate: Rate | None = Field(
        None, description="peak rate of that training, a number or by task; by default train.learning_rate"
    )

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        require_one_length(self.epochs, self.steps)
        return self

    @abstractmethod
    def shrink(self, run: Run, model: PreTrainedModel) -> None:
        """Prune `model` in place and `recover` it."""

    def cost(self) -> float:
        """Recovery training against the usual three epochs of fine-tuning, an epoch taken for 100 steps."""
        return 0.1 + (self.epochs + (self.steps or 0) / 100) / 3

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the start model, smaller.

        Raises:
            BadInput: the budget is less than one unit or more than the model has, or the encoder is of an
                unknown kind.
        """
        from methods import encoders
        from methods.gap import train_choice_gap

        model = run.start()
        had = encoders.kept_heads(model)
        before = train_choice_gap(run, model)
        self.shrink(run, model)
        run.notes["kept_heads"] = encoders.kept_heads(model)
        run.notes["removed_heads"] = encoders.removed_heads(model, had)
        run.notes["train_choice_gap"] = {"before": before, "after": train_choice_gap(run, model)}
        return model

    def recover(self, run: Run, model: PreTrainedModel) -> None:
        """Train `model` in place for `epochs` or `steps`; with neither do nothing."""
        if self.epochs or self.steps is not None:
            training = run.training.override(epochs=self.epochs or None, learning_rate=self.learning_rate)
            run.fit(model, steps=self.steps, training=training)
