"""The plan on Ray Tune: a searcher hands out nodes whose prerequisites are done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from benchmark.cluster.actor import TrialActor
from benchmark.cluster.tune_callback import Attempt, TuneCallback, Unsaved
from benchmark.cluster.watching import Watcher
from benchmark.interrupts import Interrupts
from benchmark.plan.plan import Node
from benchmark.plan.queue import Queue
from benchmark.store.store import Store
from benchmark.trial.assignment import Assignment, Outcome

# Tune's controller slows with every trial it keeps; larger plans are consecutive runs in one Ray session.
TRIALS_PER_RUN = 2000


def run(
    queue: Queue,
    assign: Callable[[Node, str], Assignment],
    *,
    store: Store,
    slots: int,
    watcher: Watcher,
    interrupts: Interrupts,
    replaced: Mapping[str, float] | None = None,
) -> None:
    """Run every node of the queue; on return each is done or failed.

    Args:
        queue: the nodes.
        assign: makes the assignment of a node for the attempt so named.
        store: where workers leave records.
        slots: trials that fit on the cluster at once.
        watcher: is told what happens.
        interrupts: what signals have come; looked at several times a second.
        replaced: when the records ended, by fingerprint, in whose place new ones are to appear.

    Raises:
        BadInput: a record was written where nobody else sees it.
        Interrupted: a signal came.
    """
    # With a searcher Tune keeps a single pending trial unless told otherwise, and slots stand idle.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(4, 3 * slots))
    callback = TuneCallback(queue, store, watcher, interrupts, replaced or {})
    try:
        _run_all(queue, assign, callback, interrupts)
    finally:
        callback.close()


def _run_all(
    queue: Queue, assign: Callable[[Node, str], Assignment], callback: TuneCallback, interrupts: Interrupts
) -> None:
    while not queue.finished:
        searcher = PlanSearcher(queue, assign, callback)
        with interrupts.at_checks_only(), tempfile.TemporaryDirectory(prefix="leanboard-tune-") as folder:
            tune.Tuner(
                TrialActor,
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    num_samples=-1,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=tune.RunConfig(
                    name="trials",
                    storage_path=folder,
                    verbose=0,
                    callbacks=[callback],
                    failure_config=tune.FailureConfig(max_failures=0),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False, checkpoint_frequency=0),
                ),
            ).fit()


class PlanSearcher(Unsaved, Searcher):
    """Hands out nodes whose prerequisites are done; says `FINISHED` when none is left or its share is."""

    def __init__(
        self, queue: Queue, assign: Callable[[Node, str], Assignment], callback: TuneCallback
    ) -> None:
        super().__init__()
        self.queue = queue
        self.assign = assign
        self.callback = callback
        self.handed_out = 0

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the settings of the next trial, None while none is ready, or FINISHED.

        Without any trial Tune asks here every second for ten minutes and calls no callback meanwhile.
        """
        self.callback.look()
        if self.queue.finished or self.handed_out >= TRIALS_PER_RUN:
            return Searcher.FINISHED
        node = self.queue.take()
        if node is None:
            return None
        self.handed_out += 1
        attempt = Attempt.of(node)
        self.callback.began(attempt)
        assignment = self.assign(node, attempt.id)
        return {
            "attempt": attempt.id,
            "assignment": assignment.model_dump_json(),
            "cpu": assignment.cpu,
            "gpu": assignment.gpu,
            "mailbox": self.callback.mailbox_name,
        }

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Take in a result; a dead worker is the callback's matter, which sees the exception."""
        if result and not error:
            self.callback.ended(Outcome.from_result(result))

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""
