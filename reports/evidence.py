"""What the runs on one task say: scores by seed, and the same scores under resampled examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reports.board import TaskFacts
from reports.decisions import Decisions
from reports.metrics import METRICS, Floats
from reports.record import Record, trial_name
from reports.statistics.replicates import generator, replicate


@dataclass(frozen=True)
class Cell:
    """The finished runs of one label on one task, by seed.

    Attributes:
        records: by seed, ascending.
        scores: primary metric in points by seed.
        replicates: the same under each draw of the examples, shape (r,) by seed.
        correct: whether each example is classified correctly, shape (n,) by seed.
    """

    records: dict[int, Record] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)
    replicates: dict[int, Floats] = field(default_factory=dict)
    correct: dict[int, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def collapsed(self) -> list[int]:
        """Seeds whose model gives degenerate predictions on validation."""
        return [seed for seed, r in self.records.items() if r.collapsed]

    @property
    def teacher_collapsed(self) -> list[int]:
        """Seeds whose start model had collapsed."""
        return [s for s, r in self.records.items() if r.teacher_collapsed]


@dataclass(frozen=True)
class Evidence:
    """All runs on one task.

    Attributes:
        examples: number of validation examples, 0 without a run.
        majority: best primary score of a constant predictor in points; None without a run.
        cells: by label.
    """

    task: TaskFacts
    examples: int
    majority: float | None
    cells: dict[str, Cell]


def gather(
    task: TaskFacts,
    records: Mapping[str, Mapping[int, Record]],
    decisions: Callable[[Record], Decisions],
    replicates: int,
) -> Evidence:
    """Score all runs of a task under the same draws of its examples.

    Args:
        task: the task.
        records: by label and seed.
        decisions: reads what a record's model decides.
        replicates: number of draws.

    Raises:
        ValueError: two runs were scored on different examples.
    """
    runs = [(label, seed) for label, seeds in records.items() for seed in sorted(seeds)]
    cells = {label: Cell() for label in records}
    if not runs:
        return Evidence(task, 0, None, cells)
    first: Decisions | None = None
    predicted = []
    for label, seed in runs:
        own = decisions(records[label][seed]).in_order()
        first = first or own
        if not own.same_examples(first):
            one, other = (trial_name(name, task.name, number) for name, number in ((label, seed), runs[0]))
            raise ValueError(f"{one} was scored on other examples than {other}")
        predicted.append(own.classes)
    assert first is not None
    labels, classes = first.labels, first.count
    drawn = replicate(
        labels,
        np.stack(predicted),
        task.primary,
        classes=classes,
        rng=generator(task.name),
        replicates=replicates,
    )
    for column, (label, seed) in enumerate(runs):
        cell = cells[label]
        cell.records[seed] = records[label][seed]
        cell.scores[seed] = 100 * records[label][seed].scores[task.primary]
        cell.replicates[seed] = drawn[:, column]
        cell.correct[seed] = predicted[column] == labels
    return Evidence(task, len(labels), _majority(labels, classes, task.primary), cells)


def _majority(labels: NDArray, classes: int, metric: str) -> float:
    counts = np.bincount(labels, minlength=classes).astype(float)
    constant = np.zeros((classes, classes, classes))  # predictor, gold, predicted
    constant[np.arange(classes), :, np.arange(classes)] = counts
    return 100 * float(METRICS[metric](constant).max())
