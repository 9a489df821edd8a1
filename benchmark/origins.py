"""Trials whose start model has been replaced since by one that came out different."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from benchmark.fingerprint import fingerprint
from reports.record import Record


def result_digest(record: Record) -> str:
    """Digest of the files that other nodes start from: equal weights have an equal one."""
    return fingerprint(
        {role: file.sha256 for role, file in record.files.items() if role.startswith("result/")}
    )


def replaced(records: Iterable[Record]) -> list[str]:
    """Return a sentence for every label of a prerequisite that trials started from and that is another now.

    A fingerprint says how a start model is made. Made again on a GPU, on another processor or by other code
    it may come out different, and trials of both starts would then be compared as if they had one.

    Args:
        records: of the sweep's nodes. Those written before origins were kept are taken to be in order.
    """
    by_key = {record.fingerprint: record for record in records}
    trials: defaultdict[str, list[str]] = defaultdict(list)
    for record in by_key.values():
        for key, digest in record.origins.items():
            if key in by_key and result_digest(by_key[key]) != digest:
                trials[by_key[key].label].append(f"{record.label}.{record.task}.{record.seed}")
    return [
        f"{len(names)} trials, {names[0]} for one, started from a {label} that has been made again since and "
        f"came out different; --rerun {label} makes all of them again."
        for label, names in trials.items()
    ]
