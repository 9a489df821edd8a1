"""Pea-KD: a student that shares its layers in pairs, pretrained on what the teacher finds hard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from methods.distillation.patient_kd import PatientKD
from methods.method import Work
from methods.settings import Rate
from methods.sharing.paired import paired_order
from tasks.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.run import Run
    from tasks.task import Task

THRESHOLDS = {
    "rte": (0.80, 0.60),
    "mrpc": (0.95, 0.75),
    "sst2": (0.98, 0.80),
    "qnli": (0.98, 0.70),
    "cola": (0.95, 0.70),
}
"""By task: confidence above which the official code calls the teacher sure when it is right, when wrong.

The paper has the first for both. CoLA is the code's alone, in `preset: paper` too.
"""


class PeaKD(
    PatientKD,
    name="pea-kd",
    family="distillation",
    paper="Cho & Kang, PLOS ONE 17(2) e0263592, 2022, arXiv 2009.14822",
    version=2,
    needs=("teacher-outputs", "teacher-states"),
):
    """Shuffled parameter sharing (SPS), pretraining with teacher's predictions (PTP), then distillation.

    SPS runs the layers twice and exchanges query and key the second time: parameters of k layers, work of
    2k. PTP trains the student to tell whether the teacher was right and how sure, on train′ only. Both off
    is `kd` or `patient-kd`. The paper's rate of 2e-5 for both stages belongs to BERT-base: rates left out
    are those of the sweep. Its code plans more epochs than it runs, decays the rate twice, keeps the best
    step on dev and never shuffles; here each stage is one schedule over shuffled data, and its last step
    counts. Distillation has the order and dropout masks of `patient-kd` at the same seed, with PTP before it
    or without.
    """

    alpha: float = Field(0.7, ge=0, le=1, description="weight of the teacher; the labels have the rest")
    sps: bool = Field(True, description="run the layers twice (of more than three their upper half)")
    shuffle: Literal["none", "upper", "both", "lower"] = Field(
        "upper", description="passes in which query and key are exchanged; upper is the paper's"
    )
    ptp: bool = Field(True, description="pretrain on four labels made from the teacher's predictions")
    ptp_labels: Literal["teacher", "random"] = Field(
        "teacher", description="random: the control, as many steps on labels that mean nothing"
    )
    preset: Literal["paper", "code"] = Field(
        "paper", description="thresholds of the task: one (paper), or another where the teacher is wrong"
    )
    t: float | None = Field(
        None, gt=0, lt=1, description="confidence above which the teacher is sure; by default the preset's"
    )
    t_wrong: float | None = Field(
        None, gt=0, lt=1, description="the same where the teacher is wrong; by default the preset's, or t"
    )
    ptp_epochs: float = Field(4, gt=0, description="passes of PTP")
    ptp_learning_rate: Rate | None = Field(
        None, description="peak rate of PTP; by default that of distillation"
    )
    objective: Literal["kd", "patient-kd"] = Field(
        "patient-kd", description="the distillation that follows PTP"
    )

    @model_validator(mode="after")
    def _plain_kd_has_no_patience(self) -> Self:
        if self.objective == "kd" and self.beta not in (0, type(self).model_fields["beta"].default):
            raise ValueError("beta weighs the patience of `objective: patient-kd`; leave it out for kd")
        return self

    def prerequisites(self) -> tuple[str | Work, ...]:
        """The teacher's logits for PTP and soft targets, its [CLS] states for patience."""
        needed = super().prerequisites()
        asked = self.labelled and "teacher-outputs" not in needed
        return ("teacher-outputs", *needed) if asked else needed

    @property
    def patient(self) -> bool:
        """Whether the student follows the teacher's states at all."""
        return super().patient and self.objective == "patient-kd"

    @property
    def labelled(self) -> bool:
        """Whether the teacher makes the labels of PTP."""
        return self.ptp and self.ptp_labels == "teacher"

    def check(self, task: Task, layers: int | None) -> None:
        """Refuse what `patient-kd` refuses, and a task without thresholds where PTP wants them."""
        super().check(task, layers)
        if self.labelled:
            self.thresholds(task.name)

    def applied(self, own: int) -> int:
        """Layers that a student of `own` layers applies: more where it shares them in pairs."""
        return len(paired_order(own)) if self.sps else own

    def cost(self) -> float:
        """Half the layers run twice, and four more epochs of PTP."""
        once = 1.0 if self.sps else 0.5
        return once * (1 + self.ptp_epochs / 3 if self.ptp else 1)

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the distilled student."""
        from methods import encoders
        from methods.distillation import ptp
        from methods.distillation.student import student_of
        from methods.sharing.paired import share_in_pairs

        student = student_of(run, self)
        if self.sps:
            share_in_pairs(student, self.shuffle)
        run.notes["effective_layers"] = encoders.applications(student)
        if self.ptp:
            if self.ptp_labels == "random":
                labels = ptp.random_labels(len(run.train), run.seeds.init)
            else:
                t, t_wrong = self.thresholds(run.task.name)
                run.notes["ptp_thresholds"] = {"right": t, "wrong": t_wrong}
                labels = ptp.teacher_labels(run.teacher_logits(), run.train.labels, t, t_wrong)
                ptp.note_counts(run, labels)
            training = self.on(run.training)
            training = training.override(epochs=self.ptp_epochs, learning_rate=self.ptp_learning_rate)
            ptp.pretrain(run, student, labels, training)
        run.fit(student, self.loss(run, student), training=self.on(run.training), draw=0)
        return student

    def thresholds(self, task: str) -> tuple[float, float]:
        """Confidence above which the teacher is sure where it is right and where it is wrong.

        Raises:
            BadInput: neither fields nor the paper have one for this task.
        """
        t, t_wrong = THRESHOLDS.get(task, (None, None))
        t = t if self.t is None else self.t
        if t is None:
            raise BadInput(f"t: the paper has no thresholds for {task}; give one, e.g. 0.95")
        if self.t_wrong is not None:
            return t, self.t_wrong
        return t, t_wrong if self.preset == "code" and t_wrong is not None else t
