"""TinyBERT's task distillation: first what is inside the Transformer, then its predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from methods.distillation.fields import CachedStates, StudentFields
from methods.distillation.maps import require_one_each, uniform
from methods.distillation.pairing import require_heads, require_same_vocabulary
from methods.distillation.teacher_states import TeacherStates
from methods.method import Method, Work
from methods.settings import Rate, TrainingOverrides

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor
    from transformers import PreTrainedModel

    from methods.distillation.parts import Kind, Part
    from methods.distillation.transformer_distillation import Teach
    from methods.pretrained import Source
    from methods.run import Run
    from tasks.batches import Batch
    from tasks.task import Task


class TinyBERT(
    TrainingOverrides,
    CachedStates,
    StudentFields,
    Method,
    name="tinybert",
    family="distillation",
    paper="Jiao et al., Findings of EMNLP 2020, arXiv 1909.10351",
    version=2,
    needs=("teacher-outputs", "teacher-states"),
):
    """Attention scores, hidden states and embeddings at a constant rate, then soft targets without labels.

    The paper starts from a student distilled in general before: name one with `student`. Without it the
    student is cut from the sweep's encoder. Its code runs 10 to 50 epochs of the first stage, 3 of the
    second at 3e-5, on 20 to 30 augmented copies of each example. It classifies relu of the pooled output;
    here the classifier is the architecture's own. Augmented texts are not in the teacher's cache, so with
    them the teacher runs beside its student; a `live` teacher shows its states in the precision of training,
    its logits are read from the cache.
    """

    layer_map: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        None, description="the teacher's layer for each of the student's, from 1; by default m N / M"
    )
    temperature: float = Field(1, gt=0, description="softens outputs in the second stage")
    inner_epochs: float = Field(10, gt=0, description="passes of the first stage")
    inner_learning_rate: Rate | None = Field(
        None, description="constant rate of the first stage; by default that of the second"
    )
    live: bool = Field(
        False, description="run the teacher beside the student, which saves gigabytes of cached scores"
    )
    augment: int = Field(0, ge=0, le=100, description="copies of each example with words replaced")
    augment_model: str | None = Field(
        None,
        min_length=1,
        description="masked language model that proposes words: a Hub id or a folder; by default "
        "neighbours among the word embeddings",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.student is not None and self.layer_map is None:
            raise ValueError("layer_map: name one of the teacher's layers for each of the student's")
        if self.augment_model is not None and not self.augment:
            raise ValueError("augment_model proposes words for `augment` copies; give their number too")
        return self

    def models(self) -> tuple[str, ...]:
        """The released student and the language model, where they are named."""
        return super().models() + ((self.augment_model,) if self.augment_model else ())

    def prerequisites(self) -> tuple[str | Work, ...]:
        """The teacher's cached outputs and states, or the teacher itself for texts that are not cached."""
        if self.augment:
            return ("finetune",)
        if self.live:
            return ("finetune", "teacher-outputs")
        return (*(["finetune"] if self.finetuned else []), "teacher-outputs", self._states())

    def check(self, task: Task, layers: int | None) -> None:
        """Refuse layers the encoder does not have, and a layer map that does not fit both."""
        super().check(task, layers)
        if layers is None:
            return
        named, own = uniform(self._states().layer_map, layers), self.depth(layers)
        if own is not None:
            require_one_each(own, len(named))

    def check_models(self, model: Source, models: Mapping[str, Source]) -> None:
        """Refuse a student that does not fit, and a language model of another vocabulary."""
        super().check_models(model, models)
        if self.augment_model is not None and model.here and models[self.augment_model].here:
            require_same_vocabulary(model, models[self.augment_model], offline=True)
        if self.augment and model.here:
            from methods.distillation.word_kinds import word_kinds

            word_kinds(model, offline=True)

    def check_student(self, student: Source, teacher: Source) -> None:
        """Refuse a student with other heads, or with layers that the map does not name one each for."""
        require_heads(student.heads(), teacher.heads())
        own, layers = student.layers(), teacher.layers()
        if own is not None and layers is not None:
            require_one_each(own, len(uniform(self._states().layer_map, layers)))

    @property
    def _beside(self) -> bool:
        return self.live or self.augment > 0

    def _states(self) -> TeacherStates:
        depth = len(self.take) if isinstance(self.take, tuple) else self.layers
        return TeacherStates(
            hidden="mapped", attentions=True, layer_map=self.layer_map or depth, dtype=self.cache
        )

    def cost(self) -> float:
        """Half the layers, more epochs, more examples; with the teacher where it runs beside."""
        epochs = (self.inner_epochs + 3) / 3
        return epochs * (1 + self.augment) * (0.85 if self._beside else 0.5)

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the distilled student."""
        from methods.distillation.augmentation import augmented
        from methods.distillation.losses import soft_cross_entropy
        from methods.distillation.student import student_of
        from methods.distillation.transformer_distillation import transformer_distillation
        from methods.fit import constant

        student = student_of(run, self)
        examples = augmented(run, self.augment, self.augment_model) if self.augment else run.train
        parts, states, logits = self._teacher(run)
        training = self.on(run.training)
        inner = training.override(epochs=self.inner_epochs, learning_rate=self.inner_learning_rate)
        with transformer_distillation(run, student, states, parts) as loss:
            run.fit(student, loss, training=inner, examples=examples, schedule=constant, draw=1)
        run.fit(
            student,
            lambda model, batch: soft_cross_entropy(
                model(**batch.inputs).logits.float(), logits(batch), self.temperature
            ),
            training=training,
            examples=examples,
            draw=0,
        )
        return student

    def _teacher(self, run: Run) -> tuple[Mapping[Kind, Part], Teach, Callable[[Batch], Tensor]]:
        """Return what the teacher shows of its states, its states by batch, and its logits by batch."""
        import torch

        from methods.distillation.live_teacher import LiveTeacher

        def cached_logits() -> Callable[[Batch], Tensor]:
            outputs = torch.tensor(run.teacher_logits(), device=run.device)
            return lambda batch: outputs[batch.positions]

        if self._beside:
            teacher = LiveTeacher(run, self._states())
            return teacher.parts, teacher.states, teacher.logits if self.augment else cached_logits()
        cached = run.teacher_states()
        return (
            cached.parts,
            lambda batch: {kind: cached.read(kind, batch.positions) for kind in cached.parts},
            cached_logits(),
        )
