"""The DQN agent of AUBER (Mnih et al., Nature 2015, with the settings of AUBER's official code).

The loop is torch's own: an environment whose reward can wait until the end of an episode, a fresh agent for
every layer, one update an episode and a state that must survive a kill take more lines as adapters of an RL
library than as what they are.
"""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.pruning.auber.q_network import WIDTH, QNetwork
from methods.pruning.auber.replay import Replay
from methods.random_state import seeded

BATCH = 128
DISCOUNT = 1.0
LEARNING_RATE, MOMENTUM = 0.03, 0.9
FIRST_EPSILON, LAST_EPSILON, EPSILON_DECAY = 1.0, 0.05, 256
SYNC_EPISODES = 35
"""Episodes between copies of the policy into the target network."""


def epsilon(actions: int) -> float:
    """Share of random actions after a number of actions: from 1 towards 0.05."""
    return LAST_EPSILON + (FIRST_EPSILON - LAST_EPSILON) * math.exp(-actions / EPSILON_DECAY)


class Agent:
    """Chooses heads to remove, and learns from what that gained; fresh for every layer.

    Its states are of shape (heads,), 0 where a head is gone. Actions 0 to heads - 1 remove a head, action
    `heads` stops. The last head is never removed: with one left every choice is to stop.
    """

    def __init__(self, heads: int, *, stop: float | None, seed: list[int], width: int = WIDTH) -> None:
        """Draw a policy network; nothing reads or changes global random state.

        Args:
            heads: heads of the layer.
            stop: Q of stopping; None learns it.
            seed: decides weights, exploration and what is replayed.
            width: of the network's hidden layers.
        """
        self.heads = heads
        self.rng = np.random.default_rng(seed)
        with seeded(int(self.rng.integers(2**31))):
            self.policy = QNetwork(heads, stop=stop, width=width)
        self.target = copy.deepcopy(self.policy)
        self.optimizer = torch.optim.SGD(self.policy.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
        self.replay = Replay(heads)
        self.actions = 0
        """Actions so far, the greedy ones left out."""
        self.updates = 0

    def act(self, state: Tensor) -> int:
        """Choose with exploration: a random action among those left with probability epsilon."""
        exploring = self.rng.random() < epsilon(self.actions)
        self.actions += 1
        if not exploring or _one_left(state):
            return self.greedy(state)
        allowed = [*torch.nonzero(state).flatten().tolist(), self.heads]
        return int(self.rng.choice(allowed))

    @torch.no_grad()
    def greedy(self, state: Tensor) -> int:
        """Choose the action of highest value among those left."""
        if _one_left(state):
            return self.heads
        values = self.policy(state)
        values[:-1].masked_fill_(state == 0, -math.inf)
        return int(values.argmax())

    def learn(self) -> None:
        """Take one optimisation step, once 128 transitions are there.

        Targets are r + max_a Q_target(s', a), or r at the end of an episode; as in the official code the
        maximum is over all actions, the removal of the last head included.
        """
        if len(self.replay) < BATCH:
            return
        batch = self.replay.sample(BATCH, self.rng)
        with torch.no_grad():
            ahead = self.target(batch.next_states).max(1).values.masked_fill(batch.done, 0.0)
        values = self.policy(batch.states).gather(1, batch.actions[:, None]).squeeze(1)
        loss = F.smooth_l1_loss(values, batch.rewards + DISCOUNT * ahead)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(self.policy.parameters(), 1.0)
        self.optimizer.step()
        self.updates += 1

    def sync(self) -> None:
        """Copy the policy into the target network."""
        self.target.load_state_dict(self.policy.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """All that decides what it will do, for `torch.save`."""
        return {
            "policy": self.policy.state_dict(),
            "target": self.target.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "replay": self.replay.state_dict(),
            "rng": json.dumps(self.rng.bit_generator.state),
            "actions": self.actions,
            "updates": self.updates,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on as the agent whose state was saved."""
        for part in ("policy", "target", "optimizer", "replay"):
            getattr(self, part).load_state_dict(saved[part])
        self.rng.bit_generator.state = json.loads(saved["rng"])
        self.actions, self.updates = saved["actions"], saved["updates"]


def _one_left(state: Tensor) -> bool:
    return int(torch.count_nonzero(state)) == 1
