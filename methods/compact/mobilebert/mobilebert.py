"""MobileBERT fine-tuned on the task: the released one, or one pre-trained in the sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from methods.compact.mobilebert.mobilebert_transfer import MobileBertTransfer
from methods.method import Method, Work
from methods.settings import Rate
from tasks.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.run import Run


class MobileBert(
    Method,
    name="mobilebert",
    family="distillation",
    paper="Sun et al., ACL 2020, arXiv 2004.02984",
    version=1,
):
    """A task-agnostic small model, fine-tuned longer and at a higher rate than BERT.

    Without normalisation activations are large, so it trains in fp32 whatever the sweep's precision, and
    needs warm-up and clipping to leave chance level at all.
    """

    start: Literal["released", "pair", "teacher"] = Field(
        "released", description="the released checkpoint, the student of `pair`, or the teacher of `pair`"
    )
    checkpoint: str = Field("google/mobilebert-uncased", description="released: a Hub id or a folder")
    pair: MobileBertTransfer = Field(MobileBertTransfer(), description="how student and teacher are made")
    epochs: float = Field(5, gt=0, description="passes over the train split")
    learning_rate: Rate = Field(5e-5, description="peak rate of AdamW, a number or by task")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps with rising rate")
    batch_size: int | None = Field(None, ge=1, description="examples per step; by default train.batch_size")

    def prerequisites(self) -> tuple[Work, ...]:
        """Whoever is fine-tuned, if it is made in the sweep."""
        made: dict[str, tuple[Work, ...]] = {"pair": (self.pair,), "teacher": (self.pair.teacher,)}
        return made.get(self.start, ())

    def models(self) -> tuple[str, ...]:
        """The released checkpoint."""
        return () if self.prerequisites() else (self.checkpoint,)

    def encoder(self) -> str:
        """The released checkpoint, or the prerequisite."""
        return self.prerequisites()[0].name if self.prerequisites() else self.checkpoint

    def cost(self) -> float:
        """Epochs against the usual three."""
        return self.epochs / 3

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the fine-tuned model.

        Raises:
            BadInput: the encoder is of another kind.
        """
        from methods.compact.mobilebert.configuration import BottleneckBertConfig
        from methods.pretraining.report import read_summary

        model = run.pretrained()
        if not isinstance(model.config, BottleneckBertConfig):
            raise BadInput(
                f"mobilebert: {run.model.id!r} is a {model.config.model_type!r} model, not a MobileBERT; "
                "name a checkpoint such as google/mobilebert-uncased"
            )
        for work in self.prerequisites():
            run.notes["pretraining"] = read_summary(run.results[work.name])
        run.fit(
            model,
            training=run.training.override(
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                warmup=self.warmup,
                batch_size=self.batch_size,
                precision="fp32",
            ),
        )
        return model
