"""How a model learns from the sweep's corpus, and the fields every pre-training node has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from methods.method import SweepPrerequisite
from methods.settings import Settings

if TYPE_CHECKING:
    from tasks.corpus.segments import Pairing

Objective = Literal["mlm+sop", "mlm+sop-official", "mlm+nsp", "mlm"]
_PAIRING: dict[str, Pairing] = {
    "mlm+sop": "sop",
    "mlm+sop-official": "sop-official",
    "mlm+nsp": "nsp",
    "mlm": "none",
}


class TextTraining(Settings):
    """Masked words and pairs of segments: what is learnt, from how much text, and how."""

    length: int = Field(64, ge=8, description="most tokens of a sequence")
    objective: Objective = Field("mlm+sop", description="what is learnt beside masked words")
    max_predictions: int = Field(20, ge=1, description="most masked tokens of a sequence")
    tokens: int | None = Field(None, ge=1, description="tokens to train on; by default 20 million")
    steps: int | None = Field(None, ge=1, description="optimiser steps, instead of tokens")
    batch_size: int = Field(128, ge=1, description="sequences per optimiser step")
    accumulation: int = Field(1, ge=1, description="parts in which the batch of a step is computed")
    optimizer: Literal["lamb", "adamw"] = Field("lamb", description="the optimiser")
    learning_rate: float = Field(5e-3, gt=0, description="peak rate; then linear decay")
    warmup: float = Field(0.025, ge=0, lt=1, description="share of the steps with rising rate")
    weight_decay: float = Field(0.01, ge=0, description="decay; biases and norms are exempt")
    seed: int = Field(1, ge=0, description="decides weights, order, segments, masks and dropout")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tokens is not None and self.steps is not None:
            raise ValueError("give tokens or steps, not both")
        if self.batch_size % self.accumulation:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be cut into {self.accumulation} equal parts "
                "(`accumulation`); change one of the two"
            )
        if self.total_steps < 2 and self.warmup:
            raise ValueError(
                "the tokens or steps make one optimiser step, whose rate is 0 where there is warmup; train "
                "longer"
            )
        return self

    @property
    def pairing(self) -> Pairing:
        """What the second segment of an example is."""
        return _PAIRING[self.objective]

    @property
    def total_steps(self) -> int:
        """Optimiser steps: as given, or as many as see `tokens` in full sequences."""
        if self.steps is not None:
            return self.steps
        return max(1, round((self.tokens or 20_000_000) / (self.batch_size * self.length)))


class Pretraining(TextTraining, SweepPrerequisite):
    """Fields of all works that train on the sweep's `corpus`; by default half an hour on two cores."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"smoke": {"tokens": 2_000_000}}
    """Fields by preset. `smoke`: a tenth of the default tokens, to see that it runs."""

    # Activations of fewer tokens stay in a processor's cache, which fp32 gains most from; bf16 is a little
    # faster in two parts than in four, as weights are converted and gradients added up for each.
    accumulation: int = Field(2, ge=1, description="parts in which the batch of a step is computed")
    preset: str | None = Field(None, description="one of `presets`, as each work says")
    vocabulary: int = Field(8000, ge=64, description="entries of the vocabulary trained on the corpus")
    tokenizer: Literal["wordpiece", "unigram"] = Field(
        "wordpiece", description="kind of the vocabulary; unigram is ALBERT's SentencePiece"
    )

    def revision(self) -> int:
        """One more with a unigram vocabulary, which used to come out in another order in every process."""
        return self.version + (self.tokenizer == "unigram")

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("preset") not in cls.presets:
            return data
        preset = cls.presets[data["preset"]]
        if data.keys() & {"tokens", "steps"}:
            preset = {name: value for name, value in preset.items() if name not in ("tokens", "steps")}
        return {**preset, **data}

    def changed(self) -> dict[str, Any]:
        """Fields that differ from the preset's, or without one from the defaults."""
        preset = self.presets.get(self.preset or "", {})
        fields = type(self).model_fields
        return {name: value for name, value in self if value != preset.get(name, fields[name].default)}

    def uses_corpus(self) -> bool:
        """Always."""
        return True

    def cost(self) -> float:
        """Twenty fine-tunings for the default tokens."""
        return self.total_steps * self.batch_size * self.length / 1e6
