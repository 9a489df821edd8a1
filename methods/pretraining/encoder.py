"""An encoder pre-trained from scratch on the sweep's corpus; methods fine-tune it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from methods.pretraining.settings import Pretraining
from tasks.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from methods.pretrained import Source
    from methods.run import SweepRun
    from methods.sharing.albert.model import CompactAlbertModel
    from tasks.corpus.text import Text

PAPER: dict[str, Any] = {
    "vocabulary": 30000,
    "tokenizer": "unigram",
    "length": 512,
    "steps": 125_000,
    "batch_size": 4096,
    "accumulation": 64,
    "learning_rate": 0.00176,
    "layers": 12,
    "hidden": 768,
    "embedding": 128,
    "dropout": 0.1,
}
"""ALBERT-base, section 4.1 and the released code: LAMB, 3,125 steps of warm-up."""

POSITIONS = 512
"""Rows of the position table, as in the paper; those beyond `length` stay as they were drawn."""

_ENCODERS = {"vocabulary", "tokenizer", "hidden", "heads", "ffn"}
"""Fields that a warm start has from the sweep's encoder."""


class PretrainedEncoder(
    Pretraining,
    name="pretrained-encoder",
    family="prerequisite",
    paper="Lan et al., ICLR 2020, arXiv 1909.11942",
    version=2,
):
    """ALBERT's encoder of any size and sharing, trained on masked words and sentence order.

    Leaves the encoder and its tokenizer in `model`, the heads in `heads.safetensors`, and in `summary.json`
    what documents kept from training say of it: its accuracies on its own objective and on each sentence
    objective, and how far each layer moves its input. The notes hold these and the curve, and of a warm start
    `fitted_mlm_loss`: what its masked-word head, fitted by least squares, begins with.

    The floor of a step of N tokens, m of them masked, is the time of its matrix products, forward
    L (8 N H^2 + 4 N H F + 4 N H T) + 2 N E H + 2 m (H E + E V) operations (F the feed-forward width, T the
    length) and twice that for the gradients, and of the optimiser's traffic, 28 bytes a parameter. Sharing
    changes the second part only. `tests/bench/pretraining.py` measures both.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {**Pretraining.presets, "paper": PAPER}

    preset: Literal["paper", "smoke"] | None = Field(
        None, description="paper: ALBERT-base as published; smoke: a tenth of the default tokens"
    )
    layers: int = Field(4, ge=1, description="L")
    hidden: int = Field(128, ge=8, description="H, the width of the layers")
    heads: int | None = Field(None, ge=1, description="attention heads; by default one for 64 of the width")
    ffn: int | None = Field(None, ge=1, description="width of the feed-forward part; by default 4 H")
    embedding: int = Field(64, ge=8, description="E, the width of the tables; equal to H: no projection")
    share: Literal["all", "attention", "ffn", "none"] = Field("all", description="what layers share")
    groups: int = Field(1, ge=1, description="G: neighbours that share; 1: all layers")
    dropout: float = Field(0.0, ge=0, lt=1, description="in layers and attention")
    warm_start: bool = Field(
        False,
        description="vocabulary, widths, attention heads and weights of the sweep's encoder, its tables "
        "cut to `embedding` and a head for masked words fitted to it",
    )

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if self.hidden % self.attention_heads:
            raise ValueError(f"hidden {self.hidden} is not divisible by {self.attention_heads} heads")
        if self.groups > self.layers:
            raise ValueError(f"groups: {self.groups} asked for, but there are {self.layers} layers")
        if self.length > POSITIONS:
            raise ValueError(f"length: at most {POSITIONS}, the rows of the position table")
        if self.share == "none" and self.groups > 1:
            raise ValueError(
                f"groups: {self.groups} changes nothing with share: none, where every layer is its own; "
                "leave it out, or share something"
            )
        if self.warm_start:
            self._leaves_to_the_encoder()
        return self

    @property
    def attention_heads(self) -> int:
        """In each layer: those asked for, or one for 64 of the width."""
        return self.heads or max(1, self.hidden // 64)

    def _leaves_to_the_encoder(self) -> None:
        """Refuse what a warm start would ignore."""
        if given := _ENCODERS & self.presets.get(self.preset or "", {}).keys():
            raise ValueError(
                f"preset: {self.preset} sets {', '.join(sorted(given))}, which warm_start takes from the "
                "sweep's encoder; leave out one of the two"
            )
        if given := _ENCODERS & self.changed().keys():
            raise ValueError(
                f"warm_start takes {', '.join(sorted(given))} from the sweep's encoder; leave it out"
            )

    def revision(self) -> int:
        """Warm starts are at 4, with a fitted head and tables that keep positions; other results stand."""
        return super().revision() + 2 * self.warm_start

    def check_models(self, model: Source, models: Mapping[str, Source]) -> None:
        """Refuse a warm start from an encoder that it cannot begin with.

        Raises:
            BadInput: the sweep's encoder is no BERT, or has fewer layers, positions or a smaller width.
        """
        theirs = model.config()
        if not self.warm_start or not theirs:
            return
        if theirs["model_type"] != "bert":
            raise BadInput(
                f"warm_start: needs a BERT, and {model.id!r} is a {theirs['model_type']!r}; "
                "leave warm_start out, or set model to a BERT"
            )
        for field, mine, limit in (
            ("layers", self.layers, theirs["num_hidden_layers"]),
            ("length", self.length, theirs["max_position_embeddings"]),
            ("embedding", self.embedding, theirs["hidden_size"]),
        ):
            if mine > limit:
                raise BadInput(f"{field}: {mine} asked for, but {model.id!r} has {limit} to start from")

    def produce(self, run: SweepRun, folder: Path) -> None:
        """Pre-train and write `model`, `heads.safetensors` and the notes.

        Raises:
            BadInput: there is no corpus, or it cannot be used.
            Diverged: the loss or the gradient's norm is not finite.
        """
        import torch

        from methods.pretraining.corpus import save_tokenizer, stream, texts
        from methods.pretraining.fitted_head import fit_head
        from methods.pretraining.heads import PretrainingModel, pretraining_loss, save
        from methods.pretraining.loop import pretrain
        from methods.pretraining.objectives import accuracies
        from methods.pretraining.report import held_out, summary, write_summary
        from methods.sharing.distances import layer_distances

        text = texts(run, None if self.warm_start else self)
        torch.manual_seed(self.seed)
        model = PretrainingModel(self.build(run, text), pairs=self.pairing != "none")
        model.to(run.device)
        facts: dict[str, Any] = {}
        if self.warm_start:
            # Takes seconds, so it is repeated after a kill; the restored checkpoint then overwrites it.
            fit = fit_head(model, stream(text, self), torch.from_numpy(text.counts(text.training)))
            run.cost += fit.cost
            facts["fitted_mlm_loss"] = fit.loss
        progress = pretrain(run, model, pretraining_loss, stream(text, self), self, flops=model.flops)
        kept = stream(text, self, held_out=True)
        asked = accuracies(model, text, self, bf16=run.bf16)
        found = asked.get(self.pairing) or held_out(model, pretraining_loss, kept, bf16=run.bf16)
        layers = layer_distances(model.encoder, (batch.unmasked() for batch in kept.once()))
        facts |= summary(progress, text, found) | {
            "objectives": asked,
            "layers": [layer._asdict() for layer in layers],
        }
        run.notes["pretraining"] = facts
        write_summary(facts, folder)
        save(model, folder)
        save_tokenizer(text, self, folder / "model")

    def build(self, run: SweepRun, text: Text) -> CompactAlbertModel:
        """Make the encoder, with random weights or from the sweep's encoder and the text it is to learn."""
        from methods.pretraining.corpus import stream
        from methods.sharing.albert.model import CompactAlbertConfig, CompactAlbertModel
        from methods.sharing.albert.warm_start import from_encoder

        if self.warm_start:
            # Its configuration may not have been on the machine that planned.
            self.check_models(run.model, {})
            return from_encoder(
                run.model,
                (batch.inputs for batch in stream(text, self)),
                layers=self.layers,
                embedding=self.embedding,
                share=self.share,
                groups=self.groups,
                dropout=self.dropout,
            )
        return CompactAlbertModel(CompactAlbertConfig(**self.configuration(len(text.tokenizer.backend))))

    def configuration(self, vocabulary: int) -> dict[str, Any]:
        """The encoder's configuration for a vocabulary of this size."""
        return {
            "vocab_size": vocabulary,
            "embedding_size": self.embedding,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_hidden_groups": self.groups,
            "num_attention_heads": self.attention_heads,
            "intermediate_size": self.ffn or 4 * self.hidden,
            "share": self.share,
            "hidden_dropout_prob": self.dropout,
            "attention_probs_dropout_prob": self.dropout,
            "classifier_dropout": 0.1,
            "max_position_embeddings": POSITIONS,
        }
