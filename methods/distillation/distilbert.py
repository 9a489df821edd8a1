"""DistilBERT's losses on one task: a student cut from the teacher follows its outputs and its last states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from methods.distillation.fields import CachedStates, StudentFields, Take
from methods.distillation.pairing import require_width
from methods.distillation.teacher_states import TeacherStates
from methods.method import Method, Work
from methods.settings import TrainingOverrides

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pretrained import Source
    from methods.run import Run


class DistilBERT(
    TrainingOverrides,
    CachedStates,
    StudentFields,
    Method,
    name="distilbert",
    family="distillation",
    paper="Sanh et al., 2019, arXiv 1910.01108",
    version=1,
    needs=("finetune", "teacher-outputs", "teacher-states"),
):
    """Soft targets and hidden cosine, from layers of the fine-tuned model spread evenly: 0, 2, 4, 7, 9, 11.

    The paper distils in pre-training, with masked words where the task has labels: weights 5, 2 and 1.
    Here the labels take that place, and masked words on the task's own text are an option. Its frozen
    position embeddings and its taste for rare words belong to pre-training and are left out.
    """

    init: Literal["pretrained", "finetuned"] = Field(
        "finetuned", description="weights of the encoder before fine-tuning, or of the teacher (finetuned)"
    )
    take: Take = Field("skip", description="evenly spread layers, the `first` k, or a list counted from 1")
    temperature: float = Field(2, gt=0, description="softens teacher and student outputs")
    soft: float = Field(5, ge=0, description="weight of the teacher's outputs")
    labels: float = Field(2, ge=0, description="weight of the labels")
    cosine: float = Field(1, ge=0, description="weight of the direction of the last hidden states")
    mlm: float = Field(0, ge=0, description="weight of masked words of the task's text; doubles the work")

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if not self.soft + self.labels + self.cosine:
            raise ValueError("soft, labels and cosine are all 0; nothing is learnt of the task")
        return self

    def prerequisites(self) -> tuple[str | Work, ...]:
        """Only what these fields use."""
        used: dict[str | Work, bool] = {
            "finetune": self.finetuned,
            "teacher-outputs": self.soft > 0,
            TeacherStates(hidden="last", dtype=self.cache): self.cosine > 0,
        }
        return tuple(work for work, is_used in used.items() if is_used)

    def check_student(self, student: Source, teacher: Source) -> None:
        """Refuse a student of another width where directions are compared."""
        if self.cosine > 0:
            require_width(student.hidden(), teacher.hidden(), loss="distilbert", weight="cosine")

    def cost(self) -> float:
        """Half the layers, as long; twice with masked words."""
        return 1.0 if self.mlm else 0.5

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the distilled student."""
        from methods.distillation.masked_words import masked_words
        from methods.distillation.student import student_of
        from methods.distillation.triple_loss import triple_loss

        student = student_of(run, self)
        loss = triple_loss(run, student, self)
        training = self.on(run.training)
        if not self.mlm:
            run.fit(student, loss, training=training)
            return student
        with masked_words(run, student) as guess:
            run.fit(
                student,
                lambda model, batch: loss(model, batch) + self.mlm * guess(model, batch),
                training=training,
            )
        return student
