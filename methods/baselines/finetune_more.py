"""A control: the start model trained on, for as long as compression methods train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from methods.method import Method

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.run import Run


class FinetuneMore(
    Method,
    name="finetune-more",
    family="baseline",
    paper="",
    version=1,
    needs=("finetune",),
):
    """Train the start model for more epochs or steps, so that a method's extra training is not its merit."""

    epochs: float | None = Field(None, gt=0, description="more passes; by default as many as train.epochs")
    steps: int | None = Field(None, ge=1, description="more optimiser steps, instead of epochs")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        return self

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the start model, trained on with a fresh optimiser and schedule; nothing is removed."""
        model = run.start()
        run.fit(model, steps=self.steps, training=run.training.override(epochs=self.epochs))
        return model
