"""One row of the leaderboard: descriptive figures, comparison, verdict."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.board import OVERALL, LatencyFacts, MethodFacts, Row, SweepFacts, TrainingCost
from reports.comparisons import Comparison, facts
from reports.evidence import Cell, Evidence
from reports.record import Latency
from reports.statistics import power
from reports.statistics.ranks import rank_intervals, ranks
from reports.statistics.replicates import generator
from reports.statistics.verdicts import Judged


@dataclass(frozen=True)
class Judgement:
    """What became of a row's comparison.

    Attributes:
        comparison: None for the baseline and where no seed is shared.
        judged: the verdict in the row's family; None where `withheld` says why.
        strict: the verdict under Holm.
        withheld: why there is no verdict; empty when there is one.
    """

    comparison: Comparison | None
    judged: Judged | None
    strict: Judged | None
    withheld: str


def cell_row(
    method: MethodFacts,
    evidence: Evidence,
    sweep: SweepFacts,
    judgement: Judgement,
    latencies: Sequence[Latency],
    link: str,
) -> Row:
    """Build the row of a label on one task."""
    task, cell = evidence.task, evidence.cells[method.label]
    base = evidence.cells[sweep.baseline]
    scores = list(cell.scores.values())
    others = sorted({name for r in cell.records.values() for name in r.scores} - {task.primary})
    fields = _spread(scores) | _judged(judgement, "bh") | _size(cell, base, task.teacher_parameters)
    if (c := judgement.comparison) and c.estimate.seed_variance is not None:
        fields["seeds_needed"] = power.seeds_needed(c.estimate, task.margin, len(c.seeds))
    timed = _latency(cell, latencies)
    return Row(
        **method.model_dump(exclude={"paper"}),
        task=task.name,
        metric=task.primary,
        seeds=list(cell.scores),
        scores=scores,
        other_metrics={
            name: 100 * statistics.median(r.scores[name] for r in cell.records.values() if name in r.scores)
            for name in others
        },
        retained=_retained(scores, list(base.scores.values()), evidence.majority),
        collapsed=len(cell.collapsed),
        collapsed_seeds=cell.collapsed,
        teacher_collapsed=cell.teacher_collapsed,
        missing=[seed for seed in sweep.seeds if seed not in cell.scores],
        latency_ms={b: v["median_ms"] for b, v in timed.batches.items()} if timed else None,
        latency=timed,
        margin=task.margin,
        link=link,
        **fields,
    )


def overall_row(
    method: MethodFacts, cells: Sequence[Row], sweep: SweepFacts, judgement: Judgement, link: str
) -> Row:
    """Build the row of a label over tasks; each seed's score is its mean over the tasks."""
    seeds = sorted(set.intersection(*(set(row.seeds) for row in cells)))
    scores = [statistics.fmean(row.scores[row.seeds.index(s)] for row in cells) for s in seeds]
    timings = [row.latency_ms for row in cells]
    shared = set.intersection(*(set(t or {}) for t in timings))
    costs = [row.training for row in cells if row.training]
    fields: dict[str, Any] = {
        name: _median(getattr(row, name) for row in cells)
        for name in ("parameters", "encoder_parameters", "compression", "checkpoint_bytes", "flops")
    }
    kept = [row.retained for row in cells if row.retained is not None]
    fields |= _spread(scores) | _judged(judgement, "holm")
    if judgement.judged:
        fields["reason"] += f" (on {'these' if len(cells) > 1 else 'this'} {_count(len(cells), 'task')})"
    return Row(
        **method.model_dump(exclude={"paper"}),
        task=OVERALL,
        metric="mean of " + ", ".join(f"{row.task} {row.metric}" for row in cells),
        seeds=seeds,
        scores=scores,
        retained=statistics.fmean(kept) if len(kept) == len(cells) else None,
        collapsed=sum(row.collapsed for row in cells),
        collapsed_seeds=sorted({seed for row in cells for seed in row.collapsed_seeds}),
        missing=[seed for seed in sweep.seeds if seed not in seeds],
        latency_ms={
            batch: statistics.median(t[batch] for t in timings if t) for batch in sorted(shared, key=int)
        }
        or None,
        training=TrainingCost(
            tokens=sum(c.tokens for c in costs),
            flops=sum(c.flops for c in costs),
            seconds=sum(c.seconds for c in costs),
        )
        if len(costs) == len(cells)
        else None,
        margin=sweep.margin,
        link=link,
        **fields,
    )


