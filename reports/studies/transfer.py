"""Report of `transfer`: head by head, the effect on one domain against that on another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reports.board import StudyFacts, SweepFacts, TaskFacts
from reports.decisions import UNPRUNED, Decisions, in_order
from reports.metrics import Floats, points
from reports.record import Record
from reports.statistics.correlation import Correlation, correlate
from reports.statistics.replicates import REPLICATES, generator
from reports.studies.content import Findings, Table, Variants, by_task, seeds_in_words
from reports.studies.figures import panels
from reports.studies.head_ablation import Head, heads_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class _Pair:
    """Effects of the heads on two domains of one task."""

    task: TaskFacts
    records: list[Record]
    domains: tuple[str, str]
    examples: tuple[int, int]
    heads: list[Head]
    changes: Floats
    """In points, shape (seeds, 2, heads)."""
    correlations: dict[str, Correlation | None]
    """By seed, and of the means over seeds under `all`."""


def report(
    study: StudyFacts,
    sweep: SweepFacts,
    records: Sequence[Record],
    variants: Variants,
    *,
    replicates: int = REPLICATES,
) -> Findings:
    """Correlate the two domains' effects for every seed and for their means over seeds."""
    found, left_out = [], []
    for task, own in by_task(sweep, records):
        pair = _pair(task, own, variants, study.params.get("first"), replicates)
        if pair is None:
            left_out.append(f"{task.long_name} is left out: a domain of it has no rows here.")
        else:
            found.append(pair)
    return Findings(
        title="Transfer: do the same heads matter on another domain?",
        conclusion=[*(_conclude(pair) for pair in found), *left_out],
        summary=Table(_SUMMARY, [row for pair in found for row in _summary(pair)]),
        table=Table(_COLUMNS, [row for pair in found for row in _rows(pair)]),
        figure=_draw(found) if found else None,
        notes=[
            "Each head is removed alone; its effect is the change of the primary metric on the rows of one "
            "domain, in points. r correlates the effects over heads; its 95 % interval draws the heads anew "
            "(percentile bootstrap). Noise of the two sets of examples pulls r towards 0, most of all where "
            "few heads matter.",
        ],
    )


def _pair(
    task: TaskFacts, records: list[Record], variants: Variants, first: int | None, replicates: int
) -> _Pair | None:
    heads = heads_of(records)
    loaded = [in_order(variants(record)) for record in records]
    index = loaded[0][UNPRUNED].index
    end = int(index.max()) + 1
    domains = {"first": (0, first), "second": (first, end)} if first is not None else task.domains
    parts = [(index >= low) & (index < high) for low, high in domains.values()]
    if any(part.sum() < 2 for part in parts):
        return None
    names = heads.values()
    changes = np.array([[_changes(one, names, part, task) for part in parts] for one in loaded])
    stream = generator(f"transfer {task.name}")
    means = changes.mean(axis=0)
    correlations = {"all": correlate(means[0], means[1], stream, replicates)}
    for record, (x, y) in zip(records, changes, strict=True):
        correlations[str(record.seed)] = correlate(x, y, stream, replicates)
    one, other = domains
    counts = (int(parts[0].sum()), int(parts[1].sum()))
    return _Pair(task, records, (one, other), counts, list(heads), changes, correlations)


def _changes(
    models: Mapping[str, Decisions], names: Iterable[str], part: np.ndarray, task: TaskFacts
) -> list[float]:
    """Change of the score on part of the rows without each head."""
    base = _score(models[UNPRUNED], part, task)
    return [_score(models[name], part, task) - base for name in names]


def _score(decisions: Decisions, part: np.ndarray, task: TaskFacts) -> float:
    return points(decisions.labels[part], decisions.classes[part], decisions.count, task.primary)


_COLUMNS = ["task", "metric", "seed", "layer", "head", "domain", "change"]
_SUMMARY = ["task", "seed", "heads", "Pearson", "low", "high", "Spearman", "low ", "high "]


def _rows(pair: _Pair) -> list[list[object]]:
    return [
        [pair.task.name, pair.task.primary, record.seed, *head, domain, float(change)]
        for record, domains in zip(pair.records, pair.changes, strict=True)
        for domain, changes in zip(pair.domains, domains, strict=True)
        for head, change in zip(pair.heads, changes, strict=True)
    ]


def _summary(pair: _Pair) -> list[list[object]]:
    rows: list[list[object]] = []
    for seed, r in pair.correlations.items():
        numbers: list[float | None] = [None] * 6
        if r:
            numbers = [r.pearson, *r.pearson_interval, r.spearman, *r.spearman_interval]
        rows.append([pair.task.name, seed, len(pair.heads), *numbers])
    return rows


def _conclude(pair: _Pair) -> str:
    one, other = pair.domains
    where = (
        f"{pair.task.long_name}, {seeds_in_words(pair.records)}, {one} ({pair.examples[0]} "
        f"examples) against {other} ({pair.examples[1]})"
    )
    r = pair.correlations["all"]
    if r is None:
        return f"{where}: no correlation can be computed, since the score does not vary on one of them."
    low, high = r.pearson_interval
    judged = (
        "heads that matter on one tend to matter on the other"
        if low > 0
        else "that the same heads matter on both cannot be said"
    )
    return (
        f"{where}: {judged}; Pearson r {r.pearson:.2f} (95 % interval {low:.2f} to {high:.2f}), Spearman r "
        f"{r.spearman:.2f} ({r.spearman_interval[0]:.2f} to {r.spearman_interval[1]:.2f}) of mean effects."
    )


def _draw(found: Sequence[_Pair]) -> Figure:
    from reports.plots import FAINT, PALETTE, frame

    figure, axes = panels(len(found))
    for ax, pair in zip(axes, found, strict=True):
        x, y = pair.changes.mean(axis=0)
        ax.axhline(0, color=FAINT, linewidth=0.8)
        ax.axvline(0, color=FAINT, linewidth=0.8)
        ax.plot(x, y, "o", color=PALETTE[0], markersize=5, alpha=0.7)
        r = pair.correlations["all"]
        title = pair.task.long_name
        names = [f"change, {domain} (points)" for domain in pair.domains]
        frame(ax, f"{title}: r = {r.pearson:.2f}" if r else title, *names)
    return figure
