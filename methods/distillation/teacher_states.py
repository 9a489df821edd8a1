"""What goes on inside the teacher on every training example, computed once for all students."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from methods.distillation.maps import uniform
from methods.method import Prerequisite, Size

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from methods.distillation.parts import Kind, Part
    from methods.run import Run

LayerMap = int | tuple[Annotated[int, Field(ge=1)], ...] | None


class TeacherStates(
    Prerequisite,
    name="teacher-states",
    family="prerequisite",
    version=1,
    needs=("finetune",),
):
    """The start model's [CLS], hidden states and raw attention scores, where a method asks for them.

    Logits are the work `teacher-outputs`: every student reads those, and few need more. Equal fields are one
    node, which all methods that ask for it share.
    """

    cls: bool = Field(False, description="[CLS] after each layer")
    hidden: Literal["none", "last", "mapped"] = Field(
        "none", description="hidden states of every token: after the last layer, or of embeddings and map"
    )
    attentions: bool = Field(False, description="attention scores of the mapped layers, before the softmax")
    layer_map: LayerMap = Field(
        None, description="layers: a list from 1, or how many, evenly; by default half of them"
    )
    dtype: Literal["bf16", "fp32"] = Field("bf16", description="how numbers are kept on disk")

    def cost(self) -> float:
        """One forward pass over the split, against three epochs forward and backward."""
        return 0.15

    def disk_bytes(self, size: Size) -> int:
        """As if every example were as long as the longest may be; exact sizes are known when it runs."""
        import numpy as np

        from methods.distillation.parts import total_bytes

        parts = self._parts(size.layers, size.hidden, size.heads)
        return size.examples * total_bytes(parts, np.array([size.tokens]), self.dtype)

    def produce(self, run: Run, folder: Path) -> None:
        """Write the states in the order of `run.train`: eval mode, no dropout, computed in fp32."""
        from methods.distillation.parts import total_bytes
        from methods.distillation.states import write

        teacher = run.start()
        parts = self.parts_of(teacher)
        run.notes["bytes"] = total_bytes(parts, run.train.lengths, self.dtype)
        rows = _rows(teacher, run, {part.kind: part for part in parts})
        write(folder, parts, run.train.lengths, self.dtype, rows)

    def parts_of(self, teacher: PreTrainedModel) -> list[Part]:
        """What the fields mean for this teacher.

        Raises:
            BadInput: the layer map does not fit it.
        """
        config = teacher.config
        return self._parts(config.num_hidden_layers, config.hidden_size, config.num_attention_heads)

    def _parts(self, depth: int, width: int, heads: int) -> list[Part]:
        from methods.distillation.parts import Part

        parts = []
        if self.cls:
            parts.append(Part("cls", tuple(range(1, depth + 1)), width))
        if self.hidden == "last":
            parts.append(Part("hidden", (depth,), width))
        if self.hidden == "mapped":
            parts.append(Part("hidden", (0, *uniform(self.layer_map, depth)), width))
        if self.attentions:
            parts.append(Part("attentions", uniform(self.layer_map, depth), heads))
        return parts


def _rows(
    teacher: PreTrainedModel, run: Run, parts: Mapping[Kind, Part]
) -> Iterator[tuple[int, dict[Kind, Tensor]]]:
    """Yield every example's position and its states without padding."""
    import torch

    from methods.distillation.observe import observe
    from tasks.batches import in_order

    # Asked for once: it is gathered anew from all examples.
    lengths = run.train.lengths
    for batch in in_order(run.train, batch_size=32):
        with torch.inference_mode():
            seen = observe(teacher, batch.to(run.device), parts.values())
        for place, position in enumerate(batch.positions.tolist()):
            tokens = int(lengths[position])
            yield (
                position,
                {
                    kind: seen[kind][place][tuple(map(slice, part.shape(tokens)))]
                    for kind, part in parts.items()
                },
            )
