"""Downstream: rows of a sweep against one another on its tasks, by the leaderboard's test."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.board import SweepFacts, TaskFacts
from reports.comparisons import Comparison, compare, facts
from reports.decisions import RESULT
from reports.evidence import gather
from reports.record import Record
from reports.statistics.replicates import REPLICATES
from reports.statistics.verdicts import Word, judge
from reports.studies.content import Variants

Pair = tuple[str, str]
"""Labels of a row and of the one it is compared with."""

COLUMNS = ["task", "metric", "seed", "score", "against", "change", "low", "high", "p", "p_holm", "verdict"]
"""Of `Downstream.rows`."""


@dataclass(frozen=True)
class Change:
    """What a row gains over another on one task, in points.

    Attributes:
        mean: over the seeds that both have.
        low: of its 95 % interval, over seeds and examples; with one seed over examples alone.
        high: of the same.
        p: two-sided; None with one seed.
        p_holm: corrected over all pairs of the task; None with one seed.
        verdict: the word that follows; `none` with one seed.
    """

    mean: float
    low: float
    high: float
    p: float | None
    p_holm: float | None
    verdict: Word

    def __str__(self) -> str:
        return f"{self.mean:+.2f} ({self.low:+.2f} to {self.high:+.2f})"

    @property
    def in_words(self) -> str:
        """The change with its verdict, if it has one."""
        return str(self) if self.verdict == "none" else f"{self}, {self.verdict}"


@dataclass(frozen=True)
class Downstream:
    """Rows on one task: their scores in points by label and seed, and what was compared."""

    task: TaskFacts
    scores: dict[str, dict[int, float]]
    changes: dict[Pair, Change]

    @property
    def title(self) -> str:
        """The task's name for readers."""
        return self.task.title or self.task.name

    def spread(self, label: str) -> tuple[float, float, float] | None:
        """Median, lowest and highest score of a row over its seeds; None without a result."""
        scores = self.scores.get(label, {}).values()
        return (statistics.median(scores), min(scores), max(scores)) if scores else None

    def rows(self, label: str) -> list[list[object]]:
        """Lines of a row: the score of every seed, and their median with each comparison."""
        own: list[object] = [self.task.name, self.task.primary]
        spread = self.spread(label)
        if spread is None:
            return []
        blank: list[object] = [None] * (len(COLUMNS) - 4)
        lines = [[*own, seed, score, *blank] for seed, score in self.scores[label].items()]
        compared: list[list[object]] = [
            [base, c.mean, c.low, c.high, c.p, c.p_holm, c.verdict]
            for (row, base), c in self.changes.items()
            if row == label
        ]
        return lines + [[*own, "median", spread[0], *each] for each in compared or [blank]]


def downstream(
    sweep: SweepFacts,
    records: Mapping[str, Mapping[str, Mapping[int, Record]]],
    pairs: Sequence[Pair],
    variants: Variants,
    *,
    replicates: int = REPLICATES,
) -> list[Downstream]:
    """Score and compare rows on every task of the sweep that one of them has a result on.

    Args:
        sweep: says which tasks, in which order.
        records: by label, task and seed.
        pairs: what is compared with what; on each task they are one family.
        variants: reads what each row decides.
        replicates: draws of the examples.

    Raises:
        ValueError: two rows were scored on different examples.
    """
    found = []
    for task in sweep.tasks:
        own = {
            label: dict(sorted(tasks[task.name].items()))
            for label, tasks in records.items()
            if task.name in tasks
        }
        scores = {
            label: {seed: 100 * record.scores[task.primary] for seed, record in seeds.items()}
            for label, seeds in own.items()
        }
        if own:
            found.append(Downstream(task, scores, changes(task, own, pairs, variants, replicates=replicates)))
    return found


def changes(
    task: TaskFacts,
    records: Mapping[str, Mapping[int, Record]],
    pairs: Sequence[Pair],
    variants: Variants,
    *,
    replicates: int = REPLICATES,
) -> dict[Pair, Change]:
    """Compare rows on one task over the seeds they share; pairs that share none are left out.

    Args:
        task: the task.
        records: by label and seed.
        pairs: what is compared with what; they are one family.
        variants: reads what each row decides.
        replicates: draws of the examples.

    Raises:
        ValueError: two rows were scored on different examples.
    """
    labels = {label for pair in pairs for label in pair if label in records}
    evidence = gather(
        task,
        {label: records[label] for label in records if label in labels},
        lambda record: variants(record)[RESULT],
        replicates,
    )
    compared: dict[Pair, Comparison] = {}
    for own, base in pairs:
        if own in labels and base in labels:
            comparison = compare(evidence.cells[own], evidence.cells[base], evidence, "")
            if comparison is not None:
                compared[own, base] = comparison
    family = {pair: comparison.case for pair, comparison in compared.items() if not comparison.bar}
    judged = dict(zip(family, judge(list(family.values()), "holm"), strict=True))
    found = {}
    for pair, comparison in compared.items():
        known, word = facts(comparison), judged.get(pair)
        low, high = known["ci"]
        p = known["tests"]["combined"]["p"]
        adjusted = (word.p_adjusted, word.verdict) if word else (None, "none")
        found[pair] = Change(known["delta"], low, high, p, *adjusted)
    return found
