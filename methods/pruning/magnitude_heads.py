"""Magnitude pruning of heads: the smallest weights go, whatever the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.pruning.head_pruning import HeadPruning

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pruning.order import Head
    from methods.run import Run


class MagnitudeHeads(
    HeadPruning,
    name="magnitude-heads",
    family="pruning",
    paper="control, after Han et al., NeurIPS 2015, arXiv 1506.02626",
    needs=("finetune",),
):
    """Remove the heads with the least sum of squares over their parameters; needs no data."""

    def order(self, run: Run, model: PreTrainedModel) -> list[Head]:
        """Rank heads by magnitude, least first."""
        from methods.pruning.magnitude import head_magnitude
        from methods.pruning.order import ascending

        return ascending(model, head_magnitude(model))
