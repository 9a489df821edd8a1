"""One run of a sweep as MLflow sees it: a mirror while it works, nothing at all when everything is shown."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.plan.plan import Node
from benchmark.store.store import Store
from benchmark.tracking import state
from benchmark.tracking.mirror import Mirror
from benchmark.tracking.run_identity import RunIdentity
from benchmark.tracking.tracking_store import TrackingStore
from benchmark.trial.assignment import Outcome
from reports.record import Failure, Record

if TYPE_CHECKING:
    from benchmark.cluster.actor import Message
    from benchmark.studies import PublishedStudy
    from benchmark.tracking.runs import Live
    from reports.board import Leaderboard, Links


class Session:
    """Passes what happens on to the mirror; a `watching.Watcher`."""

    def __init__(self, store: Store, identity: RunIdentity) -> None:
        self.tracking = TrackingStore.of(store.url)
        self.identity = identity
        self.store = store
        self.mirror: Mirror | None = None

    def start(self) -> None:
        """Begin to mirror; call it when the driver's heavy imports are done."""
        self.mirror = Mirror(self.tracking, self.identity, self.store)
        self.mirror.start()

    def started(self, node: Node) -> None:
        """A node was handed out."""
        if self.mirror:
            self.mirror.started(node.fingerprint, node.label, node.task, node.seed, node.params)

    def ended(self, node: Node, outcome: Outcome) -> None:
        """A node is done or has failed."""
        if self.mirror is None:
            return
        # What a slow file system or an outage hides now is shown by `finish`. An exception here would reach
        # Tune, which would take the node, whatever became of it, for one whose worker died.
        with contextlib.suppress(ValueError, OSError):
            if outcome.status == "done":
                self.mirror.finished(self.store.parse(node.fingerprint))
            elif failure := self.store.failure(node.fingerprint, outcome.attempt):
                self.mirror.failed(failure)

    def lost(self, node: Node) -> None:
        """A node's worker died; when it is handed out again a new run takes the place of this attempt's."""

    def metrics(self, messages: list[Message]) -> None:
        """Live metrics came in."""
        if self.mirror is None:
            return
        # A resumed node reports its whole curve at once, more than the queue holds; group it by node.
        reports: defaultdict[str, list[Live]] = defaultdict(list)
        for fingerprint, step, metrics, at in messages:
            reports[fingerprint].append((step, metrics, at))
        for fingerprint, found in reports.items():
            self.mirror.metrics(fingerprint, found)

    def tick(self) -> None:
        """Nothing to do: the mirror has a thread of its own."""

    def links(self, pairs: Iterable[tuple[str, str]]) -> Links:
        """Addresses of the summary runs of (label, task), where a server holds them."""
        if self.mirror:
            return self.mirror.links(pairs)
        return state.links(self.store, self.tracking, self.identity)

    def finish(
        self,
        records: Sequence[Record],
        failures: Sequence[Failure],
        board: Leaderboard,
        folder: Path,
        studies: Sequence[PublishedStudy] = (),
    ) -> str:
        """Make MLflow show everything; return a warning for the user, empty if it does.

        When nothing ran and MLflow was last seen to hold all of it, MLflow is not even imported.
        """
        if self.mirror is None:
            outcomes: list[Record | Failure] = [*records, *failures]
            if state.in_sync(self.store, self.tracking, self.identity, outcomes, board, studies):
                return ""
            self.start()
        assert self.mirror is not None
        self.mirror.replay(records, failures)
        self.mirror.published(board, folder, studies)
        return self.mirror.close().warning

    def paused(self) -> AbstractContextManager[None]:
        """Write nothing for the time of the block."""
        return self.mirror.paused() if self.mirror else contextlib.nullcontext()

    def interrupt(self) -> None:
        """Write what is waiting, briefly, and mark the sweep as stopped."""
        if self.mirror:
            self.mirror.close(timeout=10, interrupted=True)
