"""Fields that all students have, and those of soft targets. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from methods.distillation.maps import positions
from methods.distillation.pairing import require_same_vocabulary
from methods.settings import Settings

if TYPE_CHECKING:
    from methods.pretrained import Source
    from tasks.task import Task

Reduction = Literal["batchmean", "mean"]
"""Of soft targets, as `F.kl_div` calls them: a mean over examples, or over examples and classes."""
PatienceReduction = Literal["mean", "sum"]
"""Of patience, as `F.mse_loss` calls them: over examples, layers and dimensions."""
Take = Literal["first", "skip"] | tuple[Annotated[int, Field(ge=1)], ...]


class StudentFields(Settings):
    """Where a student comes from: layers of the sweep's encoder, or a released checkpoint."""

    layers: int | None = Field(
        None, ge=1, description="layers of the student; by default half of the model's"
    )
    init: Literal["pretrained", "finetuned"] = Field(
        "pretrained", description="weights of the encoder before fine-tuning, or of the teacher (finetuned)"
    )
    take: Take = Field(
        "first", description="first k layers, `skip` (evenly spread), or a list counted from 1"
    )
    student: str | None = Field(
        None, min_length=1, description="a released student instead: a Hub id or a folder; taken whole"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        # By value, since a worker gets every field written out.
        own = {
            name
            for name in ("layers", "init", "take")
            if getattr(self, name) != type(self).model_fields[name].default
        }
        if self.student is not None and own:
            raise ValueError(f"student: {self.student!r} is taken whole; leave out {', '.join(sorted(own))}")
        if isinstance(self.take, tuple) and self.layers not in (None, len(self.take)):
            raise ValueError(f"take names {len(self.take)} layers, and layers says {self.layers}; give one")
        return self

    def models(self) -> tuple[str, ...]:
        """The released student, where one is named."""
        return () if self.student is None else (self.student,)

    def check(self, task: Task, layers: int | None) -> None:
        """Refuse layers that the sweep's encoder does not have."""
        self.depth(layers)

    def check_models(self, model: Source, models: Mapping[str, Source]) -> None:
        """Refuse a released student of another vocabulary, or one that its teacher cannot teach."""
        if self.student is None:
            return
        student = models[self.student]
        if model.here and student.here:
            require_same_vocabulary(model, student, offline=True)
            self.check_student(student, model)

    def check_student(self, student: Source, teacher: Source) -> None:
        """Refuse a released student whose sizes do not fit; both configurations are on this machine.

        Raises:
            BadInput: with what to do.
        """

    def depth(self, layers: int | None) -> int | None:
        """Layers of the student.

        Args:
            layers: of the sweep's encoder.

        Returns:
            Their number; None where they are not known before the checkpoint is loaded.

        Raises:
            BadInput: the encoder does not have them.
        """
        if layers is None or self.student is not None:
            return None
        return len(positions(layers, self.layers, self.take))

    @property
    def finetuned(self) -> bool:
        """Whether it starts from the teacher's own weights."""
        return self.student is None and self.init == "finetuned"


class CachedStates(Settings):
    """How the teacher's states are cached for students that follow them."""

    later: ClassVar[frozenset[str]] = frozenset({"cache"})
    cache: Literal["bf16", "fp32"] = Field(
        "bf16", description="precision in which the teacher's states are kept on disk"
    )


class SoftTargets(Settings):
    """The teacher's outputs beside the labels (Hinton et al., arXiv 1503.02531)."""

    later: ClassVar[frozenset[str]] = frozenset({"reduction"})
    temperature: float = Field(10, gt=0, description="softens teacher and student outputs")
    alpha: float = Field(0.5, ge=0, le=1, description="weight of the teacher; the labels have the rest")
    reduction: Reduction = Field(
        "batchmean",
        description="the teacher's term is a mean over examples or, `mean`, over examples and classes as in "
        "PKD's code, which with two classes is half of it",
    )
