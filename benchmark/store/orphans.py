"""Payload of attempts that were killed before their record: weights that nothing names and nobody removes."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping

from benchmark.store.store import Store
from reports.record import File, Record

GRACE_SECONDS = 3600.0
"""What an attempt gets beyond its deadline: clocks differ, and a slow disk holds a write back."""


def remove(store: Store, keys: Collection[str], records: Mapping[str, Record]) -> int:
    """Remove what killed attempts at some nodes have left; return how many there were.

    Two drivers on one store do no harm. An attempt in progress is younger than its own deadline, at which its
    worker ends itself, whichever driver handed it out. Where a record was replaced just now, somebody may
    still read the payload of the one before, so nothing of that node is touched either.

    Args:
        store: the output.
        keys: fingerprints of the nodes; others are left alone.
        records: the nodes' records as far as they are known; with them, a store in order is not read again.
    """
    now, removed = time.time(), 0
    for key, attempts in store.attempts(keys).items():
        if key in records and attempts <= _named(records[key].files.values()):
            continue
        record = store.read_json(f"records/{key}/record.json") or {}
        if now < record.get("ended", 0.0) + GRACE_SECONDS:
            continue
        # Not validated: of a newer version's record the paths are enough.
        named = _named(File.model_construct(**file) for file in record.get("files", {}).values())
        for attempt in attempts - named:
            started = store.started(key, attempt)
            # Without a note of its beginning nobody can say whose it is.
            if started and now > started["deadline"] + GRACE_SECONDS:
                store.discard(key, [attempt])
                removed += 1
    return removed


def _named(files: Iterable[File]) -> set[str]:
    """The attempts that wrote the files."""
    return {file.attempt for file in files}
