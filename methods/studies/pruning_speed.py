"""Pruning speed: what really removing heads saves in time, parameters and bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveInt, field_validator

from methods.pruning.partly_shared_layers import RefusesPartlySharedLayers
from methods.study import Experiment, Variant
from tasks.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pretrained import Source
    from methods.run import Run


class PruningSpeed(
    RefusesPartlySharedLayers,
    Experiment,
    name="pruning-speed",
    paper="Michel, Levy, Neubig, NeurIPS 2019, arXiv 1905.10650, sec. 4.3",
    report="reports.studies.pruning_speed:report",
    once=True,
    alone=True,
):
    """Time forward passes with growing shares of the heads really removed, evenly over the layers.

    Eval mode, fp32, tokens made beforehand, full sequences without padding; for each batch size and length
    rounds go through all shares in turn. Time depends neither on the weights' values nor on the task, so
    the pretrained encoder is timed, for the first task and seed. The machine must be idle otherwise.
    """

    shares: tuple[float, ...] = Field(
        (0, 0.2, 0.4, 0.5, 0.6, 0.8), min_length=2, description="shares of all heads that are removed"
    )
    batch_sizes: tuple[PositiveInt, ...] = Field((1, 4, 16, 64), min_length=1, description="examples at once")
    lengths: tuple[PositiveInt, ...] = Field((32, 128), min_length=1, description="tokens of every example")
    repeats: int = Field(11, ge=6, description="timed rounds; median and quartiles are shown")
    warm_up: int = Field(20, ge=20, description="passes of each batch size and length before timing")

    @field_validator("shares")
    @classmethod
    def _from_nothing(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if list(shares) != sorted(set(shares)) or shares[0] != 0 or shares[-1] >= 1:
            raise ValueError("shares must rise from 0, the unpruned model, and stay below 1")
        return shares

    def check_models(self, model: Source, models: Mapping[str, Source]) -> None:
        """Refuse longer texts than the encoder has positions for."""
        super().check_models(model, models)
        most = model.positions()
        if most and max(self.lengths) > most:
            raise BadInput(
                f"lengths: {max(self.lengths)} is more than the {most} tokens {model.id!r} takes; give "
                f"{most} or less"
            )

    def cost(self) -> float:
        """Minutes, whatever the task."""
        return 2.0

    def variants(self, run: Run) -> Iterable[Variant]:
        """None: notes hold `sizes` by share, `speed` by length, batch size and share, and facts."""
        import torch

        models = {f"{share:g}": self._pruned(run, share) for share in self.shares}
        run.notes["sizes"] = {share: self._size(model) for share, model in models.items()}
        run.notes["per_head"] = self._per_head(run.pretrained())
        run.notes["attention"] = models["0"].config._attn_implementation
        run.notes["speed"] = {}
        with torch.inference_mode():
            for length in self.lengths:
                run.notes["speed"][str(length)] = {
                    str(size): self._timed(models, length, size, run) for size in self.batch_sizes
                }
        return ()

    def _pruned(self, run: Run, share: float) -> PreTrainedModel:
        from methods.pruning.budget import units_to_remove
        from methods.pruning.order import by_layer, surviving_heads
        from methods.pruning.surgery import prune_heads

        model = run.pretrained()
        # By number first and layer second, so that every layer loses as many, give or take one.
        order = sorted(surviving_heads(model), key=lambda head: (head[1], head[0]))
        prune_heads(model, by_layer(order[: units_to_remove(len(order), share)]))
        return model.eval()

    def _size(self, model: PreTrainedModel) -> dict[str, Any]:
        from methods import checkpoint, encoders
        from methods.flops import forward_flops

        with tempfile.TemporaryDirectory() as folder:
            size = checkpoint.saved_bytes(checkpoint.save(model, Path(folder, "model")))
        return {
            "heads": sum(encoders.head_counts(model)),
            "parameters": encoders.parameters(model).model_dump(),
            "checkpoint_bytes": size,
            "flops": {str(length): forward_flops(model, length) for length in self.lengths},
        }

    def _per_head(self, model: PreTrainedModel) -> dict[str, float]:
        """Parameters of one head, of a layer's attention and of a layer, before pruning."""
        from methods import encoders
        from methods.pruning.order import surviving_heads
        from methods.pruning.surgery import prune_heads

        heads, before = surviving_heads(model), encoders.parameters(model)
        layer = encoders.layers(model)[0]
        linears = (layer.query, layer.key, layer.value, layer.output)
        facts = {
            "layer": sum(parameter.numel() for parameter in layer.module.parameters()),
            "attention": sum(parameter.numel() for linear in linears for parameter in linear.parameters()),
        }
        prune_heads(model, {heads[0][0]: [heads[0][1]]})
        one = before.total - encoders.parameters(model).total
        return {"head": one, **facts, "all_heads": one * len(heads), "total": before.total}

    def _timed(
        self, models: dict[str, PreTrainedModel], length: int, size: int, run: Run
    ) -> dict[str, dict[str, float]]:
        import torch

        from methods.timing import interleaved, summary

        words = min(model.config.vocab_size for model in models.values())
        ids = torch.randint(words, (size, length), device=run.device)
        calls = {share: partial(model, input_ids=ids) for share, model in models.items()}
        rounds = -(-self.warm_up // len(models))
        times = interleaved(calls, warm_up=rounds, repeats=self.repeats, device=run.device.type)
        return {share: summary(milliseconds) for share, milliseconds in times.items()}
