"""One head: whether a single head is enough for a layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from methods.pruning.partly_shared_layers import RefusesPartlySharedLayers
from methods.study import Experiment, Variant

if TYPE_CHECKING:
    from methods.run import Run


class OneHead(
    RefusesPartlySharedLayers,
    Experiment,
    name="one-head",
    paper="Michel, Levy, Neubig, NeurIPS 2019, arXiv 1905.10650, sec. 3.3",
    needs=("finetune",),
    report="reports.studies.one_head:report",
):
    """Remove all heads but one from one layer of the start model, without training.

    Which head stays is chosen on the `reward` part of the selection split, by the primary metric and, where
    heads tie, by cross-entropy; validation sees the chosen one alone. Left in the record: `selection`, the
    primary metric on that part by layer and head that stays.
    """

    def cost(self) -> float:
        """One pass over a tenth of train per head."""
        return 1.0

    def variants(self, run: Run) -> Iterable[Variant]:
        """The start model, and for each layer the one that keeps its best head there."""
        from methods import encoders
        from methods.studies.quality import qualities
        from reports.decisions import UNPRUNED

        model = run.start()
        variants, selection = [Variant(UNPRUNED)], {}
        for layer in encoders.layers(model):
            position = layer.positions[0]
            others = {
                head: tuple((position, other) for other in layer.heads if other != head)
                for head in layer.heads
            }
            found = dict(zip(others, qualities(run, model, list(others.values())), strict=True))
            selection[str(position)] = {str(head): quality.score for head, quality in found.items()}
            if found:
                best = max(found, key=lambda head: found[head].rank)
                facts = {"layer": position, "head": best}
                variants.append(Variant(str(position), removed=others[best], facts=facts))
        run.notes["selection"] = selection
        return variants
