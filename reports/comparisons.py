"""Comparisons of rows: paired by seed, tested, judged in their families."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from reports.board import Missing
from reports.evidence import Cell, Evidence
from reports.metrics import Floats
from reports.statistics import combined, power
from reports.statistics.paired import Estimate, across, bootstrap, estimate, mcnemar, sign_flip, t_test
from reports.statistics.verdicts import Case, Judged, judge
from reports.withheld import why_withheld, why_withheld_overall

Key = TypeVar("Key", bound=Hashable)
"""Whatever a family's comparisons are told apart by."""


@dataclass(frozen=True)
class Comparison:
    """A label against the baseline on one task or over all.

    Attributes:
        seeds: seeds that both have, ascending.
        differences: method minus baseline in points, by seed.
        estimate: mean and variances.
        steady: the same without collapsed runs, where leaving them out makes sense.
        margin: equivalence margin in points.
        where: what the evidence is, in words.
        mcnemar: exact p by seed; empty unless the metric is accuracy.
        withheld: why there is no verdict; empty when there is one.
    """

    seeds: list[int]
    differences: Floats
    estimate: Estimate
    steady: Estimate | None
    margin: float
    where: str
    mcnemar: dict[int, float]
    withheld: str

    @property
    def case(self) -> Case:
        """What the family's judge needs."""
        median = float(np.median(self.differences)) if len(self.differences) else 0.0
        return Case(self.estimate, self.margin, median, self.steady, self.where)


def compare(own: Cell, base: Cell, evidence: Evidence, withheld: str) -> Comparison | None:
    """Compare two cells over the seeds they share; None where they share none."""
    seeds = sorted(own.scores.keys() & base.scores.keys())
    if not seeds:
        return None
    collapsed = set(own.collapsed) | set(base.collapsed)
    kept = [seed for seed in seeds if seed not in collapsed]
    # Where half of the runs collapse, collapsing is what the method does, not an accident of one run.
    accident = 2 <= len(kept) < len(seeds) and 2 * len(kept) > len(seeds)
    accuracy = evidence.task.primary == "accuracy"
    return Comparison(
        seeds=seeds,
        differences=np.array([own.scores[s] - base.scores[s] for s in seeds]),
        estimate=_estimate(own, base, seeds),
        steady=_estimate(own, base, kept) if accident else None,
        margin=evidence.task.margin,
        where=f"{evidence.examples:,} examples and {len(seeds)} seeds",
        mcnemar={s: mcnemar(own.correct[s], base.correct[s]) for s in seeds} if accuracy else {},
        withheld=withheld or _one_seed(len(seeds)),
    )


def _one_seed(seeds: int) -> str:
    return "" if seeds > 1 else "one seed says nothing about other seeds; the interval covers examples alone"


def _estimate(own: Cell, base: Cell, seeds: Sequence[int]) -> Estimate:
    differences = np.array([own.scores[s] - base.scores[s] for s in seeds])
    return estimate(differences, np.stack([own.replicates[s] - base.replicates[s] for s in seeds], axis=1))


def overall(tasks: Sequence[Comparison], margin: float, withheld: str) -> Comparison:
    """Average comparisons over tasks, each task counting the same."""
    seeds = sorted(set.intersection(*(set(c.seeds) for c in tasks)))
    by_task = [dict(zip(c.seeds, c.differences, strict=True)) for c in tasks]
    steady = [c.steady or c.estimate for c in tasks] if any(c.steady for c in tasks) else []
    return Comparison(
        seeds=seeds,
        differences=np.array([np.mean([d[s] for d in by_task]) for s in seeds]),
        estimate=across([c.estimate for c in tasks]),
        steady=across(steady) if steady else None,
        margin=margin,
        where=f"{len(tasks)} tasks and {len(seeds)} seeds",
        mcnemar={},
        withheld=withheld or _one_seed(len(seeds)),
    )


@dataclass(frozen=True)
class RowComparison:
    """A row against another one.

    Attributes:
        cells: by task; a task on which they share no seed is absent.
        withheld: for every task why there is no verdict; empty where there is one.
        overall: over the averaged tasks; None unless there is a cell for each.
        withheld_overall: why there is no verdict on that; empty when there is one.
    """

    cells: dict[str, Comparison]
    withheld: dict[str, str]
    overall: Comparison | None
    withheld_overall: str


