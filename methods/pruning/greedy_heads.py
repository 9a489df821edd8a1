"""A control for AUBER's search: greedy forward selection on the same reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from methods.pruning.auber.method import EPOCHS, Auber
from methods.pruning.recovery import Recovery
from tasks.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.encoders import Layer
    from methods.method import Work
    from methods.pruning.auber.environment import Heads, Measure
    from methods.run import Run


class GreedyHeads(
    Recovery,
    name="greedy-heads",
    family="pruning",
    paper="control for Lee, Lee, Kang, PLOS ONE 2021, arXiv 2009.14409",
    needs=("finetune",),
):
    """Layer by layer, remove the heads without which the reward is highest, one after another.

    AUBER's schedule with another search: rewards on the reward split in the task's primary metric, as with
    AUBER's preset `clean`, at most as many evaluations in a layer as AUBER took for the same task and seed,
    training after each layer that lost heads. Like AUBER it chooses how many heads go and keeps one in every
    layer. Also left in the record: `layers`, for each what was `removed`, the `evaluations` (with the
    unpruned layer) it took and the `gain` on the reward examples.
    """

    removes_heads: ClassVar[bool] = True
    # Wider than in other pruning methods, which train not at all where nothing is said.
    epochs: float | None = Field(  # type: ignore[assignment]
        None, gt=0, description="passes over the train split after each layer; 3 unless steps are given"
    )
    like: str = Field(
        "auber",
        min_length=1,
        description="whose evaluations by layer are the limit: a method's name or label",
    )
    reward_examples: int | None = Field(
        None, ge=1, description="examples that rewards are measured on, at most; all by default"
    )

    def deciding(self) -> dict[str, Any]:
        """Fields as JSON that a fingerprint holds; epochs left out as 0, their default of earlier records."""
        fields = super().deciding()
        return fields | {"epochs": fields["epochs"] or 0.0}

    def reads(self) -> tuple[str, ...]:
        """The method whose numbers of evaluations are taken."""
        return (self.like,)

    def check_read(self, key: str, other: Work) -> None:
        """Refuse a method that notes no evaluations by layer."""
        if not isinstance(other, Auber | GreedyHeads):
            raise BadInput(f"like: {key!r} notes no evaluations by layer; name auber or a greedy-heads")

    def cost(self) -> float:
        """Search, and training as `recover` does it, in about six layers; an epoch taken for 100 steps."""
        return 6 * (0.6 + (self.steps / 100 if self.steps else self.epochs or EPOCHS) / 3)

    def recover(self, run: Run, model: PreTrainedModel) -> None:
        """Train `model` in place, as long as AUBER does where nothing is said."""
        training = run.training.override(epochs=self.epochs or EPOCHS, learning_rate=self.learning_rate)
        run.fit(model, steps=self.steps, training=training)

    def shrink(self, run: Run, model: PreTrainedModel) -> None:
        """Search, prune and train layer by layer.

        Raises:
            BadInput: there are no reward examples, or `like` noted no evaluations for this depth.
        """
        from methods import encoders
        from methods.pruning.auber.rewards import Rewards
        from methods.pruning.layerwise import layer_by_layer
        from methods.pruning.surgery import prune_heads

        limits = [layer["evaluations"] for layer in run.notes_of[self.like].get("layers", ())]
        depth = len(encoders.layers(model))
        if len(limits) != depth:
            raise BadInput(
                f"{self.name}: {self.like!r} noted evaluations of {len(limits)} layers, this model "
                f"has {depth}; name a method that searches layer by layer, such as auber"
            )
        rewarded = run.reward.sample(self.reward_examples or len(run.reward), run.seeds.order)
        layers = run.notes.setdefault("layers", [])

        def prune(row: int, layer: Layer) -> int:
            heads = layer.heads
            rewards = Rewards(model, row, rewarded, run.task.primary, bf16=run.bf16)
            measured: dict[Heads, float] = {}

            def measure(sets: Sequence[Heads]) -> Sequence[float]:
                found = rewards(sets)
                measured.update(zip(sets, found, strict=True))
                return found

            places = forward_selection(range(len(heads)), measure, limits[row])
            removed = [heads[place] for place in sorted(places)]
            gain = 100 * (measured[places] - measured[frozenset()])
            layers.append({"removed": removed, "evaluations": len(measured), "gain": gain})
            run.cost += rewards.cost
            prune_heads(model, {layer.positions[0]: removed})
            return len(removed)

        layer_by_layer(run, model, prune=prune, train=lambda: self.recover(run, model))


def forward_selection(heads: Sequence[int], measure: Measure, most: int) -> Heads:
    """Remove one head after another, each time the one without which the metric is highest.

    It goes on to the last head but one, or until the evaluations are used up, in which case the last round
    is cut short; the best of the sets on the way is chosen, of equals the largest.

    Args:
        heads: a layer's heads; of equally good ones the first goes.
        measure: the metric with each of these sets removed; no set is measured twice.
        most: sets that may be measured, the empty one included.

    Returns:
        The heads to remove.
    """
    removed: Heads = frozenset()
    evaluations, path = 1, [(measure([removed])[0], removed)]
    while len(removed) < len(heads) - 1 and evaluations < most:
        sets = [removed | {head} for head in heads if head not in removed][: most - evaluations]
        metrics = measure(sets)
        evaluations += len(sets)
        removed = sets[metrics.index(max(metrics))]
        path.append((max(metrics), removed))
    best = max(path, key=lambda step: (step[0], len(step[1])))
    return best[1]
