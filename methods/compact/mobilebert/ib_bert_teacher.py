"""IB-BERT pre-trained on the sweep's corpus: the teacher of MobileBERT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from methods.pretraining.encoder import POSITIONS
from methods.pretraining.settings import Objective, Pretraining

if TYPE_CHECKING:
    from methods.compact.mobilebert.configuration import BottleneckBertConfig
    from methods.run import SweepRun


class IbBertTeacher(
    Pretraining,
    name="ib-bert-teacher",
    family="prerequisite",
    paper="Sun et al., ACL 2020, arXiv 2004.02984",
    version=1,
):
    """An inverted-bottleneck BERT of any size, trained on masked words and next sentences.

    Leaves the encoder and its tokenizer in `model`, the heads in `heads.safetensors`, the accuracies on
    documents kept from training in `summary.json`, and these and the curve in the notes. The paper's has 24
    layers, `hidden` 512, `inner` 1024 and `embedding` 128.
    """

    preset: Literal["smoke"] | None = Field(None, description="smoke: a tenth of the default tokens")
    objective: Objective = Field("mlm+nsp", description="what is learnt beside masked words")
    layers: int = Field(4, ge=1, description="blocks, the student's too")
    heads: int = Field(4, ge=1, description="attention heads of a block, the student's too")
    hidden: int = Field(128, ge=8, description="width between blocks, the student's too")
    inner: int = Field(256, ge=8, description="width inside a block")
    ffn: int | None = Field(None, ge=1, description="width of the feed-forward part; by default 4 inner")
    embedding: int = Field(64, ge=8, description="width of the word table, the student's too")
    dropout: float = Field(0.1, ge=0, lt=1, description="in blocks, attention and embeddings")

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if self.inner % self.heads:
            raise ValueError(f"inner {self.inner} is not divisible by {self.heads} heads")
        if self.embedding > self.hidden:
            raise ValueError(f"embedding {self.embedding} is more than hidden {self.hidden}")
        if self.length > POSITIONS:
            raise ValueError(f"length: at most {POSITIONS}, the rows of the position table")
        return self

    def produce(self, run: SweepRun, folder: Path) -> None:
        """Pre-train the teacher.

        Raises:
            BadInput: there is no corpus, or it cannot be used.
            Diverged: the loss or the gradient's norm is not finite.
        """
        import torch

        from methods.compact.mobilebert.model import BottleneckBertForPreTraining
        from methods.compact.mobilebert.stored import save
        from methods.pretraining.corpus import save_tokenizer, stream, texts
        from methods.pretraining.heads import pretraining_loss
        from methods.pretraining.loop import pretrain
        from methods.pretraining.report import held_out, summary

        text = texts(run, self)
        torch.manual_seed(self.seed)
        model = BottleneckBertForPreTraining(self.configuration(len(text.tokenizer.backend))).to(run.device)
        progress = pretrain(run, model, pretraining_loss, stream(text, self), self, flops=model.flops())
        found = held_out(model, pretraining_loss, stream(text, self, held_out=True), bf16=run.bf16)
        run.notes["pretraining"] = facts = summary(progress, text, found)
        save(model, facts, folder)
        save_tokenizer(text, self, folder / "model")

    def configuration(self, vocabulary: int) -> BottleneckBertConfig:
        """The teacher's configuration for a vocabulary of this size."""
        from methods.compact.mobilebert.configuration import ib_bert

        return ib_bert(
            vocab_size=vocabulary,
            embedding_size=self.embedding,
            hidden_size=self.hidden,
            intra_bottleneck_size=self.inner,
            intermediate_size=self.ffn or 4 * self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            max_position_embeddings=POSITIONS,
        )
