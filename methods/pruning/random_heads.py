"""Random head pruning: the control every order of heads is judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.pruning.head_pruning import HeadPruning

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pruning.order import Head
    from methods.run import Run


class RandomHeads(
    HeadPruning,
    name="random-heads",
    family="pruning",
    paper="control, as in Michel, Levy, Neubig, NeurIPS 2019, arXiv 1905.10650",
    needs=("finetune",),
):
    """Remove heads uniformly at random without replacement, drawn anew for every seed."""

    def order(self, run: Run, model: PreTrainedModel) -> list[Head]:
        """Shuffle all heads."""
        from methods.pruning.order import random_order

        return random_order(model, run.seeds.dropout)
