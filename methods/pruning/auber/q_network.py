"""The Q network: what removing each head, or stopping, is expected to gain."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

WIDTH = 512
REMOVED_Q = -5.0
"""Value of removing a head that is gone."""


class QNetwork(nn.Module):
    """heads → 512 → 512 → 512 → heads + 1, LeakyReLU; the last action is to stop (official code).

    Two kinds of values are constants without gradient: heads already removed, whose entry of the state is 0,
    have -5, and stopping has `stop`, unless it is learnt.
    """

    def __init__(self, heads: int, *, stop: float | None, width: int = WIDTH) -> None:
        """Draw weights from torch's global random state.

        Args:
            heads: heads of the layer.
            stop: value of stopping; None learns it.
            width: of the hidden layers.
        """
        super().__init__()
        sizes = [heads, width, width, width]
        hidden: list[nn.Module] = []
        for before, after in pairwise(sizes):
            hidden += [nn.Linear(before, after), nn.LeakyReLU(0.01)]
        self.stack = nn.Sequential(*hidden, nn.Linear(width, heads + 1))
        self.stop = stop

    def forward(self, states: Tensor) -> Tensor:
        """Return values of shape (..., heads + 1) for states of shape (..., heads)."""
        values: Tensor = self.stack(states)
        heads, stop = values[..., :-1], values[..., -1:]
        heads = heads.masked_fill(states == 0, REMOVED_Q)
        return torch.cat([heads, stop if self.stop is None else torch.full_like(stop, self.stop)], dim=-1)
