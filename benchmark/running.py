"""Running the missing nodes of a job on Ray, with a progress line and MLflow's mirror."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from benchmark.cluster.watching import Watchers
from benchmark.interrupts import Interrupts
from benchmark.plan.job import Job
from benchmark.plan.plan import Node
from benchmark.plan.queue import Queue
from benchmark.progress import Progress
from benchmark.tracking import Session
from methods.study import Study


def run_nodes(
    job: Job,
    missing: Mapping[str, Node],
    console: Console,
    wait: float,
    session: Session | None,
    interrupts: Interrupts,
) -> None:
    """Run nodes on the connected cluster once it has room for them.

    Args:
        job: what they belong to.
        missing: the nodes by fingerprint.
        console: gets the progress line.
        wait: seconds until room must have been made.
        session: mirrors them to MLflow; None for no mirror.
        interrupts: what signals have come.

    Raises:
        BadInput: there is no room, or a node of the cluster does not see the store.
        Interrupted: a signal came.
    """
    from benchmark.cluster import cluster, ray_tune

    # Where no node is missing, latency is, for which the sweep's own resources are enough.
    requests = job.requests(missing.values()) or {"resources": job.sweep.resources}
    slots = cluster.wait_for(requests, wait, console.print)
    if cluster.is_several():
        cluster.check_store(job.store)
    if not missing:
        return
    cached = len(job.plan.targets - missing.keys())
    # Records that stand where new ones are to appear: those that do not count, and those without weights.
    replaced = {key: one.ended for key, one in job.store.scan(missing).records.items()}
    for together in _apart(missing):
        queue = Queue(together)
        with Progress(console, queue, cached, slots) as progress:
            watcher = Watchers(progress, session) if session else progress
            ray_tune.run(
                queue,
                job.assignment,
                store=job.store,
                replaced=replaced,
                slots=slots,
                watcher=watcher,
                interrupts=interrupts,
            )


def _apart(missing: Mapping[str, Node]) -> list[dict[str, Node]]:
    """Nodes that may run together, and after them, each for itself, those that measure time."""
    alone = {key for key, node in missing.items() if isinstance(node.work, Study) and node.work.alone}
    together = {key: node for key, node in missing.items() if key not in alone}
    return [group for group in (together, *({key: missing[key]} for key in alone)) if group]
