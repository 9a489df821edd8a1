"""Trials whose start model has been replaced since by one that came out different."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from benchmark.plan.fingerprint import fingerprint
from benchmark.store.store import has_result
from reports.record import Record


def result_digest(record: Record) -> str:
    """Digest of the files that other nodes start from: equal weights have an equal one."""
    return fingerprint({role: file.sha256 for role, file in record.result_files.items()})


def changed_start_models(records: Iterable[Record]) -> list[str]:
    """Return one warning per prerequisite whose current result differs from the one trials started from.

    A fingerprint says how a start model is made. Made again on a GPU, on another processor or by other code
    it may come out different, and trials of both starts would then be compared as if they had one.

    Args:
        records: of the sweep's nodes. Those written before origins were kept are taken to be in order.
    """
    by_key = {record.fingerprint: record for record in records}
    # In archives there are no weights, and nothing to compare.
    now = {key: result_digest(record) for key, record in by_key.items() if has_result(record)}
    trials: defaultdict[str, list[str]] = defaultdict(list)
    for record in by_key.values():
        for key, digest in record.origins.items():
            if now.get(key, digest) != digest:
                trials[by_key[key].label].append(record.name)
    return [
        f"Started from a {label} that has been made again since and came out different: {names[0]}"
        f"{f' and {len(names) - 1} more' if len(names) > 1 else ''}; --rerun {label} makes all of them again."
        for label, names in trials.items()
    ]
