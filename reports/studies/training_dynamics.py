"""Report of `training-dynamics`: the pruning curve of checkpoints on the way through fine-tuning."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.board import StudyFacts, SweepFacts, TaskFacts
from reports.record import Record
from reports.studies.content import Findings, Table, Variants, by_task, seeds_in_words
from reports.studies.figures import legend, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AT = 0.4
"""Share of heads at which checkpoints are compared, the paper's."""


@dataclass(frozen=True)
class _Curve:
    """One checkpoint on one task: scores in points by share of heads removed and seed."""

    percent: float
    scores: dict[float, list[float]]

    def mean(self, share: float) -> float:
        """Mean score over seeds."""
        return statistics.fmean(self.scores[share])

    def kept(self, share: float) -> float | None:
        """Share of the checkpoint's own unpruned score; None where that is not above 0."""
        return self.mean(share) / self.mean(0.0) if self.mean(0.0) > 0 else None

    @property
    def compared(self) -> float:
        """The share of heads nearest to the one checkpoints are compared at."""
        return min(self.scores, key=lambda share: abs(share - _AT))


def report(study: StudyFacts, sweep: SweepFacts, records: Sequence[Record], variants: Variants) -> Findings:
    """Average each checkpoint's curve over the seeds; scores are descriptive."""
    found = [(task, own, _curves(task, own)) for task, own in by_task(sweep, records)]
    return Findings(
        title="Training dynamics: the pruning curve in the course of fine-tuning",
        conclusion=[_conclude(task, own, curves) for task, own, curves in found],
        summary=Table(_SUMMARY, [row for task, _, own in found for row in _summary(task, own)]),
        table=Table(_COLUMNS, [row for task, own, _ in found for row in _rows(task, own)]),
        figure=_draw([(task, curves) for task, _, curves in found]),
        notes=[
            "Each checkpoint's heads go by their importance for that checkpoint, without training after it; "
            "the last checkpoint is the start model, or its first draw where that was redrawn. Kept is the "
            "score as a share of the same checkpoint's unpruned score; an accuracy never falls much below "
            "guessing, so it is high for models that have not learnt yet. Means over seeds, without a test.",
        ],
    )


def _curves(task: TaskFacts, records: Sequence[Record]) -> list[_Curve]:
    scores: dict[float, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        for each in record.variants:
            score = 100 * each.scores[task.primary]
            scores[each.facts["percent"]][each.facts["share"]].append(score)
    return [_Curve(percent, dict(sorted(shares.items()))) for percent, shares in sorted(scores.items())]


_COLUMNS = ["task", "metric", "seed", "percent", "step", "share", "heads_removed", "score"]
_SUMMARY = ["task", "training (%)", "unpruned", "score at 20 %", "40 %", "60 %", "kept at 40 %"]


def _rows(task: TaskFacts, records: Sequence[Record]) -> list[list[object]]:
    return [
        [
            *(task.name, task.primary, record.seed),
            *(each.facts[key] for key in ("percent", "step", "share", "heads")),
            100 * each.scores[task.primary],
        ]
        for record in records
        for each in record.variants
    ]


def _summary(task: TaskFacts, curves: Sequence[_Curve]) -> list[list[object]]:
    rows: list[list[object]] = []
    for c in curves:
        at = [c.mean(share) if share in c.scores else None for share in (0.0, 0.2, 0.4, 0.6)]
        kept = c.kept(_AT) if _AT in c.scores else None
        rows.append([task.name, f"{c.percent:g}", *at, None if kept is None else f"{kept:.0%}"])
    return rows


def _conclude(task: TaskFacts, records: Sequence[Record], curves: Sequence[_Curve]) -> str:
    last = curves[-1]
    parts = []
    for c in curves:
        kept = c.kept(c.compared)
        parts.append(f"{c.percent:g} % of training " + ("nothing to keep" if kept is None else f"{kept:.0%}"))
    return (
        f"{task.long_name}, {seeds_in_words(records)}: with {last.compared:.0%} of the heads gone "
        f"a checkpoint keeps of its own unpruned score: {', '.join(parts)}. Unpruned, the last one has "
        f"{last.mean(0.0):.1f} points and the first {curves[0].mean(0.0):.1f}."
    )


def _draw(found: Sequence[tuple[TaskFacts, Sequence[_Curve]]]) -> Figure:
    from matplotlib import colormaps

    from reports.plots import frame

    figure, axes = panels(len(found))
    for ax, (task, curves) in zip(axes, found, strict=True):
        for number, c in enumerate(curves):
            colour = colormaps["viridis_r"](0.1 + 0.85 * number / max(len(curves) - 1, 1))
            x, y = [100 * share for share in c.scores], [c.mean(share) for share in c.scores]
            ax.plot(x, y, "-o", color=colour, markersize=3, linewidth=1.4, label=f"{c.percent:g} %")
        frame(ax, task.short_name, "heads removed (%)", f"{task.primary} (points)")
    legend(figure, max(axes, key=lambda ax: len(ax.lines)))
    return figure
