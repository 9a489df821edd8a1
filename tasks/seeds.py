"""Seeds by axis, so that methods that share a seed share split, data order and start."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Seeds:
    """Independent 31-bit seeds derived from one sweep seed."""

    order: int
    """Order of training examples."""
    init: int
    """New weights: classifier heads, projections."""
    split: int
    """Train and selection splits, and the sample that `limit` takes."""
    dropout: int
    """Dropout masks and everything else drawn while training."""

    @classmethod
    def derive(cls, seed: int) -> Seeds:
        """Derive every axis from `seed`; axes are independent of one another."""
        return cls(**{axis: _derive(seed, axis) for axis in cls.__dataclass_fields__})

    def redrawn(self, draw: int) -> Seeds:
        """Seeds of another draw on the same split; draw 0 is this one."""
        if draw == 0:
            return self
        axes = ("order", "init", "dropout")
        return replace(self, **{axis: _derive(getattr(self, axis), f"{axis}/{draw}") for axis in axes})


def _derive(seed: int, axis: str) -> int:
    digest = hashlib.sha256(f"leanboard/{axis}/{seed}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
