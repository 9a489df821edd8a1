"""MobileBERT taught by the sweep's IB-BERT on the sweep's corpus."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from methods.compact.mobilebert.ib_bert_teacher import IbBertTeacher
from methods.compact.mobilebert.phases import phases
from methods.compact.mobilebert.recipe import Recipe
from methods.method import Work
from methods.pretraining.encoder import POSITIONS
from methods.pretraining.settings import Objective, Pretraining
from tasks.errors import BadInput

if TYPE_CHECKING:
    from methods.compact.mobilebert.configuration import BottleneckBertConfig
    from methods.run import SweepRun

_SHARED = ("vocabulary", "tokenizer")
"""Fields that decide the tokens, which must mean the same to both."""


class MobileBertTransfer(
    Recipe,
    Pretraining,
    name="mobilebert-transfer",
    family="prerequisite",
    paper="Sun et al., ACL 2020, arXiv 2004.02984",
    version=1,
):
    """A MobileBERT as deep as its teacher, with its heads and widths between blocks; only blocks are thinner.

    Leaves the encoder and its tokenizer in `model`, the heads in `heads.safetensors`, and in `summary.json`
    the accuracies of both on documents kept from training, the student's shape, the steps of each phase and
    the tokens seen; the notes have every phase with its losses. The paper's has `inner` 128. `warmup` is the
    schedule's own: 2 % in the last phase, a tenth of each before.
    """

    preset: Literal["smoke"] | None = Field(None, description="smoke: a tenth of the default tokens")
    teacher: IbBertTeacher = Field(IbBertTeacher(), description="who teaches")
    objective: Objective = Field("mlm+nsp", description="what is learnt beside masked words")
    warmup: float = Field(0.025, ge=0, lt=1, description="the schedule's own; not to be set")
    inner: int = Field(32, ge=4, description="width inside a block")
    ffn: int | None = Field(None, ge=1, description="width of a feed-forward network; by default 4 inner")
    ffns: int = Field(4, ge=1, le=8, description="feed-forward networks of a block")
    norm: Literal["no_norm", "layer_norm"] = Field("no_norm", description="normalisation; no_norm: affine")
    activation: Literal["relu", "gelu"] = Field("relu", description="of the feed-forward networks")
    bottleneck: bool = Field(True, description="false: blocks are as wide as what lies between them")

    @model_validator(mode="after")
    def _fits_its_teacher(self) -> Self:
        for field in _SHARED:
            mine, theirs = getattr(self, field), getattr(self.teacher, field)
            if mine != theirs:
                raise ValueError(f"{field} {mine} is not the teacher's, {theirs}; say the same in both")
        if self.length > self.teacher.length:
            raise ValueError(
                f"length {self.length} is more than the teacher's, {self.teacher.length}, which never learnt "
                "the later positions; use the same length for both"
            )
        if "warmup" in self.changed():
            raise ValueError("warmup: the phases have a schedule of their own; leave it out")
        width = self.inner if self.bottleneck else self.teacher.hidden
        if width % self.teacher.heads:
            raise ValueError(f"a block of width {width} is not divisible by the {self.teacher.heads} heads")
        try:
            phases(
                self.strategy, layers=self.teacher.layers, steps=self.total_steps, share=self.transfer_share
            )
        except BadInput as error:
            raise ValueError(str(error)) from None
        return self

    def prerequisites(self) -> tuple[str | Work, ...]:
        """The teacher."""
        return (self.teacher,)

    def produce(self, run: SweepRun, folder: Path) -> None:
        """Teach the student.

        Raises:
            BadInput: there is no corpus, it cannot be used, or the teacher is another than these fields say.
            Diverged: the loss or the gradient's norm is not finite.
        """
        import torch

        from methods.compact.mobilebert.model import BottleneckBertForPreTraining
        from methods.compact.mobilebert.stored import load, save
        from methods.compact.mobilebert.transfer import TeacherStudent, transfer
        from methods.pretrained import Source
        from methods.pretraining.corpus import save_tokenizer, stream, texts
        from methods.pretraining.heads import pretraining_loss
        from methods.pretraining.report import held_out, unigram_entropy

        taught_by = run.results[self.teacher.name]
        # The teacher's own tokenizer: a vocabulary trained anew, by another version of the libraries, may be
        # another one, and the student would hear of other words than it reads.
        text = texts(replace(run, model=Source(self.teacher.name, None, str(taught_by / "model"))), None)
        torch.manual_seed(self.seed)
        student = BottleneckBertForPreTraining(self.configuration(len(text.tokenizer.backend)))
        teacher = load(taught_by)
        pair = TeacherStudent(student.to(run.device), teacher.to(run.device))
        taught = transfer(run, pair, stream(text, self), self)
        found = {
            name: held_out(model, pretraining_loss, stream(text, self, held_out=True), bf16=run.bf16)
            for name, model in (("student", student), ("teacher", teacher))
        }
        known = {
            "strategy": self.strategy,
            "unigram_entropy": unigram_entropy(text),
            "held_out": found,
        }
        run.notes["transfer"] = {**known, "phases": taught}
        facts = {
            **known,
            "shape": self.shape,
            "phases": {phase["phase"]: phase["steps"] for phase in taught},
            "steps": run.cost.steps,
            "tokens": run.cost.tokens,
        }
        save(student, facts, folder)
        save_tokenizer(text, self, folder / "model")

    @property
    def shape(self) -> dict[str, Any]:
        """All that the student's size and speed depend on, but for the vocabulary, as JSON."""
        teacher = self.teacher
        return {
            "layers": teacher.layers,
            "hidden": teacher.hidden,
            "embedding": teacher.embedding,
            "heads": teacher.heads,
            "inner": self.inner if self.bottleneck else teacher.hidden,
            "ffn": self.ffn or 4 * self.inner,
            "ffns": self.ffns,
            "norm": self.norm,
            "activation": self.activation,
            "bottleneck": self.bottleneck,
        }

    def configuration(self, vocabulary: int) -> BottleneckBertConfig:
        """The student's configuration for a vocabulary of this size."""
        from methods.compact.mobilebert.configuration import mobilebert

        teacher = self.teacher
        return mobilebert(
            vocab_size=vocabulary,
            embedding_size=teacher.embedding,
            hidden_size=teacher.hidden,
            use_bottleneck=self.bottleneck,
            intra_bottleneck_size=self.inner,
            intermediate_size=self.ffn or 4 * self.inner,
            num_feedforward_networks=self.ffns,
            normalization_type=self.norm,
            hidden_act=self.activation,
            num_hidden_layers=teacher.layers,
            num_attention_heads=teacher.heads,
            max_position_embeddings=POSITIONS,
        )
