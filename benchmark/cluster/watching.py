"""Who is told what happens while nodes run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from benchmark.cluster.actor import Message
    from benchmark.plan.plan import Node
    from benchmark.trial.assignment import Outcome


class Watcher(Protocol):
    """Who is told what happens, on the driver's main thread."""

    def started(self, node: Node) -> None:
        """A node was handed out."""

    def ended(self, node: Node, outcome: Outcome) -> None:
        """A node is done or has failed."""

    def lost(self, node: Node) -> None:
        """A node's worker died and the node is handed out again."""

    def metrics(self, messages: list[Message]) -> None:
        """Live metrics came in."""

    def tick(self) -> None:
        """Called several times a second while trials run."""


class Watchers:
    """Several in one, such as the progress line and MLflow's mirror."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def started(self, node: Node) -> None:
        """Tell all."""
        for watcher in self._watchers:
            watcher.started(node)

    def ended(self, node: Node, outcome: Outcome) -> None:
        """Tell all."""
        for watcher in self._watchers:
            watcher.ended(node, outcome)

    def lost(self, node: Node) -> None:
        """Tell all."""
        for watcher in self._watchers:
            watcher.lost(node)

    def metrics(self, messages: list[Message]) -> None:
        """Tell all."""
        for watcher in self._watchers:
            watcher.metrics(messages)

    def tick(self) -> None:
        """Tell all."""
        for watcher in self._watchers:
            watcher.tick()
