"""What is cached of a teacher's inner states, and how much room it takes. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["cls", "hidden", "attentions"]
Dtype = Literal["bf16", "fp32"]

BYTES: dict[Dtype, int] = {"bf16": 2, "fp32": 4}

_POWER = {"cls": 0, "hidden": 1, "attentions": 2}
"""How often the number of tokens is a dimension of an example's row."""


@dataclass(frozen=True)
class Part:
    """One kind of state: of which layers, and how wide."""

    kind: Kind
    layers: tuple[int, ...]
    """Counted from 1; 0 is the embeddings."""
    width: int
    """The hidden size; of attention scores the number of heads."""

    def shape(self, tokens: int) -> tuple[int, ...]:
        """An example's row: (layers, width), (layers, tokens, width) or (layers, heads, tokens, tokens)."""
        tail = {"cls": (self.width,), "hidden": (tokens, self.width)}
        return (len(self.layers), *tail.get(self.kind, (self.width, tokens, tokens)))

    def offsets(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where each example's row begins, in numbers, and where the last one ends."""
        sizes = len(self.layers) * self.width * lengths ** _POWER[self.kind]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def total_bytes(parts: Iterable[Part], lengths: NDArray[np.int64], dtype: Dtype) -> int:
    """Bytes that the states of examples of these `lengths` take."""
    return sum(int(part.offsets(lengths)[-1]) * BYTES[dtype] for part in parts)
