"""Tokenised examples: flat arrays on disk, of which a split is a selection of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Examples:
    """Tokenised examples of one split; the flat arrays are shared by all splits drawn from one source."""

    ids: NDArray[np.int32]
    """Token ids of the whole source split, memory-mapped, without padding."""
    types: NDArray[np.uint8]
    """Token type ids, as long as `ids`."""
    offsets: NDArray[np.int64]
    """Row i of the source split is `ids[offsets[i]:offsets[i + 1]]`."""
    rows: NDArray[np.int64]
    """Row numbers in the source split, shape (n,)."""
    labels: NDArray[np.int64]
    """Class ids, shape (n,)."""
    pad_id: int
    inputs: tuple[str, ...]
    """Names of the tensors the model takes: `input_ids`, `token_type_ids`, `attention_mask`."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, special tokens included, shape (n,)."""
        return self.offsets[self.rows + 1] - self.offsets[self.rows]

    def subset(self, positions: NDArray[np.integer] | Sequence[int]) -> Examples:
        """Return the examples at `positions` (not row numbers), in that order."""
        chosen = np.asarray(positions, dtype=np.int64)
        return replace(self, rows=self.rows[chosen], labels=self.labels[chosen])

    def sample(self, count: int, seed: int) -> Examples:
        """Return all examples, or `count` of them drawn by `seed`, in the order of the split."""
        if len(self) <= count:
            return self
        return self.subset(np.sort(np.random.default_rng(seed).choice(len(self), count, replace=False)))
