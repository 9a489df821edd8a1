"""Which records `--rerun` makes again, remembered in the store until they have been made."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.plan.job import Job
from tasks.errors import BadInput, did_you_mean

FILE = "rerun.json"


def to_make_again(job: Job, labels: Sequence[str], *, remember: bool = True) -> dict[str, float]:
    """Return the records to make again, as `ended` by fingerprint: those of the labels and all built on them.

    Records stay until their successors are written over them. A command that is given again after a kill
    makes what is left; given again after that, it makes all of them again.

    Args:
        job: the sweep.
        labels: of rows, studies or prerequisites; none leaves the store untouched.
        remember: write it down, since it is about to be done.

    Raises:
        BadInput: a label is none of the sweep's.
    """
    known = {node.label for node in job.plan.nodes.values()}
    for label in labels:
        if label not in known:
            raise BadInput(f"--rerun {label}: no such label in this sweep; {did_you_mean(label, known)}")
    if not labels:
        return {}
    again: set[str] = set()
    for key, node in job.plan.nodes.items():  # Prerequisites come before what needs them.
        if node.label in labels or again.intersection(node.builds_on):
            again.add(key)
    ended = {key: record.ended for key, record in job.store.scan(again).records.items()}
    before = job.store.read_json(FILE) or {}
    # Of the same trials: what a command for one task has left says nothing of the others.
    if before.get("labels") == sorted(labels) and before.get("again") == sorted(again):
        left = {key: ended[key] for key, was in before["ended"].items() if ended.get(key) == was}
        if left:
            return left
    if remember:
        job.store.write_json(FILE, {"labels": sorted(labels), "again": sorted(again), "ended": ended})
    return ended
