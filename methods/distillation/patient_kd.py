"""Patient knowledge distillation into a student of fewer layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from methods.distillation.kd import KnowledgeDistillation
from methods.distillation.teacher_states import TeacherStates
from methods.method import Work

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.fit import Loss
    from methods.run import Run


class PatientKD(
    KnowledgeDistillation,
    name="patient-kd",
    family="distillation",
    paper="Sun et al., EMNLP 2019, arXiv 1908.09355",
    version=1,
    needs=("teacher-outputs", "teacher-states"),
):
    """Knowledge distillation whose student also follows the teacher's [CLS] states between the layers.

    The paper searches beta in 10, 100, 500, 1000 for the mean over layers and dimensions.
    """

    beta: float = Field(100, ge=0, description="weight of patience; 0 is kd")
    strategy: Literal["skip", "last"] = Field(
        "skip", description="teacher layers: evenly spread, or the last ones"
    )
    normalise: bool = Field(True, description="scale states to length 1 before they are compared")

    def prerequisites(self) -> tuple[str | Work, ...]:
        """What `kd` needs, and the teacher's [CLS] states."""
        return super().prerequisites() + ((TeacherStates(cls=True),) if self.beta > 0 else ())

    def loss(self, run: Run, student: PreTrainedModel) -> Loss:
        """Return the loss of `kd` plus patience."""
        from methods.distillation.patience import patient

        return patient(
            run,
            student,
            temperature=self.temperature,
            alpha=self.alpha,
            beta=self.beta,
            strategy=self.strategy,
            normalise=self.normalise,
        )
