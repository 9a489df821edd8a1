"""The queue of a running plan: which node may start, which comes first, what a failure takes with it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from benchmark.plan.plan import Node

MAX_LOSSES = 2
"""How often a node whose worker was lost is handed out again."""


@dataclass
class Queue:
    """Nodes that must run; ready ones leave it, longest chain first."""

    nodes: Mapping[str, Node]
    running: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    """Kind of failure by fingerprint."""
    work_done: float = 0.0
    """`cost()` of the nodes that are done; kept here because the live line asks several times a second."""
    work_left: float = 0.0
    """`cost()` of the nodes that have not ended."""
    _waiting: dict[str, set[str]] = field(default_factory=dict)
    _ready: list[tuple[float, int, str]] = field(default_factory=list)
    _losses: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._priority = critical_path_costs(self.nodes)
        self._position = {key: number for number, key in enumerate(self.nodes)}
        self._dependants: dict[str, list[str]] = {}
        self.work_left = sum(node.work.cost() for node in self.nodes.values())
        for key, node in self.nodes.items():
            self._waiting[key] = {need for need in node.builds_on if need in self.nodes}
            for need in self._waiting[key]:
                self._dependants.setdefault(need, []).append(key)
            if not self._waiting[key]:
                self._push(key)

    def take(self) -> Node | None:
        """Hand out the ready node with the longest chain behind it; None while nothing is ready."""
        if not self._ready:
            return None
        key = heapq.heappop(self._ready)[2]
        self.running.add(key)
        return self.nodes[key]

    @property
    def finished(self) -> bool:
        """Whether every node is done or failed."""
        return len(self.done) + len(self.failed) == len(self.nodes)

    @property
    def waiting(self) -> int:
        """Number of nodes neither handed out nor ended."""
        return len(self.nodes) - len(self.running) - len(self.done) - len(self.failed)

    def ended(self, key: str) -> bool:
        """Whether a node is done or failed, which nothing that is told of it later changes."""
        return key in self.done or key in self.failed

    def complete(self, key: str) -> None:
        """A node is done: what waited for it may start."""
        self.running.discard(key)
        if self.ended(key):
            return
        self.done.add(key)
        self._end(key)
        self.work_done += self.nodes[key].work.cost()
        for other in self._dependants.get(key, ()):
            self._waiting[other].discard(key)
            if not self._waiting[other] and other not in self.failed:
                self._push(other)

    def lost(self, key: str) -> bool:
        """A node's worker died before its deadline: hand it out again, at most twice.

        False when it is given up, or has ended before.
        """
        self.running.discard(key)
        if self.ended(key):
            return False
        self._losses[key] = self._losses.get(key, 0) + 1
        if self._losses[key] > MAX_LOSSES:
            return False
        self._push(key)
        return True

    def fail(self, key: str, kind: str) -> list[Node]:
        """A node failed; return the nodes that now cannot run, failed with it as `prerequisite`."""
        self.running.discard(key)
        if self.ended(key):
            return []
        self.failed[key] = kind
        self._end(key)
        stranded = [other for other in self._below(key) if other not in self.failed]
        for other in stranded:
            self.failed[other] = "prerequisite"
            self._end(other)
        return [self.nodes[other] for other in stranded]

    def _end(self, key: str) -> None:
        self.work_left = max(0.0, self.work_left - self.nodes[key].work.cost())

    def _below(self, key: str) -> Iterable[str]:
        found: dict[str, None] = {}
        stack = list(self._dependants.get(key, ()))
        while stack:
            other = stack.pop()
            if other not in found:
                found[other] = None
                stack.extend(self._dependants.get(other, ()))
        return found

    def _push(self, key: str) -> None:
        # Equal chains start in the order of the plan, so two drivers do the same.
        heapq.heappush(self._ready, (-self._priority[key], self._position[key], key))


def critical_path_costs(nodes: Mapping[str, Node]) -> dict[str, float]:
    """Length of the longest chain of work that hangs on each node, itself included.

    Starting nodes with the largest value first keeps all slots busy to the end (critical-path scheduling).
    """
    chain = {key: node.work.cost() for key, node in nodes.items()}
    dependants: dict[str, list[str]] = {}
    for key, node in nodes.items():
        for need in node.builds_on:
            if need in nodes:
                dependants.setdefault(need, []).append(key)
    # Nodes stand after what they need, so one pass from the end suffices.
    for key in reversed(list(nodes)):
        chain[key] += max((chain[other] for other in dependants.get(key, ())), default=0.0)
    return chain
