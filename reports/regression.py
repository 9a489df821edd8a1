"""Regression between two nights: which cells got worse, and whether fresh seeds say so too.

**Suspicion.** The same trials (fingerprints) were made twice, by the code of the last published night and by
tonight's. Differences are paired by seed and by example; each cell (label x task) gets the combined test's p,
adjusted by Holm over all cells that were made again. Suspicious is a loss with adjusted p <= 0.01 that is at
least half the task's margin.

**Confirmation.** Every suspicious cell is run with five seeds that the sweep does not have, by tonight's
code. The earlier code is gone, so these are compared with all seeds the last published night holds of the
cell: seeds unpaired, examples paired. Confirmed is a loss of at least half the margin with p <= 0.05.

What this bounds: if nothing changed, a night raises a false alarm with probability at most 0.01, whatever the
confirmation does, because Holm holds over the night's cells. The confirmation takes away luck of tonight's
seeds; luck of the earlier night's seeds is in both comparisons and remains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from reports.board import TaskFacts
from reports.metrics import Floats, points
from reports.statistics import combined
from reports.statistics.families import adjust
from reports.statistics.paired import Estimate, estimate
from reports.statistics.replicates import REPLICATES, generator, replicate
from reports.statistics.unpaired import difference

LEVEL = 0.01
"""Chance of a false suspicion in a night (Holm over its cells)."""
CONFIRMATION_LEVEL = 0.05
"""Level of the second, independent look."""
FRESH_SEEDS = 5

Key = tuple[str, int]
"""(label, seed)."""


@dataclass(frozen=True)
class Scored:
    """Predictions of one night's trials on one task.

    Attributes:
        index: row numbers in the source split, ascending, shape (n,).
        labels: gold class ids, shape (n,).
        classes: number of classes.
        predicted: predicted class ids by label and seed, each shape (n,).
    """

    index: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: int
    predicted: dict[Key, NDArray[np.uint16]] = field(default_factory=dict)

    def same_examples(self, other: Scored) -> bool:
        """Whether both nights scored the same examples."""
        return np.array_equal(self.index, other.index) and np.array_equal(self.labels, other.labels)

    def points(self, key: Key, metric: str) -> float:
        """The score of one trial in points."""
        return points(self.labels, self.predicted[key], self.classes, metric)


@dataclass(frozen=True)
class Change:
    """What became of one label on one task between two nights.

    Attributes:
        seeds: seeds made in both nights.
        before: mean score of the earlier night in points.
        now: mean score of tonight in points.
        estimate: tonight minus the earlier night.
        p: of the combined test; None with a single seed.
        p_adjusted: by Holm over the night's cells.
    """

    label: str
    task: str
    seeds: tuple[int, ...]
    before: float
    now: float
    margin: float
    estimate: Estimate
    p: float | None
    p_adjusted: float | None = None

    @property
    def real(self) -> bool:
        """Whether it is at least half the margin and more than noise."""
        return self.p_adjusted is not None and self.p_adjusted <= LEVEL and _large(self.estimate, self.margin)

    @property
    def suspicious(self) -> bool:
        """Whether it is a loss that fresh seeds must confirm."""
        return self.real and self.estimate.mean < 0


@dataclass(frozen=True)
class Confirmation:
    """What fresh seeds say of a suspicious cell.

    Attributes:
        seeds: the fresh seeds.
        now: their mean score in points.
        estimate: fresh seeds minus the earlier night.
        p: two-sided p of the combined test.
    """

    change: Change
    seeds: tuple[int, ...]
    now: float
    estimate: Estimate
    p: float

    @property
    def confirmed(self) -> bool:
        """Whether the loss is there with fresh seeds too."""
        lost = self.estimate.mean < 0 and _large(self.estimate, self.change.margin)
        return lost and self.p <= CONFIRMATION_LEVEL


def changes(
    before: Mapping[str, Scored],
    now: Mapping[str, Scored],
    tasks: Iterable[TaskFacts],
    cells: Mapping[tuple[str, str], Sequence[int]],
    *,
    replicates: int = REPLICATES,
) -> list[Change]:
    """Compare the cells of two nights.

    Args:
        before: the earlier night, by task.
        now: tonight, by task.
        tasks: metrics and margins.
        cells: seeds made again in both nights, by (label, task); together they are Holm's family.
        replicates: draws of the examples.

    Raises:
        ValueError: a task was scored on other examples.
    """
    found = []
    for task in tasks:
        seeds = {label: tuple(own) for (label, name), own in cells.items() if name == task.name and own}
        if not seeds:
            continue
        old, new = before[task.name], now[task.name]
        keys = [(label, seed) for label, own in seeds.items() for seed in own]
        old_draws, new_draws = _replicates(old, new, keys, keys, task, replicates)
        for label, own in seeds.items():
            mine = [keys.index((label, seed)) for seed in own]
            was = np.array([old.points((label, seed), task.primary) for seed in own])
            is_ = np.array([new.points((label, seed), task.primary) for seed in own])
            e = estimate(is_ - was, new_draws[:, mine] - old_draws[:, mine])
            p = None if e.seed_variance is None else combined.p_value(e)
            means = float(was.mean()), float(is_.mean())
            found.append(Change(label, task.name, own, *means, task.margin, e, p))
    tested = [change for change in found if change.p is not None]
    adjusted = adjust([change.p for change in tested if change.p is not None], "holm")
    by_cell = dict(zip(((c.label, c.task) for c in tested), adjusted, strict=True))
    return [replace(c, p_adjusted=by_cell.get((c.label, c.task))) for c in found]


def confirm(
    change: Change, before: Scored, fresh: Scored, task: TaskFacts, *, replicates: int = REPLICATES
) -> Confirmation:
    """Look at a suspicious cell again with fresh seeds.

    Args:
        change: the suspicion.
        before: the earlier night; every seed it holds of the cell counts.
        fresh: tonight's code with fresh seeds.
        task: metric and margin.
        replicates: draws of the examples.

    Raises:
        ValueError: the examples differ.
    """
    old_keys = [key for key in before.predicted if key[0] == change.label]
    new_keys = [key for key in fresh.predicted if key[0] == change.label]
    old_draws, new_draws = _replicates(before, fresh, old_keys, new_keys, task, replicates)
    was = np.array([before.points(key, task.primary) for key in old_keys])
    is_ = np.array([fresh.points(key, task.primary) for key in new_keys])
    e = difference(is_, was, new_draws, old_draws)
    seeds = tuple(seed for _, seed in new_keys)
    return Confirmation(change, seeds, float(is_.mean()), e, combined.p_value(e))


def _large(e: Estimate, margin: float) -> bool:
    return abs(e.mean) >= margin / 2


def _replicates(
    old: Scored, new: Scored, old_keys: list[Key], new_keys: list[Key], task: TaskFacts, count: int
) -> tuple[Floats, Floats]:
    """Scores of both nights under the same draws of the examples, shapes (r, k) and (r, l)."""
    if not old.same_examples(new):
        raise ValueError(f"{task.name}: the two nights were scored on different examples")
    predicted = [old.predicted[key] for key in old_keys] + [new.predicted[key] for key in new_keys]
    drawn = replicate(
        old.labels,
        np.stack(predicted),
        task.primary,
        classes=max(old.classes, new.classes),
        rng=generator(task.name),
        replicates=count,
    )
    return drawn[:, : len(old_keys)], drawn[:, len(old_keys) :]
