"""ALBERT in the grid: a released checkpoint, or an encoder pre-trained on the sweep's corpus, fine-tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from methods.method import Method
from methods.pretraining.encoder import PretrainedEncoder
from methods.settings import Rate
from tasks.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedModel

    from methods.pretrained import Source
    from methods.run import Run
    from tasks.task import Task


class GlueSettings(NamedTuple):
    """How the released code fine-tunes on one task."""

    warmup: int
    """Steps."""
    learning_rate: float
    steps: int
    batch_size: int
    dropout: float = 0.0
    """Of the encoder; the classifier's is 0.1 everywhere."""


PAPER = {
    "cola": GlueSettings(320, 1e-5, 5336, 16),
    "sst2": GlueSettings(1256, 1e-5, 20935, 32),
    "mrpc": GlueSettings(200, 2e-5, 800, 32),
    "qnli": GlueSettings(1986, 1e-5, 33112, 32),
    "rte": GlueSettings(200, 3e-5, 800, 32, dropout=0.1),
    "mnli": GlueSettings(1000, 3e-5, 10000, 128),
}
"""`run_glue.sh` of the released code; texts are cut at 512 tokens there."""


class Albert(
    Method,
    name="albert",
    family="sharing",
    paper="Lan et al., ICLR 2020, arXiv 1909.11942",
    version=1,
):
    """Fine-tune an ALBERT; fields left out take the sweep's `train:` settings.

    ALBERT's GLUE scores are medians of five runs, since single ones vary much. Sharing saves parameters and
    no operation.
    """

    pretrained: str | PretrainedEncoder = Field(
        PretrainedEncoder(), description="a Hub id such as albert/albert-base-v2, or fields of a pre-training"
    )
    preset: Literal["paper"] | None = Field(
        None,
        description="paper: rate, steps, batch and dropout of the released code, by task; its texts of 512 "
        "tokens are the sweep's train.max_length",
    )
    epochs: float | None = Field(None, gt=0, description="passes over the train split")
    learning_rate: Rate | None = Field(None, description="peak rate of AdamW, a number or by task")
    batch_size: int | None = Field(None, ge=1, description="examples per step")

    def prerequisites(self) -> tuple[PretrainedEncoder, ...]:
        """The pre-training, unless a released checkpoint is fine-tuned."""
        return (self.pretrained,) if isinstance(self.pretrained, PretrainedEncoder) else ()

    def check_models(self, model: Source, models: Mapping[str, Source]) -> None:
        """Refuse what is no ALBERT, and a warm start that cannot begin, see `PretrainedEncoder`."""
        for encoder in self.prerequisites():
            encoder.check_models(model, models)
        for name in self.models():
            if config := models[name].config():
                _require_albert(name, config["model_type"])

    def models(self) -> tuple[str, ...]:
        """The released checkpoint."""
        return (self.pretrained,) if isinstance(self.pretrained, str) else ()

    def check(self, task: Task, layers: int | None) -> None:
        """Refuse the preset on a task it does not know."""
        if self.preset == "paper" and task.name not in PAPER:
            raise BadInput(f"preset: paper has no settings for {task.name}; it has {', '.join(PAPER)}")

    def encoder(self) -> str:
        """The pre-training's or the released encoder and tokenizer."""
        return self.pretrained if isinstance(self.pretrained, str) else self.pretrained.name

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the fine-tuned model.

        Raises:
            BadInput: the checkpoint is of another kind.
        """
        from methods.pretraining.report import read_summary

        model = run.pretrained()
        _require_albert(run.model.id, model.config.model_type)
        if isinstance(self.pretrained, PretrainedEncoder):
            run.notes["pretraining"] = read_summary(run.results[self.pretrained.name])
        training, steps = run.training, None
        if self.preset == "paper":
            recipe = PAPER[run.task.name]
            _set_dropout(model, recipe.dropout)
            steps = None if self.epochs else recipe.steps
            training = training.override(
                learning_rate=recipe.learning_rate,
                batch_size=recipe.batch_size,
                # Half a step less, so that no rounding adds one.
                warmup=(recipe.warmup - 0.5) / recipe.steps,
            )
        training = training.override(
            epochs=self.epochs, learning_rate=self.learning_rate, batch_size=self.batch_size
        )
        run.fit(model, steps=steps, training=training)
        return model


def _require_albert(name: str, kind: str) -> None:
    if kind not in ("albert", "compact-albert"):
        raise BadInput(
            f"pretrained: {name!r} is a {kind!r} model, not an ALBERT; name a checkpoint such as "
            "albert/albert-base-v2"
        )


def _set_dropout(model: PreTrainedModel, share: float) -> None:
    """Set the encoder's dropout, in layers and attention."""
    from torch import nn

    for module in model.base_model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = share
