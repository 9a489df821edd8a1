"""Replay memory: the last transitions, in a ring."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

CAPACITY = 5000


class Transitions(NamedTuple):
    """A number of transitions, each field with them as its first dimension."""

    states: Tensor
    """fp32, shape (n, heads)."""
    actions: Tensor
    """int64: the head removed, or as many as there are heads for stopping; shape (n,)."""
    rewards: Tensor
    """fp32, shape (n,)."""
    next_states: Tensor
    """Zeros where the episode ended; shape (n, heads)."""
    done: Tensor
    """Whether the episode ended, shape (n,)."""


class Replay:
    """The last `capacity` transitions; the oldest is overwritten first."""

    def __init__(self, heads: int, capacity: int = CAPACITY) -> None:
        self.pushed = 0
        """Transitions seen so far."""
        self.kept = Transitions(
            states=torch.zeros(capacity, heads),
            actions=torch.zeros(capacity, dtype=torch.long),
            rewards=torch.zeros(capacity),
            next_states=torch.zeros(capacity, heads),
            done=torch.zeros(capacity, dtype=torch.bool),
        )

    def __len__(self) -> int:
        return min(self.pushed, len(self.kept.done))

    def push(self, state: Tensor, action: int, reward: float, next_state: Tensor | None) -> None:
        """Keep one transition; `next_state` is None at the end of an episode."""
        place = self.pushed % len(self.kept.done)
        self.kept.states[place] = state
        self.kept.actions[place] = action
        self.kept.rewards[place] = reward
        self.kept.next_states[place] = 0 if next_state is None else next_state
        self.kept.done[place] = next_state is None
        self.pushed += 1

    def sample(self, count: int, rng: np.random.Generator) -> Transitions:
        """Draw transitions uniformly, none twice."""
        chosen = torch.from_numpy(rng.choice(len(self), count, replace=False))
        return Transitions(*(field[chosen] for field in self.kept))

    def state_dict(self) -> dict[str, Tensor | int]:
        """What `load_state_dict` takes."""
        return {"pushed": self.pushed} | {
            name: field[: len(self)] for name, field in self.kept._asdict().items()
        }

    def load_state_dict(self, saved: dict[str, Tensor | int]) -> None:
        """Hold what another memory of this shape held."""
        self.pushed = int(saved["pushed"])
        for name, field in self.kept._asdict().items():
            field[: len(self)] = saved[name]
