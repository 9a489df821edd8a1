"""Structured pruning of the feed-forward parts, where two thirds of an encoder's weights are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from methods.pruning.budget import Budgeted, Share
from tasks.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pretrained import Source
    from methods.run import Run

BATCH_SIZE = 32


class FfnNeurons(
    Budgeted,
    name="ffn-neurons",
    family="pruning",
    paper="after Molchanov et al., ICLR 2017, arXiv 1611.06440",
    needs=("finetune",),
):
    """Remove the feed-forward neurons of least score in all layers, and train on where asked.

    Every layer keeps one neuron. Also left in the record: `kept_neurons`, their number by layer.
    """

    shorthand: ClassVar[str] = "neurons"

    neurons: Share | None = Field(0.3, description="share of all feed-forward neurons that is removed")
    score: Literal["taylor", "norm"] = Field(
        "taylor",
        description="first-order change of the loss on train examples, or norm of input times output weights",
    )
    examples: int = Field(4096, ge=1, description="train examples the Taylor score is a mean over, at most")

    @model_validator(mode="after")
    def _not_in_heads(self) -> Self:
        if self.budget and (self.budget.heads or self.budget.like):
            raise ValueError("ffn-neurons removes no heads; give encoder_parameters, flops or latency")
        return self

    def check_models(self, model: Source, models: Mapping[str, Source]) -> None:
        """Refuse encoders with several feed-forward networks in a layer."""
        super().check_models(model, models)
        stacked = {"mobilebert": 4, "bottleneck-bert": 4}.get(model.config().get("model_type", ""), 1)
        if model.config().get("num_feedforward_networks", stacked) > 1:
            raise BadInput(
                "ffn-neurons takes one feed-forward network of each layer apart, and a MobileBERT has "
                "several; choose another encoder"
            )

    def cost(self) -> float:
        """Taylor scores take a forward and about half a backward pass over the examples."""
        return super().cost() + 0.2

    def shrink(self, run: Run, model: PreTrainedModel) -> None:
        """Prune `model` in place and recover it."""
        from copy import deepcopy

        from methods import encoders
        from methods.pruning.goal import Goal
        from methods.pruning.neurons import ascending_neurons
        from methods.pruning.order import by_layer, removable
        from methods.pruning.surgery import prune_neurons

        axis, share = self.budget.axis() if self.budget else ("neurons", self.neurons or 0.0)
        left = {layer.positions[0]: layer.ffn_in.out_features for layer in encoders.layers(model)}
        neurons = removable(ascending_neurons(model, self._scores(run, model)), left, floor=1)

        def cut(pruned: PreTrainedModel, count: int) -> None:
            prune_neurons(pruned, by_layer(neurons[:count]))

        goal = Goal(self.name, axis, share, deepcopy(model))
        cut(model, goal.needed(model, len(neurons), cut))
        run.notes["kept_neurons"] = encoders.neuron_counts(model)
        run.notes["budget"] = {axis: round(goal.removed(model), 4)}
        self.recover(run, model)

    def _scores(self, run: Run, model: PreTrainedModel) -> list:
        from methods.pruning.magnitude import neuron_norms
        from methods.pruning.neurons import neuron_importance
        from tasks.batches import in_order

        if self.score == "norm":
            return neuron_norms(model)
        sample = run.train.sample(self.examples, run.seeds.order)
        scores, cost = neuron_importance(model, in_order(sample, BATCH_SIZE))
        run.cost += cost
        return scores
