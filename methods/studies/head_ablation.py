"""Head ablation: what each head alone is worth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from methods.pruning.partly_shared_layers import RefusesPartlySharedLayers
from methods.study import Experiment, Variant

if TYPE_CHECKING:
    from methods.run import Run


class HeadAblation(
    RefusesPartlySharedLayers,
    Experiment,
    name="head-ablation",
    paper="Michel, Levy, Neubig, NeurIPS 2019, arXiv 1905.10650, sec. 3.2",
    needs=("finetune",),
    report="reports.studies.head_ablation:report",
):
    """Remove each head alone from the start model, without training, and test every change.

    Nothing is chosen, so the validation split may show all heads.
    """

    def cost(self) -> float:
        """One pass over validation per head."""
        return 1.0

    def variants(self, run: Run) -> Iterable[Variant]:
        """The start model, and it without each head."""
        from methods.pruning.order import surviving_heads
        from reports.decisions import UNPRUNED

        heads = surviving_heads(run.start())
        yield Variant(UNPRUNED)
        for layer, head in heads:
            yield Variant(f"{layer}.{head}", removed=((layer, head),), facts={"layer": layer, "head": head})
