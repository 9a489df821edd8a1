"""Episodes of one layer: heads go one by one until the agent stops; the reward is what the metric gains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor

from methods.pruning.auber.agent import SYNC_EPISODES, Agent

Heads = frozenset[int]
"""Heads removed, as positions among the heads the layer had."""
Measure = Callable[[Sequence[Heads]], Sequence[float]]
"""The metric, a fraction, with each of these sets removed."""


class Step(NamedTuple):
    """One choice of the agent."""

    state: Tensor
    action: int
    next_state: Tensor | None
    """None where the agent stopped."""
    removed: Heads
    """Heads gone afterwards."""


class Environment:
    """Where an agent prunes one layer.

    What the agent does depends on the state alone, and the state on what was removed: an episode is played
    to its end first, then the metrics it lacks are measured together. A set of heads is measured once.
    """

    def __init__(self, state: Tensor, measure: Measure) -> None:
        """Start with no head removed.

        Args:
            state: the layer's initial state, shape (heads,).
            measure: measures sets of heads it has not measured before.
        """
        self.initial = state
        self.metrics: dict[Heads, float] = {}
        """Every set measured, the first first."""
        self._measure = measure

    def rollout(self, choose: Callable[[Tensor], int]) -> list[Step]:
        """Play an episode: the state is never recomputed, the entry of a removed head becomes 0."""
        state, removed = self.initial, Heads()
        steps: list[Step] = []
        while (action := choose(state)) < len(state):
            after = state.clone()
            after[action] = 0
            removed |= {action}
            steps.append(Step(state, action, after, removed))
            state = after
        return [*steps, Step(state, action, None, removed)]

    def rewards(self, steps: Sequence[Step]) -> list[float]:
        """100 times the change of the metric for each step; 0 for stopping."""
        course = [self.metric(removed) for removed in self._known([Heads(), *(s.removed for s in steps)])]
        return [100 * (after - before) for before, after in pairwise(course)]

    def metric(self, removed: Heads) -> float:
        """The metric with these heads removed."""
        self._known([removed])
        return self.metrics[removed]

    def gain(self, removed: Heads) -> float:
        """100 times what the metric gains by removing these heads: the sum of an episode's rewards."""
        return 100 * (self.metric(removed) - self.metric(Heads()))

    def best(self) -> Heads:
        """The set of highest metric so far, the first measured among equals."""
        return max(self.metrics, key=lambda removed: self.metrics[removed])

    def state_dict(self) -> dict[str, Any]:
        """What was measured, for `torch.save`."""
        return {"metrics": [(sorted(removed), metric) for removed, metric in self.metrics.items()]}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Remember what another environment of this layer measured."""
        self.metrics = {frozenset(removed): metric for removed, metric in saved["metrics"]}

    def _known(self, wanted: list[Heads]) -> list[Heads]:
        """Measure what is not known yet and return what was wanted."""
        if new := [removed for removed in dict.fromkeys(wanted) if removed not in self.metrics]:
            self.metrics |= zip(new, self._measure(new), strict=True)
        return wanted


def play(agent: Agent, environment: Environment, episode: int) -> list[Step]:
    """Play one episode and learn from it: one update, and a new target network in every 35th, from 0."""
    steps = environment.rollout(agent.act)
    for step, reward in zip(steps, environment.rewards(steps), strict=True):
        agent.replay.push(step.state, step.action, reward, step.next_state)
    agent.learn()
    if episode % SYNC_EPISODES == 0:
        agent.sync()
    return steps
