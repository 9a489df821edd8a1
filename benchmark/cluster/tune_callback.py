"""What Tune reports, brought into the queue: results, dead workers, live metrics."""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.exceptions import OutOfMemoryError, RayTaskError

from benchmark.cluster.actor import Mailbox
from benchmark.cluster.watching import Watcher
from benchmark.interrupts import Interrupts
from benchmark.plan.plan import Node
from benchmark.plan.queue import Queue
from benchmark.store.files import log_name
from benchmark.store.store import Store
from benchmark.trial.assignment import Outcome
from reports.record import Failure, FailureKind
from tasks.errors import BadInput

_FETCH_SECONDS = 0.5
# How far a worker's clock may be ahead of the driver's.
_CLOCK_SECONDS = 5
_LOOK_SECONDS = 1.0
# How long a network file system may hide from the driver what a worker has written.
_APPEARS_SECONDS = 90


@dataclass
class Attempt:
    """One handing-out of a node."""

    node: Node
    id: str

    @classmethod
    def of(cls, node: Node) -> Attempt:
        """A new one."""
        return cls(node, uuid.uuid4().hex[:12])


class Unsaved:
    """Tune pickles what it is given for `Tuner.restore`; a sweep resumes from the store instead."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class TuneCallback(Unsaved, tune.Callback):
    """Brings what Tune reports into the queue and tells the watcher."""

    def __init__(
        self,
        queue: Queue,
        store: Store,
        watcher: Watcher,
        interrupts: Interrupts,
        replaced: Mapping[str, float],
    ) -> None:
        self.queue = queue
        self.store = store
        self.watcher = watcher
        self.interrupts = interrupts
        self.mailbox_name = f"leanboard-mailbox-{uuid.uuid4().hex}"
        self.mailbox = self._mailbox()
        self.attempts: dict[str, Attempt] = {}
        self.replaced = replaced
        self.unseen: list[tuple[Outcome, float]] = []
        """What workers say is done and has not appeared, and until when it may."""
        self._fetching: Any = None
        self._fetched = self._looked = 0.0

    def close(self) -> None:
        """Let go of everything in Ray, which may be shut down next."""
        self._fetching = self.mailbox = None

    def began(self, attempt: Attempt) -> None:
        """Take note of a node that is handed out."""
        self.attempts[attempt.id] = attempt
        self.watcher.started(attempt.node)

    def ended(self, outcome: Outcome) -> None:
        """Take in what a worker says; a record that has not appeared yet is looked for."""
        node = self.queue.nodes[outcome.fingerprint]
        if outcome.status == "done":
            if self._appeared(node):
                self._complete(outcome)
            else:
                self.unseen.append((outcome, time.monotonic() + _APPEARS_SECONDS))
            return
        stranded_by_it = self.queue.fail(outcome.fingerprint, outcome.kind)
        self.watcher.ended(node, outcome)
        for stranded in stranded_by_it:
            message = f"{node.name}, which it starts from, failed: {outcome.kind}"
            self.watcher.ended(stranded, self._failed(Attempt.of(stranded), "prerequisite", message))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker died: tell a timeout and a lack of memory from a lost node."""
        attempt = self.attempts[trial.config["attempt"]]
        node = attempt.node
        # Whatever went wrong after a node's end, in what is told of it for one, does not undo it.
        if self.queue.ended(node.fingerprint):
            return
        error = trial.get_pickled_error()
        try:
            if self._is_whole(attempt):
                # It died between writing its record and saying so.
                self.ended(Outcome(node.fingerprint, attempt.id, "done"))
                return
            started = self.store.started(node.fingerprint, attempt.id)
        except OSError:  # A store that cannot be reached knows nothing of it; Tune lets no exception through.
            started = None
        # The worker ends itself at the deadline, so one that died before it was killed by something else.
        if started and time.time() >= started["deadline"] - _CLOCK_SECONDS:
            kind: FailureKind = "timeout"
            message = f"ended after {started['deadline'] - started['started']:g} s (`timeout`)"
        elif isinstance(error, OutOfMemoryError):
            kind, message = "oom", f"Ray ended the worker for lack of memory: {error}"
        elif isinstance(error, RayTaskError):
            kind, message = "error", f"the worker could not begin: {error}"
        elif self.queue.lost(node.fingerprint):
            self.watcher.lost(node)
            return
        elif (known := self._written(attempt)) is not None:
            # It said why before it ended: a worker whose accelerator failed does.
            self.ended(Outcome(node.fingerprint, attempt.id, "failed", known.kind, known.message))
            return
        else:
            kind, message = "node_lost", f"its worker died three times, last with: {error}"
        self.ended(self._failed(attempt, kind, message, started))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Fetch live metrics now and then, never waiting for them."""
        now = time.monotonic()
        if self._fetching is None and now - self._fetched > _FETCH_SECONDS:
            self._fetching, self._fetched = self.mailbox.fetch.remote(), now
        if self._fetching is not None and ray.wait([self._fetching], timeout=0)[0]:
            try:
                self.watcher.metrics(ray.get(self._fetching))
            except ray.exceptions.RayActorError:
                self.mailbox = self._mailbox()  # Curves have a gap; results are untouched.
            self._fetching = None
        self.look()

    def look(self) -> None:
        """Do what must be done several times a second, whether trials run or not."""
        self.watcher.tick()
        self.interrupts.check()
        now = time.monotonic()
        if self.unseen and now - self._looked > _LOOK_SECONDS:
            self._looked = now
            self._look_for_unseen(now)

    def _look_for_unseen(self, now: float) -> None:
        """Take in what has appeared meanwhile, and stop for what has not in all its time.

        Nodes of the cluster that are there at the start are asked before (`cluster.check_store`); one that
        an autoscaler adds, or that loses its mount, shows here. Where a trial ends, Tune lets no exception
        through.
        """
        waiting, self.unseen = self.unseen, []
        for outcome, until in waiting:
            node = self.queue.nodes[outcome.fingerprint]
            if self._appeared(node):
                self._complete(outcome)
            elif now < until:
                self.unseen.append((outcome, until))
            elif not self.store.reachable():
                logging.getLogger(__name__).warning("%s does not answer; waiting for it", self.store.url)
                self.unseen.append((outcome, time.monotonic() + _APPEARS_SECONDS))
            elif self._appeared(node):  # It was there, behind an outage that is over.
                self._complete(outcome)
            else:
                self.store.probe()
                raise BadInput(
                    f"output {self.store.url}: the worker of {node.name} says it is done, but its record is "
                    "not there, so the node it ran on does not see this output; use a folder that all nodes "
                    "share or an object store, e.g. -o s3://bucket/runs, and run again"
                )

    def _complete(self, outcome: Outcome) -> None:
        self.queue.complete(outcome.fingerprint)
        self.watcher.ended(self.queue.nodes[outcome.fingerprint], outcome)

    def _appeared(self, node: Node) -> bool:
        """Whether the record of a node that is done is where this process sees it."""
        try:
            return self.store.holds(node.fingerprint, replaced=self.replaced.get(node.fingerprint))
        except OSError:  # Where a trial ends, Tune lets no exception through.
            return False

    def _written(self, attempt: Attempt) -> Failure | None:
        """The failure that the attempt itself wrote down, if it did."""
        with contextlib.suppress(OSError):
            return self.store.failure(attempt.node.fingerprint, attempt.id)
        return None

    def _is_whole(self, attempt: Attempt) -> bool:
        record = self.store.read(attempt.node.fingerprint)
        return record is not None and any(file.attempt == attempt.id for file in record.files.values())

    def _mailbox(self) -> Any:
        return Mailbox.options(  # type: ignore[attr-defined]
            name=self.mailbox_name, get_if_exists=True
        ).remote()

    def _failed(
        self, attempt: Attempt, kind: FailureKind, message: str, started: dict[str, Any] | None = None
    ) -> Outcome:
        """Write down a failure that no worker could write down itself."""
        now, node = time.time(), attempt.node
        log = self.store.path("logs", log_name(node.name)) if self.store.local else ""
        # A store that cannot be written keeps no note, which is no reason to end the others.
        with contextlib.suppress(OSError):
            self.store.fail(
                Failure(
                    fingerprint=node.fingerprint,
                    attempt=attempt.id,
                    label=node.label,
                    task=node.task,
                    seed=node.seed,
                    kind=kind,
                    message=message,
                    log=log,
                    started=started["started"] if started else now,
                    ended=now,
                )
            )
        return Outcome(node.fingerprint, attempt.id, "failed", kind, message)
