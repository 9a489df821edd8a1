"""Hard-concrete gates: random factors that are exactly 0 or 1 with some probability, and can be learnt."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from methods.fit import cross_entropy
from methods.pruning.gates import head_gates
from tasks.batches import Batch

GAMMA, ZETA = -0.1, 1.1
"""The ends of the interval to which the concrete distribution is stretched before it is clipped to [0, 1]."""
EPSILON = 1e-6
OPEN = 2.0
"""Where `log_a` starts: gates nearly open, as the model they are put into has learnt without them."""

_GROWTH = 1.05
_ANNEALED = 0.8


@dataclass
class HardConcrete:
    """One gate per element of `log_a` (Louizos et al., ICLR 2018; Voita et al., ACL 2019, section 6)."""

    log_a: Tensor
    """Any shape; the location, high where a gate is open."""
    beta: float
    """Temperature: 2/3 in Louizos et al., 0.33 in the code of Voita et al."""

    def sample(self) -> Tensor:
        """Draw every gate once, in [0, 1], differentiable in `log_a`."""
        u = torch.empty_like(self.log_a).uniform_(EPSILON, 1 - EPSILON)
        s = torch.sigmoid((u.log() - (1 - u).log() + self.log_a) / self.beta)
        return _stretched(s)

    def open_probability(self) -> Tensor:
        """P(gate is not 0), in the shape of `log_a`; its sum is the penalty L_C, the expected open gates."""
        return torch.sigmoid(self.log_a - self.beta * math.log(-GAMMA / ZETA))

    def without_noise(self) -> Tensor:
        """Return the gates of test time; 0 where log_a <= ln(-gamma / zeta) = -2.398."""
        return _stretched(torch.sigmoid(self.log_a))


def _stretched(s: Tensor) -> Tensor:
    return (s * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


class GateTraining:
    """A training loss under which head gates close until a number of heads is left.

    The loss is cross-entropy + weight * L_C. So that training ends at `target` open heads, the expected
    number that is allowed falls linearly to it over the first 80 % of the steps; at every step the weight
    grows by a twentieth while more are open, and shrinks by as much while fewer are. Few steps may not get
    there; which heads go is then decided by the order of `log_a`.

    Gates have an optimiser of their own, Adam. Its step is taken at the next call, on the gradient that the
    training loop's backward pass has left; `close` takes the last one.
    """

    def __init__(
        self, gates: HardConcrete, *, target: int, steps: int, weight: float, learning_rate: float
    ) -> None:
        """Prepare.

        Args:
            gates: their `log_a`, of shape (distinct layers, heads), is made to require gradients.
            target: heads to be left open.
            steps: optimiser steps there will be.
            weight: lambda, the penalty's first weight; 0 stays 0.
            learning_rate: of `log_a`.
        """
        self.gates = gates
        self.target = target
        self.steps = steps
        self.weight = weight
        self._adam = torch.optim.Adam([gates.log_a.requires_grad_()], lr=learning_rate)
        self._first = float(gates.open_probability().sum().detach())
        self._step = 0

    def __call__(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        """Return the loss of a batch; one draw of the gates serves all its examples."""
        self._learn()
        with head_gates(model, self.gates.sample()):
            loss = cross_entropy(model, batch)
        penalty = self.gates.open_probability().sum()
        self._adapt(float(penalty.detach()))
        return loss + self.weight * penalty

    def close(self) -> None:
        """Take the last step of the gates, after training."""
        self._learn()
        self.gates.log_a.requires_grad_(False)

    def _learn(self) -> None:
        if self.gates.log_a.grad is not None:
            self._adam.step()
            self._adam.zero_grad()

    def _adapt(self, opened: float) -> None:
        self._step += 1
        progress = min(1.0, self._step / (_ANNEALED * self.steps))
        allowed = self._first + (self.target - self._first) * progress
        self.weight *= _GROWTH if opened > allowed else 1 / _GROWTH
