"""A control: the start model trained on, for as long as compression methods train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from methods.method import Method, Work
from methods.pruning.layerwise import require_heads_removed
from methods.settings import Rate, require_one_length

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
    """Train the start model for more epochs or steps, so that a method's extra training is not its merit.

    With `like` it follows that method's schedule layer by layer, see `methods.pruning.layerwise`: as many
    trainings, each with an optimiser and schedule of its own, as that method had layers to prune.

    Note left in the record: `train_choice_gap`, see `methods.gap`.
    """

    epochs: float | None = Field(None, gt=0, description="more passes; by default as many as train.epochs")
    steps: int | None = Field(None, ge=1, description="more optimiser steps, instead of epochs")
    learning_rate: Rate | None = Field(
        None, description="peak rate, a number or by task; by default train.learning_rate"
    )
    like: str | None = Field(
        None,
        min_length=1,
        description="repeat the training once for each layer this method (name or label) removed heads from",
    )

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        require_one_length(self.epochs, self.steps)
        return self

    def reads(self) -> tuple[str, ...]:
        """The method whose layers are counted."""
        return () if self.like is None else (self.like,)

    def check_read(self, key: str, other: Work) -> None:
        """Refuse a method that removes no heads."""
        require_heads_removed(key, other)

    def cost(self) -> float:
        """An epoch taken for 100 steps, and six layers."""
        length = (self.epochs or (self.steps or 300) / 100) / 3
        return length if self.like is None else 6 * length

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the start model, trained on with fresh optimisers and schedules; nothing is removed."""
        from methods.gap import train_choice_gap
        from methods.pruning.layerwise import layer_by_layer, removed_by

        model = run.start()
        before = train_choice_gap(run, model)

        def train() -> None:
            training = run.training.override(epochs=self.epochs, learning_rate=self.learning_rate)
            run.fit(model, steps=self.steps, training=training)

        if self.like is None:
            train()
        else:
            counts = removed_by(run, self.like, model)
            layer_by_layer(run, model, prune=lambda _, layer: counts[layer.positions[0]], train=train)
        run.notes["train_choice_gap"] = {"before": before, "after": train_choice_gap(run, model)}
        return model
