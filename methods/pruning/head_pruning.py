"""What methods that remove a share of the attention heads have in common; they differ in the order."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING

from pydantic import Field

from methods.method import Method
from tasks.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pruning.order import Head
    from methods.run import Run


class HeadPruning(Method):
    """Remove a share of the start model's heads, first in `order` first, and train on where asked.

    Notes left in the record: `kept_heads` and `removed_heads`, head numbers by layer.
    """

    heads: float = Field(0.3, gt=0, lt=1, description="share of all attention heads that is removed")
    epochs: float = Field(0, ge=0, description="passes over the train split after pruning")

    @abstractmethod
    def order(self, run: Run, model: PreTrainedModel) -> list[Head]:
        """Return the surviving heads of `model`, the first to go first; `model` is left as it was."""

    def cost(self) -> float:
        """Recovery training against the usual three epochs of fine-tuning."""
        return 0.1 + self.epochs / 3

    def compress(self, run: Run) -> PreTrainedModel:
        """Prune the start model and, with `epochs`, train it on.

        Raises:
            BadInput: the share is less than one head.
        """
        from methods import encoders
        from methods.pruning.order import by_layer, heads_to_remove, surviving_heads
        from methods.pruning.surgery import prune_heads

        model = run.start()
        total = len(surviving_heads(model))
        count = heads_to_remove(total, self.heads)
        if count == 0:
            least = math.ceil(1000 / total) / 1000
            raise BadInput(
                f"{self.name}: heads: {self.heads} of {total} heads is less than one; ask for {least} or more"
            )
        removed = by_layer(self.order(run, model)[:count])
        prune_heads(model, removed)
        kept = encoders.kept_heads(model)
        run.notes["kept_heads"] = kept
        run.notes["removed_heads"] = [removed.get(position, []) for position in range(len(kept))]
        if self.epochs:
            run.fit(model, training=run.training.override(epochs=self.epochs))
        return model
