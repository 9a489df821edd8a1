"""ALBERT-style sharing of a fine-tuned encoder, recovered by distillation. It is not ALBERT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from methods.method import Method

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.run import Run


class SharedLayers(
    Method,
    name="shared-layers",
    family="sharing",
    paper="after Lan et al., ICLR 2020, arXiv 1909.11942",
    version=1,
    needs=("finetune", "teacher-outputs"),
):
    """Cross-layer sharing in groups of neighbouring layers, without ALBERT's pre-training.

    Layer i of L runs the weights of group floor(i G / L): fewer parameters, the same FLOPs. Layers are not
    aligned, so the model is near chance until it is trained again on labels and on the start model's outputs.
    """

    groups: int | None = Field(None, ge=1, description="distinct layers left; by default half of the model's")
    init: Literal["mean", "first"] = Field(
        "mean", description="a group starts as its layers' mean or as its first"
    )
    temperature: float = Field(10, gt=0, description="softens teacher and student outputs")
    alpha: float = Field(0.5, ge=0, le=1, description="weight of the teacher; the labels have the rest")
    epochs: float | None = Field(None, gt=0, description="passes; by default train.epochs")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; by default train.learning_rate")
    batch_size: int | None = Field(None, ge=1, description="examples per step; by default train.batch_size")

    def prerequisites(self) -> tuple[str, ...]:
        """The start model, and the teacher's outputs where they are used."""
        return ("finetune", "teacher-outputs") if self.alpha > 0 else ("finetune",)

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the start model with shared layers, trained again."""
        from methods import encoders
        from methods.distillation.losses import from_teacher
        from methods.sharing.ties import share_layers

        model = run.start()
        half = max(1, len(encoders.stack(model)) // 2)
        share_layers(model, self.groups or half, self.init)
        run.fit(
            model,
            from_teacher(run, temperature=self.temperature, alpha=self.alpha),
            training=run.training.override(
                epochs=self.epochs, learning_rate=self.learning_rate, batch_size=self.batch_size
            ),
        )
        return model
