"""Knowledge distillation into the first layers of the encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from methods.method import Method

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.run import Run


class KnowledgeDistillation(
    Method,
    name="kd",
    family="distillation",
    paper="Hinton et al., 2015, arXiv 1503.02531",
    version=1,
    needs=("teacher-outputs",),
):
    """Train a student of the first k layers on labels and on the fine-tuned model's outputs.

    Patient KD (Sun et al., EMNLP 2019, arXiv 1908.09355) searches temperature in 5, 10, 20 and alpha in 0.2,
    0.5, 0.7 for this loss; the defaults are the middle of both. `alpha: 0` fine-tunes the student alone.
    """

    layers: int | None = Field(
        None, ge=1, description="layers of the student; by default half of the model's"
    )
    init: Literal["pretrained", "finetuned"] = Field("pretrained", description="where its weights come from")
    temperature: float = Field(10, gt=0, description="softens teacher and student outputs")
    alpha: float = Field(0.5, ge=0, le=1, description="weight of the teacher; the labels have the rest")
    epochs: float | None = Field(None, gt=0, description="passes; by default train.epochs")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; by default train.learning_rate")
    batch_size: int | None = Field(None, ge=1, description="examples per step; by default train.batch_size")

    def prerequisites(self) -> tuple[str, ...]:
        """Only what these fields use: the start model's weights, the teacher's outputs."""
        used = {"finetune": self.init == "finetuned", "teacher-outputs": self.alpha > 0}
        return tuple(name for name, is_used in used.items() if is_used)

    def cost(self) -> float:
        """Half the layers, as long."""
        return 0.5

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the distilled student."""
        from methods.distillation.losses import from_teacher
        from methods.distillation.student import first_layers

        model = run.pretrained() if self.init == "pretrained" else run.start()
        student = first_layers(model, self.layers)
        run.fit(
            student,
            from_teacher(run, temperature=self.temperature, alpha=self.alpha),
            training=run.training.override(
                epochs=self.epochs, learning_rate=self.learning_rate, batch_size=self.batch_size
            ),
        )
        return student
