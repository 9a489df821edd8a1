"""ALBERT-style sharing of a fine-tuned encoder, recovered by text or distillation. It is not ALBERT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from methods.distillation.fields import SoftTargets
from methods.method import Method
from methods.settings import Training, TrainingOverrides
from methods.sharing.groups import require_layers, require_pooler, shared_already
from tasks.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pretrained import Source
    from methods.run import Run
    from tasks.task import Task


_POOLED = ("bert", "compact-albert")
"""Model types whose classifiers have a pooler."""
_TEXTS = 32
"""Sequences of a step of recovery on text."""


class SharedLayers(
    TrainingOverrides,
    SoftTargets,
    Method,
    name="shared-layers",
    family="sharing",
    paper="after Lan et al., ICLR 2020, arXiv 1909.11942",
    version=2,
    needs=("finetune", "teacher-outputs"),
):
    """Cross-layer sharing in groups of neighbouring layers, without ALBERT's pre-training.

    Layer i of L runs the weights of group floor(i G / L): fewer parameters, the same FLOPs. Layers are not
    aligned, so the model is near chance until it is trained again (how near, its stage `unrecovered` says):
    on text where `corpus_tokens` says so, as ALBERT is, then on labels and on the start model's outputs
    (`alpha: 0`: on labels alone).
    """

    groups: int | None = Field(None, ge=1, description="distinct layers left; by default half of the model's")
    init: Literal["mean", "first", "layer", "matched-mean"] = Field(
        "mean", description="a group starts as its mean, its first, one layer, or the mean of paired heads"
    )
    layer: int | None = Field(None, ge=0, description="the layer all start as, from 0; for init: layer")
    embedding: int | None = Field(
        None, ge=1, description="width the word table is factorised to by SVD; by default it stays"
    )
    corpus_tokens: int = Field(
        0, ge=0, description="tokens of the sweep's corpus to recover on first, by MLM + SOP; 0: none"
    )

    @model_validator(mode="after")
    def _one_layer(self) -> Self:
        if (self.layer is not None) != (self.init == "layer"):
            raise ValueError("layer and init: layer go together")
        if self.init == "layer" and self.groups != 1:
            raise ValueError("init: layer makes all layers one; give groups: 1")
        return self

    def prerequisites(self) -> tuple[str, ...]:
        """The start model, and the teacher's outputs where they are used."""
        return ("finetune", "teacher-outputs") if self.alpha > 0 else ("finetune",)

    def uses_corpus(self) -> bool:
        """Where it recovers on it."""
        return self.corpus_tokens > 0

    def cost(self) -> float:
        """One fine-tuning, and about two for a million tokens of text."""
        return 1.0 + self.corpus_tokens / 500_000

    def check(self, task: Task, layers: int | None) -> None:
        """Refuse more groups than the encoder has layers, and a layer it does not have."""
        if layers is not None:
            require_layers(layers, self._left(layers), self.layer)

    def check_models(self, model: Source, models: Mapping[str, Source]) -> None:
        """Refuse layers that share already, a word table that is no wider, and text without a pooler."""
        config = model.config()
        width = config.get("embedding_size", model.hidden())
        grouped = config.get("num_hidden_groups", 1) < config.get("num_hidden_layers", 1)
        if grouped and (config["model_type"] == "albert" or config.get("share", "none") != "none"):
            raise BadInput(shared_already(model.id))
        if self.embedding is not None and config and self.embedding > width:
            raise BadInput(f"embedding: {self.embedding} is more than the {width} the word table is wide")
        if self.corpus_tokens and config:
            require_pooler(config["model_type"], config["model_type"] in _POOLED)

    def check_training(self, training: Training) -> None:
        """Refuse text for fewer than two steps: the rate of the first is 0."""
        least = 2 * _TEXTS * training.max_length
        if 0 < self.corpus_tokens < least:
            raise BadInput(
                f"corpus_tokens: {self.corpus_tokens} is less than two steps of {_TEXTS} sequences of "
                f"{training.max_length} tokens; give {least} or more, or 0 for none"
            )

    def _left(self, layers: int) -> int:
        return self.groups or max(1, layers // 2)

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the start model with shared layers, trained again."""
        from methods import encoders
        from methods.distillation.losses import kd_training_loss
        from methods.sharing.factorised import factorise_words
        from methods.sharing.ties import share_layers

        model = run.start()
        share_layers(model, self._left(len(encoders.stack(model))), self.init, layer=self.layer)
        if self.embedding is not None:
            factorise_words(model, self.embedding)
        # The point of reference: what sharing does before anything is trained.
        run.stage("unrecovered", model)
        if self.corpus_tokens:
            from methods.sharing.recovery import recover_on_text

            recover_on_text(run, model, self.corpus_tokens, batch_size=_TEXTS)
        run.fit(
            model,
            kd_training_loss(run, temperature=self.temperature, alpha=self.alpha, reduction=self.reduction),
            training=self.on(run.training),
        )
        return model
