"""What methods that remove attention heads in an order have in common; they differ in the order."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from methods.architectures import UNSHARED
from methods.pruning.budget import Axis, Budgeted, Shares, smallest_share, units_to_remove
from methods.pruning.layerwise import require_heads_removed
from tasks.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.encoders import Layer
    from methods.method import Work
    from methods.pretrained import Source
    from methods.pruning.goal import Goal
    from methods.pruning.order import Head
    from methods.run import Run


class HeadPruning(Budgeted):
    """Remove heads up to a budget, first in `order` first, and train on where asked.

    With a list of shares one trial draws a curve: pruning goes on from share to share, each followed by its
    training and handed back as the stage `heads-<share>`. With `budget: {like: ...}` heads go layer by layer
    in numbers another method chose, each layer followed by training and ordered anew on the model as it then
    is; see `methods.pruning.layerwise`.

    Further notes left in the record: `budget`, the share removed on the budget's axis.
    """

    removes_heads: ClassVar[bool] = True
    shorthand: ClassVar[str] = "heads"

    heads: Shares | None = Field(
        0.3, description="share of all attention heads that is removed, or a rising list of shares: a curve"
    )
    floor: int = Field(0, ge=0, description="heads that every layer keeps at least")

    @model_validator(mode="after")
    def _shares_rise(self) -> Self:
        shares = self.heads if isinstance(self.heads, tuple) else (0.5,)
        if not shares or any(later <= sooner for sooner, later in pairwise(shares)):
            raise ValueError("a list of heads holds rising shares, e.g. [0.1, 0.2, 0.3]")
        return self

    @model_validator(mode="after")
    def _like_trains(self) -> Self:
        if self.budget and self.budget.like and not (self.epochs or self.steps):
            raise ValueError("budget like trains after each layer, as that method does; give steps or epochs")
        return self

    def check_models(self, model: Source, models: Mapping[str, Source]) -> None:
        """Refuse a share of less than one head, and one that leaves layers fewer than `floor`."""
        super().check_models(model, models)
        layers, heads = model.layers(), model.heads()
        # Shared layers have fewer distinct heads.
        if not layers or model.config()["model_type"] not in UNSHARED:
            return
        for axis, share in self._aims() if not (self.budget and self.budget.like) else ():
            wanted = units_to_remove(layers * heads, share)
            spare = layers * max(0, heads - self.floor)
            if axis == "heads" and not 1 <= wanted <= spare:
                raise BadInput(
                    f"heads: {share} of {layers * heads} heads are {wanted}, and {spare} may go with floor "
                    f"{self.floor}; ask for {smallest_share(layers * heads)} or more, or lower the floor"
                )

    @abstractmethod
    def order(self, run: Run, model: PreTrainedModel) -> list[Head]:
        """Return the surviving heads of `model`, the first to go first; no head is removed here."""

    def reads(self) -> tuple[str, ...]:
        """The method whose numbers of heads are taken."""
        return (self.budget.like,) if self.budget and self.budget.like else ()

    def check_read(self, key: str, other: Work) -> None:
        """Refuse a method that removes no heads."""
        require_heads_removed(key, other)

    def cost(self) -> float:
        """Training once for each share or, layer by layer, about six times."""
        trainings = 6 if self.reads() else len(self._aims())
        return trainings * super().cost()

    def shrink(self, run: Run, model: PreTrainedModel) -> None:
        """Prune and recover `model` in place, all layers at once or layer by layer."""
        if self.budget and self.budget.like:
            self._shrink_by_layer(run, model, self.budget.like)
            return
        goals = self.goals(model)
        for goal in goals:
            self.needed(goal, model)  # Refuses what cannot be met before an order is computed.
        order: list[Head] | None = None
        for goal in goals:
            order = self.reach(run, model, goal, order or self.order(run, model))
            self.recover(run, model)
            if len(goals) > 1:
                run.stage(f"heads-{goal.share:g}", model)
        run.notes["budget"] = {goals[-1].axis: round(goals[-1].removed(model), 4)}

    def goals(self, start: PreTrainedModel) -> list[Goal]:
        """Return what is to be removed from `start`, in steps; `start` may be pruned afterwards."""
        from copy import deepcopy

        from methods.pruning.goal import Goal

        kept = deepcopy(start)
        return [Goal(self.name, axis, share, kept) for axis, share in self._aims()]

    def needed(self, goal: Goal, model: PreTrainedModel, order: list[Head] | None = None) -> list[Head]:
        """Return the heads of `order`, by default of any, that must go from `model` to meet `goal`."""
        from methods.pruning.order import by_layer, removable, surviving_heads
        from methods.pruning.surgery import prune_heads

        alive = surviving_heads(model)
        left = Counter(position for position, _ in alive)
        heads = removable([head for head in order or alive if head in alive], left, self.floor)

        def cut(pruned: PreTrainedModel, count: int) -> None:
            prune_heads(pruned, by_layer(heads[:count]))

        return heads[: goal.needed(model, len(heads), cut)]

    def reach(self, run: Run, model: PreTrainedModel, goal: Goal, order: list[Head]) -> list[Head] | None:
        """Prune `model` in place until `goal` is met.

        Returns:
            The order for later goals, or None to have it recomputed.
        """
        from methods.pruning.order import by_layer
        from methods.pruning.surgery import prune_heads

        prune_heads(model, by_layer(self.needed(goal, model, order)))
        return order

    def _aims(self) -> list[tuple[Axis, float]]:
        """Axis and share of every goal, in order."""
        if self.budget:
            return [self.budget.axis()]
        shares = self.heads if isinstance(self.heads, tuple) else (self.heads,)
        return [("heads", share) for share in shares if share is not None]

    def _shrink_by_layer(self, run: Run, model: PreTrainedModel, like: str) -> None:
        from methods import encoders
        from methods.pruning.layerwise import layer_by_layer, removed_by
        from methods.pruning.surgery import prune_heads

        counts = removed_by(run, like, model)
        for position, (count, has) in enumerate(zip(counts, encoders.head_counts(model), strict=True)):
            if count > has - self.floor:
                raise BadInput(
                    f"{self.name}: {like!r} removed {count} of {has} heads in layer {position}, "
                    f"but {self.floor} must stay; lower the floor"
                )

        def prune(_: int, layer: Layer) -> int:
            position = layer.positions[0]
            if counts[position]:
                order = [head for place, head in self.order(run, model) if place == position]
                prune_heads(model, {position: order[: counts[position]]})
            return counts[position]

        layer_by_layer(run, model, prune=prune, train=lambda: self.recover(run, model))
