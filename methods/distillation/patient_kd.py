"""Patient knowledge distillation into a student of fewer layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from methods.distillation.fields import CachedStates, PatienceReduction
from methods.distillation.kd import KnowledgeDistillation
from methods.distillation.maps import patience_slots
from methods.distillation.pairing import require_width
from methods.distillation.teacher_states import TeacherStates
from methods.method import Work

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.fit import Loss
    from methods.pretrained import Source
    from methods.run import Run
    from tasks.task import Task


class PatientKD(
    CachedStates,
    KnowledgeDistillation,
    name="patient-kd",
    family="distillation",
    paper="Sun et al., EMNLP 2019, arXiv 1908.09355",
    version=1,
    needs=("teacher-outputs", "teacher-states"),
):
    """Knowledge distillation whose student also follows the teacher's [CLS] states between the layers.

    The paper searches beta in 10, 100, 500, 1000 for the mean over layers and dimensions that its code takes;
    its equation has the sum (`patience_reduction`). With `reduction: mean` soft targets, too, are its code's.
    """

    later: ClassVar[frozenset[str]] = frozenset({"patience_reduction"})
    beta: float = Field(100, ge=0, description="weight of patience; 0 is kd")
    strategy: Literal["skip", "last"] = Field(
        "skip", description="teacher layers: evenly spread, or the last ones"
    )
    normalise: bool = Field(True, description="scale states to length 1 before they are compared")
    patience_reduction: PatienceReduction = Field(
        "mean",
        description="patience is a mean over examples, layers and dimensions, as in the code, or the `sum` "
        "of the paper's equation, which wants a beta as many times smaller",
    )

    def prerequisites(self) -> tuple[str | Work, ...]:
        """What `kd` needs, and the teacher's [CLS] states."""
        return super().prerequisites() + (
            (TeacherStates(cls=True, dtype=self.cache),) if self.patient else ()
        )

    @property
    def patient(self) -> bool:
        """Whether the student follows the teacher's states at all."""
        return self.beta > 0

    def check(self, task: Task, layers: int | None) -> None:
        """Refuse layers the encoder does not have, and students that cannot be paired with it."""
        super().check(task, layers)
        own = self.depth(layers)
        if self.patient and own is not None and layers is not None:
            patience_slots(self.applied(own), layers, self.strategy)

    def check_student(self, student: Source, teacher: Source) -> None:
        """Refuse a student of another width, or of layers that cannot be paired with the teacher's."""
        own, layers = student.layers(), teacher.layers()
        if self.patient and own is not None and layers is not None:
            require_width(student.hidden(), teacher.hidden(), loss="patience", weight="beta")
            patience_slots(self.applied(own), layers, self.strategy)

    def applied(self, own: int) -> int:
        """Layers that a student of `own` layers applies."""
        return own

    def loss(self, run: Run, student: PreTrainedModel) -> Loss:
        """Return the loss of `kd`, plus patience where there is some."""
        from methods.distillation.patience import patient_kd_loss

        return patient_kd_loss(
            run,
            student,
            temperature=self.temperature,
            alpha=self.alpha,
            beta=self.beta if self.patient else 0,
            strategy=self.strategy,
            normalise=self.normalise,
            reduction=self.reduction,
            patience_reduction=self.patience_reduction,
        )
