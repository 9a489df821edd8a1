"""What a plan will take: seconds from what the store has measured, bytes from the sizes of model and data."""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from benchmark.plan.plan import Node, Plan
from methods.method import Prerequisite, Size
from methods.pretrained import Source
from reports.record import Record
from tasks.splits import held_out


@dataclass(frozen=True)
class Estimate:
    """The size of the work that is left."""

    seconds: float | None
    """Worker seconds; None before anything like it has been measured."""
    disk_bytes: int
    """Weights that will be kept, because other nodes start from them."""
    cache_bytes: int
    """Outputs and states of teachers that will be kept, at most."""


def estimate(
    missing: Mapping[str, Node], records: Iterable[Record], kept: set[str], size: Callable[[Node], Size]
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
    disk = cache = 0
    for key, node in missing.items():
        if key in kept:
            own = node.work.disk_bytes(size(node))
            # What a sweep shares are encoders; prerequisites of a task and seed keep what teachers say.
            if isinstance(node.work, Prerequisite):
                cache += own
            else:
                disk += own
    return Estimate(total if known and unit is not None else None, disk, cache)


def sizes(plan: Plan, model: Source) -> Callable[[Node], Size]:
    """Return what is known of each node's data and encoder without reading or loading them.

    Rows are a task's official ones, tokens the most a text may have; what is not known counts as nothing.
    """
    layers, hidden, heads = model.layers() or 0, model.hidden(), model.heads()
    weights = model.weight_bytes()

    def size(node: Node) -> Size:
        task, context = plan.tasks.get(node.task), plan.context
        limit = context.limit_of(node.task)
        rows = min(task.rows.get("train", limit or 0), limit or sys.maxsize) if task else 0
        return Size(
            examples=max(0, rows - held_out(context.selection, rows)),
            tokens=context.training_of(node.work).max_length,
            layers=layers,
            hidden=hidden,
            heads=heads,
            classes=len(task.labels) if task else 0,
            weights=weights,
        )

    return size
