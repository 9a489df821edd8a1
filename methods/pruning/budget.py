"""How much is removed: a share of one axis, or as many heads as another method removed."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from methods.pruning.recovery import Recovery
from methods.settings import Settings
from tasks.errors import BadInput

Share = Annotated[float, Field(gt=0, lt=1)]
Axis = Literal["heads", "neurons", "encoder_parameters", "flops", "latency"]


def _kind(value: Any) -> str:
    return "shares" if isinstance(value, tuple | list) else "share"


Shares = Annotated[
    Annotated[Share, Tag("share")] | Annotated[tuple[Share, ...], Tag("shares")], Discriminator(_kind)
]
"""One share or several; told apart before they are checked, so that an error names one problem."""


def units_to_remove(total: int, share: float) -> int:
    """Return floor(total * share), in decimal arithmetic: 0.29 of 100 heads are 29, not 28.

    Raises:
        BadInput: `share` is not in [0, 1).
    """
    if not 0 <= share < 1:
        raise BadInput(f"the share to remove must be at least 0 and below 1, not {share}")
    return math.floor(total * Fraction(str(share)))


def smallest_share(total: int) -> float:
    """Return the smallest share, in thousandths, that removes one of `total` units."""
    return math.ceil(Fraction(1000, total)) / 1000


class Budget(Settings):
    """Exactly one of these; a share is what is removed, relative to the start model."""

    heads: Share | None = Field(None, description="share of all attention heads, rounded down")
    encoder_parameters: Share | None = Field(
        None, description="share of the layers' parameters, embeddings not counted; at least that much goes"
    )
    flops: Share | None = Field(
        None, description="share of one forward pass over 128 tokens; at least that much goes"
    )
    latency: Share | None = Field(
        None,
        description="share of the measured time of one forward pass, batch 1, 128 tokens; at least that much "
        "goes, as far as the clock can tell: numbers may differ from machine to machine and run to run",
    )
    like: str | None = Field(
        None,
        min_length=1,
        description="a method of the sweep, by name or label: from each layer goes what it removed for the "
        "same task and seed, layer by layer, each followed by training",
    )

    @model_validator(mode="after")
    def _one_axis(self) -> Self:
        if sum(value is not None for _, value in self) != 1:
            raise ValueError(f"give exactly one of {', '.join(type(self).model_fields)}")
        return self

    def axis(self) -> tuple[Axis, float]:
        """Return the axis that is cut and the share to remove; not for `like`."""
        axes: tuple[Axis, ...] = ("heads", "encoder_parameters", "flops", "latency")
        ((axis, share),) = ((axis, getattr(self, axis)) for axis in axes if getattr(self, axis) is not None)
        return axis, share


class Budgeted(Recovery):
    """What methods have in common that remove units up to a budget.

    The budget is a share of the units, in the field called `shorthand`, or a `budget` in its stead.
    """

    shorthand: ClassVar[str]

    budget: Budget | None = Field(
        None,
        description="another budget instead: {heads: 0.2}, {encoder_parameters: 0.1}, {flops: 0.2}, "
        "{latency: 0.2} or {like: auber}",
    )

    @model_validator(mode="before")
    @classmethod
    def _budget_replaces_the_share(cls, data: Any) -> Any:
        """Otherwise the share's default would count as a second budget."""
        if isinstance(data, dict) and data.get("budget") is not None:
            return {cls.shorthand: None, **data}
        return data

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (getattr(self, self.shorthand) is None) == (self.budget is None):
            raise ValueError(f"give either {self.shorthand} or budget")
        return self

    def changed(self) -> dict[str, Any]:
        """Fields that are not at their default; first stands the share, or the budget that replaces it."""
        changed = super().changed()
        amounts = {name: changed.pop(name, None) for name in (self.shorthand, "budget")}
        return {name: amount for name, amount in amounts.items() if amount is not None} | changed