def compare_rows(
    own: str,
    base: str,
    evidence: Mapping[str, Evidence],
    missing: Sequence[Missing],
    averaged: Sequence[str],
    margin: float,
) -> RowComparison:
    """Compare two rows on every task and over the averaged ones.

    Args:
        own: label of the row.
        base: label of the row it is compared with.
        evidence: all runs by task.
        missing: trials without a record.
        averaged: tasks the overall comparison is over.
        margin: its equivalence margin in points.
    """
    cells: dict[str, Comparison] = {}
    withheld: dict[str, str] = {}
    for task, of_task in evidence.items():
        why = why_withheld(own, base, of_task, missing)
        cell = compare(of_task.cells[own], of_task.cells[base], of_task, why)
        if cell is not None:
            cells[task], why = cell, cell.withheld
        withheld[task] = why
    why = why_withheld_overall({task: withheld[task] for task in averaged})
    if not averaged or any(task not in cells for task in averaged):
        return RowComparison(cells, withheld, None, why)
    average = overall([cells[task] for task in averaged], margin, why)
    return RowComparison(cells, withheld, average, average.withheld)


def judge_overall(comparisons: Mapping[Key, Comparison]) -> dict[Key, Judged]:
    """Judge the overall comparisons, Holm over the rows that get a verdict."""
    family = {key: c for key, c in comparisons.items() if not c.withheld}
    return dict(zip(family, judge([c.case for c in family.values()], "holm"), strict=True))


def judge_cells(comparisons: Mapping[Key, Comparison]) -> tuple[dict[Key, Judged], dict[Key, Judged]]:
    """Judge row x task cells twice: Benjamini-Hochberg, and strictly by Holm."""
    family = {key: c for key, c in comparisons.items() if not c.withheld}
    cases = [c.case for c in family.values()]
    return (
        dict(zip(family, judge(cases, "bh"), strict=True)),
        dict(zip(family, judge(cases, "holm"), strict=True)),
    )


def facts(c: Comparison) -> dict[str, Any]:
    """Return the fields of a row that follow from its comparison, verdict apart."""
    e = c.estimate
    fields: dict[str, Any] = {
        "delta": e.mean,
        "median_delta": float(np.median(c.differences)) if len(c.differences) else None,
        "tests": tests(c),
    }
    if e.seed_variance is None:
        _, half = bootstrap(e)
        return fields | {"ci": (e.mean - half, e.mean + half)}
    half = combined.half_width(e, 0.025)
    return fields | {
        "ci": (e.mean - half, e.mean + half),
        "loses_at_most": combined.half_width(e, 0.05) - e.mean,
        "detectable": power.detectable(e),
        "floor": power.floor(e),
        "reachable": c.case.reachable,
    }


def tests(c: Comparison) -> dict[str, dict[str, Any]]:
    """Return every test of a comparison by name; only `combined` and `equivalence` decide."""
    from scipy.special import stdtrit

    e = c.estimate
    p, half = bootstrap(e)
    named: dict[str, dict[str, Any]] = {
        "bootstrap": {"p": p, "ci": [e.mean - half, e.mean + half], "variance": e.example_variance}
    }
    if e.seed_variance is None:
        reason = "one seed"
        named |= {name: {"p": None, "reason": reason} for name in ("combined", "equivalence", "t_test")}
    else:
        t_half = -float(stdtrit(e.df, 0.025)) * e.seed_variance**0.5
        named |= {
            "combined": {
                "p": combined.p_value(e),
                "df": e.df,
                "variance_seeds": e.seed_variance,
                "variance_examples": e.residual_example_variance,
            },
            "equivalence": {"p": combined.equivalence(e, c.margin), "margin": c.margin},
            "t_test": {"p": t_test(e), "df": e.df, "ci": [e.mean - t_half, e.mean + t_half]},
            "sign_flip": {"p": sign_flip(c.differences), "floor": 2.0 ** (1 - len(c.differences))},
        }
        if named["t_test"]["p"] is None:
            named["t_test"]["reason"] = "the difference is the same at every seed"
    if c.mcnemar:
        named["mcnemar"] = {"p_by_seed": {str(seed): p for seed, p in c.mcnemar.items()}}
    return named
