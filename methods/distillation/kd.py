"""Knowledge distillation into a student of fewer layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.distillation.fields import SoftTargets, StudentFields
from methods.method import Method, Work
from methods.settings import TrainingOverrides

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.fit import Loss
    from methods.run import Run


class KnowledgeDistillation(
    TrainingOverrides,
    SoftTargets,
    StudentFields,
    Method,
    name="kd",
    family="distillation",
    paper="Hinton et al., 2015, arXiv 1503.02531",
    version=1,
    needs=("teacher-outputs",),
):
    """Train a student on labels and on the fine-tuned model's outputs.

    Patient KD (Sun et al., EMNLP 2019, arXiv 1908.09355) searches temperature in 5, 10, 20 and alpha in 0.2,
    0.5, 0.7 for this loss, which its code reduces by `reduction: mean`; the defaults are the middle of both.
    `alpha: 0` fine-tunes the student alone.
    """

    def prerequisites(self) -> tuple[str | Work, ...]:
        """Only what these fields use: the start model's weights, the teacher's outputs."""
        used = {"finetune": self.finetuned, "teacher-outputs": self.alpha > 0}
        return tuple(name for name, is_used in used.items() if is_used)

    def cost(self) -> float:
        """Half the layers, as long."""
        return 0.5

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the distilled student."""
        from methods.distillation.student import student_of

        student = student_of(run, self)
        run.fit(student, self.loss(run, student), training=self.on(run.training))
        return student

    def loss(self, run: Run, student: PreTrainedModel) -> Loss:
        """Return the loss that `student` is trained with."""
        from methods.distillation.losses import kd_training_loss

        return kd_training_loss(run, temperature=self.temperature, alpha=self.alpha, reduction=self.reduction)