def ranked(rows: Sequence[Row], evidence: Sequence[Evidence], sweep: SweepFacts) -> list[Row]:
    """Return rows best first, with ranks by median and, for complete rows, intervals of ranks by mean."""
    # Which seeds fail is no accident: the median of those that did not is no rank among whole rows.
    scored = [row for row in rows if row.median is not None and not row.missing]
    places = dict(zip((r.label for r in scored), ranks([r.median or 0.0 for r in scored]), strict=True))
    complete = [row.label for row in scored]
    intervals: dict[str, tuple[int, int]] = {}
    if len(sweep.seeds) > 1 and len(complete) > 1:
        found = rank_intervals(
            [np.array([[e.cells[c].scores[s] for s in sweep.seeds] for c in complete]) for e in evidence],
            [
                np.stack([np.mean(list(e.cells[c].replicates.values()), axis=0) for c in complete], axis=1)
                for e in evidence
            ],
            generator("ranks " + " ".join(e.task.name for e in evidence)),
        )
        intervals = {label: (int(low), int(high)) for label, (low, high) in zip(complete, found, strict=True)}
    updated = [
        row.model_copy(update={"rank": places.get(row.label), "rank_interval": intervals.get(row.label)})
        for row in rows
    ]
    return sorted(updated, key=lambda row: row.rank or len(rows) + 1)


def _spread(scores: Sequence[float]) -> dict[str, float | None]:
    if not scores:
        return dict.fromkeys(("median", "mean", "std", "min", "max"))
    return {
        "median": statistics.median(scores),
        "mean": statistics.fmean(scores),
        "std": statistics.stdev(scores) if len(scores) > 1 else None,
        "min": min(scores),
        "max": max(scores),
    }


def _judged(judgement: Judgement, correction: str) -> dict[str, Any]:
    comparison = judgement.comparison
    if comparison is None:
        return {"verdict": "none", "strict": "none", "reason": judgement.withheld}
    fields = facts(comparison)
    if judgement.judged is None or judgement.strict is None:
        return fields | {"verdict": "none", "strict": "none", "reason": judgement.withheld}
    adjusted = {"combined": "p_adjusted", "equivalence": "p_equivalent_adjusted"}
    for test, attribute in adjusted.items():
        fields["tests"][test] |= {
            "p_adjusted": getattr(judgement.judged, attribute),
            "correction": correction,
            "p_holm": getattr(judgement.strict, attribute),
        }
    return fields | {
        "verdict": judgement.judged.verdict,
        "strict": judgement.strict.verdict,
        "reason": judgement.judged.reason,
    }


def _size(cell: Cell, base: Cell, teacher: int | None) -> dict[str, Any]:
    """Return size and cost of a row's models, medians over seeds."""
    records = list(cell.records.values())
    if not records:
        return {}
    models = [r.model for r in records if r.model]
    own = _median(m.parameters.total for m in models)
    teacher_size = teacher or _median(r.model.parameters.total for r in base.records.values() if r.model)
    return {
        "parameters": own,
        "encoder_parameters": _median(m.parameters.encoder for m in models),
        "compression": teacher_size / own if teacher_size and own else None,
        "checkpoint_bytes": _median(m.checkpoint_bytes for m in models),
        "flops": _median(m.flops for m in models),
        "training": TrainingCost(
            tokens=statistics.median(r.cost.tokens for r in records),
            flops=statistics.median(r.cost.flops for r in records),
            seconds=statistics.median(r.seconds.get("total", r.ended - r.started) for r in records),
        ),
        "peak_memory_bytes": max(r.peak_memory_bytes for r in records) or None,
    }


def _latency(cell: Cell, latencies: Sequence[Latency]) -> LatencyFacts | None:
    """Return the latency of the row's first seed; the caller gives measurements of one machine alone."""
    for seed, record in cell.records.items():
        found = next((m for m in latencies if record.model and m.signature == record.model.signature), None)
        return LatencyFacts(seed=seed, **found.model_dump(exclude={"signature"})) if found else None
    return None


def _retained(scores: Sequence[float], base: Sequence[float], majority: float | None) -> float | None:
    if not scores or not base or majority is None:
        return None
    gain = statistics.median(base) - majority
    return 100 * (statistics.median(scores) - majority) / gain if gain > 0 else None


def _median(values: Iterable[float | None]) -> float | None:
    found = [v for v in values if v is not None]
    return statistics.median(found) if found else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
