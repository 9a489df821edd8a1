"""Changes from one row of a sweep to another, whatever its baseline is, tested as the leaderboard tests."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reports.board import Missing, SweepFacts
from reports.comparisons import Comparison, compare_rows, facts, judge_cells, judge_overall
from reports.decisions import Decisions
from reports.evidence import Evidence
from reports.record import Record
from reports.statistics.verdicts import LEVEL, Judged, signed
from reports.trials import Trials, averaged_tasks, evidence_by_task, missing_trials
from reports.withheld import in_words

Pair = tuple[str, str]
"""Label of a row, and of the row it is compared with."""

AVERAGE = "average"
"""Stands for the task in the average over tasks."""

TESTED = ["change", "low", "high", "p", "p_adjusted", "verdict", "reason"]
"""Columns of `RowChange.tested`."""


@dataclass(frozen=True)
class RowChange:
    """One row against another, on a task or on average over tasks.

    Attributes:
        comparison: the paired differences and what is uncertain about them.
        judged: the verdict in its family; None where it is withheld.
    """

    comparison: Comparison
    judged: Judged | None

    @property
    def mean(self) -> float:
        """Mean paired difference in points."""
        return self.comparison.estimate.mean

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean."""
        low, high = self._facts["ci"]
        return low, high

    @property
    def p(self) -> float | None:
        """Of the test over seeds and examples, uncorrected; None with one seed."""
        return self._facts["tests"]["combined"]["p"]

    @cached_property
    def _facts(self) -> dict[str, Any]:
        return facts(self.comparison)

    @property
    def verdict(self) -> str:
        """The verdict, or `none`."""
        return self.judged.verdict if self.judged else "none"

    @property
    def reason(self) -> str:
        """What the verdict rests on, or why there is none."""
        return self.judged.reason if self.judged else self.comparison.withheld

    @property
    def tested(self) -> list[object]:
        """Every number, and what follows from them."""
        adjusted = self.judged.p_adjusted if self.judged else None
        return [self.mean, *self.interval, self.p, adjusted, self.verdict, self.reason]

    def in_short(self) -> str:
        """Format as `+1.4 [-0.3, +3.1]`."""
        low, high = self.interval
        return f"{signed(self.mean)} [{signed(low)}, {signed(high)}]"

    def in_words(self) -> str:
        """The same with the verdict, or why there is none."""
        return f"{self.in_short()}, {self.verdict if self.judged else f'no verdict ({self.reason})'}"


@dataclass(frozen=True)
class Compared:
    """What the trials of a sweep say about pairs of its rows.

    Attributes:
        evidence: scores by task.
        missing: trials without a record.
        averaged: tasks the average is over; those whose start model collapsed are not among them.
        left_out: the other tasks that would count, and why they do not.
        changes: by pair, and by task or `AVERAGE`; absent where two rows share no seed.
    """

    evidence: Mapping[str, Evidence]
    missing: Sequence[Missing]
    averaged: Sequence[str]
    left_out: Mapping[str, str]
    changes: Mapping[Pair, Mapping[str, RowChange]]

    def scores(self, label: str, task: str) -> dict[int, float]:
        """Scores of a row in points by seed; on average over tasks each seed's mean, of common seeds."""
        if task != AVERAGE:
            return self.evidence[task].cells[label].scores
        of = [self.evidence[name].cells[label].scores for name in self.averaged]
        common = sorted(set.intersection(*map(set, of))) if of else []
        return {seed: sum(scores[seed] for scores in of) / len(of) for seed in common}

    def median(self, label: str, task: str) -> float | None:
        """Median of `scores` over the seeds; None where there is none."""
        scores = self.scores(label, task)
        return statistics.median(scores.values()) if scores else None

    def headed(self, task: str) -> str:
        """A task as columns are called: in brackets where it is left out of the average."""
        return f"({task})" if task in self.left_out else task

    def cell(self, pair: Pair, task: str) -> str | None:
        """A change in short, with a star where it is significant; None where there is none."""
        change = self.changes[pair].get(task)
        if change is None:
            return None
        judged = change.judged
        # `within noise` with so small a p: it hangs on a collapsed run, or mean and median disagree.
        star = judged and judged.p_adjusted <= LEVEL and judged.verdict != "within noise"
        return change.in_short() + (" *" if star else "")

    def verdict(self, pair: Pair) -> str:
        """The verdict on the average, or `none`."""
        return self.changes[pair][AVERAGE].verdict if AVERAGE in self.changes[pair] else "none"

    def in_words(self, pair: Pair) -> str:
        """The change on the average with its verdict, or why there is none."""
        change = self.changes[pair].get(AVERAGE)
        return change.in_words() if change else "there is nothing to compare on every task yet"

    def gaps(self) -> list[str]:
        """Sentences on tasks that are left out of the average, and on trials without a result."""
        sentences = [
            f"{task} is shown and left out of the average: {why}." for task, why in self.left_out.items()
        ]
        for label in dict.fromkeys(gap.label for gap in self.missing):
            seeds = {
                task: [gap.seed for gap in self.missing if (gap.label, gap.task) == (label, task)]
                for task in self.evidence
            }
            listed = "; ".join(f"{task} {in_words(missing)}" for task, missing in seeds.items() if missing)
            sentences.append(f"Without a result: {label} on {listed}.")
        return sentences


def compare_pairs(
    trials: Trials,
    sweep: SweepFacts,
    pairs: Sequence[Pair],
    decisions: Callable[[Record], Decisions],
    replicates: int,
) -> Compared:
    """Compare pairs of rows on every task and on average, and judge all of them together.

    As on the leaderboard: pairs x tasks by Benjamini-Hochberg, averages by Holm over the pairs; tasks with a
    collapsed start model are compared, get no verdict and stay out of the average.

    Args:
        trials: the sweep's records.
        sweep: the rows whose decisions are read; each label of `pairs` is one of them.
        pairs: what is compared with what.
        decisions: reads what a record's model decides.
        replicates: draws of the examples.
    """
    evidence = evidence_by_task(trials, sweep, decisions, replicates)
    missing = missing_trials(trials, sweep)
    averaged, left_out = averaged_tasks(evidence, sweep)
    found = {
        pair: compare_rows(*pair, evidence, missing, averaged, sweep.margin) for pair in dict.fromkeys(pairs)
    }
    by_cell, _ = judge_cells(
        {(pair, task): cell for pair, rows in found.items() for task, cell in rows.cells.items()}
    )
    by_pair = judge_overall({pair: rows.overall for pair, rows in found.items() if rows.overall})
    changes: dict[Pair, dict[str, RowChange]] = {}
    for pair, rows in found.items():
        changes[pair] = {
            task: RowChange(cell, by_cell.get((pair, task))) for task, cell in rows.cells.items()
        }
        if rows.overall:
            changes[pair][AVERAGE] = RowChange(rows.overall, by_pair.get(pair))
    return Compared(evidence, missing, averaged, left_out, changes)
