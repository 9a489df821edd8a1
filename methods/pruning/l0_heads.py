"""Voita et al.'s head pruning: gates learn, under an L0 penalty, which heads the model can do without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from methods.pruning.head_pruning import HeadPruning

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pruning.order import Head
    from methods.run import Run


class L0Heads(
    HeadPruning,
    name="l0-heads",
    family="pruning",
    paper="Voita et al., ACL 2019, arXiv 1905.09418",
    needs=("finetune",),
):
    """Train weights and hard-concrete head gates together, close gates up to the budget, cut them out.

    One gate per head, its noise shared by a batch. The penalty's weight is annealed to the budget, see
    `GateTraining`; if other than the budget's number of gates end closed, their order decides. Also left in
    the record: `open_probability` of each head, `gates_closed`, the number closed by themselves, and
    `penalty`, the last weight.
    """

    gate_steps: int = Field(200, ge=1, description="optimiser steps in which weights and gates learn")
    gate_rate: float = Field(0.1, gt=0, description="Adam's learning rate of the gates' locations log_a")
    beta: float = Field(0.33, gt=0, description="temperature of the gates; the official code's")
    penalty: float = Field(0.1, gt=0, description="first weight of the expected number of open heads")

    @model_validator(mode="after")
    def _one_training(self) -> Self:
        if isinstance(self.heads, tuple) or self.reads():
            raise ValueError(
                "l0-heads trains its gates once, for all layers and one budget: no list, no budget like"
            )
        return self

    def cost(self) -> float:
        """An epoch taken for 100 steps."""
        return super().cost() + self.gate_steps / 300

    def order(self, run: Run, model: PreTrainedModel) -> list[Head]:
        """Train `model` with gates and rank heads by them, the most closed first."""
        import torch

        from methods import encoders
        from methods.pruning.hard_concrete import OPEN, GateTraining, HardConcrete
        from methods.pruning.order import ascending, surviving_heads

        (goal,) = self.goals(model)
        target = len(surviving_heads(model)) - len(self.needed(goal, model))
        shape = (len(encoders.layers(model)), model.config.num_attention_heads)
        gates = HardConcrete(torch.full(shape, OPEN, device=model.device), self.beta)
        training = GateTraining(
            gates, target=target, steps=self.gate_steps, weight=self.penalty, learning_rate=self.gate_rate
        )
        settings = run.training.override(learning_rate=self.learning_rate)
        run.fit(model, training, steps=self.gate_steps, training=settings)
        training.close()
        run.notes["open_probability"] = gates.open_probability().cpu().numpy().round(4).tolist()
        run.notes["gates_closed"] = int((gates.without_noise() == 0).sum())
        run.notes["penalty"] = float(f"{training.weight:.4g}")
        return ascending(model, gates.log_a.cpu().double().numpy())
