"""What a plan will take: seconds from what the store has measured, bytes from the size of the model."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmark.plan import Node
from reports.record import Record


@dataclass(frozen=True)
class Estimate:
    """The size of the work that is left."""

    seconds: float | None
    """Worker seconds; None before anything like it has been measured."""
    disk_bytes: int
    """Weights that will be kept, because other nodes start from them."""


def estimate(
    missing: Mapping[str, Node], records: Iterable[Record], kept: set[str], model_bytes: int
) -> Estimate:
    """Estimate time and disk of the nodes that must run.

    A node takes as long as its like has taken: the same label and task, else the same task by `cost()`,
    else any task by `cost()`.
    """
    by_row: dict[tuple[str, str], list[float]] = defaultdict(list)
    for record in records:
        by_row[record.label, record.task].append(record.seconds.get("total", record.ended - record.started))
    known = {row: statistics.median(seconds) for row, seconds in by_row.items()}
    unit_by_task = {task: seconds for (label, task), seconds in known.items() if label == "finetune"}
    unit = statistics.median(unit_by_task.values()) if unit_by_task else None
    total = 0.0
    for node in missing.values():
        if (node.label, node.task) in known:
            total += known[node.label, node.task]
        elif unit is not None:
            total += node.work.cost() * unit_by_task.get(node.task, unit)
    disk = model_bytes * sum(1 for key in missing if key in kept)
    return Estimate(total if known and unit is not None else None, disk)
