"""Report of `pruning-curve`: score against share of heads removed, by order, and where the loss begins."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from reports.board import StudyFacts, SweepFacts, TaskFacts
from reports.decisions import Decisions
from reports.record import Record
from reports.statistics.families import adjust
from reports.statistics.replicates import REPLICATES
from reports.studies.content import Findings, Table, Variants, by_task, seeds_in_words
from reports.studies.effects import LEVEL, Effect, effects
from reports.studies.figures import legend, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDERS = {
    "importance": "least important first",
    "ablation": "by single ablation",
    "magnitude": "smallest weights first",
    "random": "random",
    "reverse": "most important first",
}
"""In the order of the legend, with what the legend calls them."""


@dataclass(frozen=True)
class _Curve:
    """One order on one task; all lists go along `shares`."""

    order: str
    margin: float
    shares: list[float]
    heads: list[int]
    base: float
    effects: list[Effect]
    holm: list[float]

    def lost(self, point: int) -> bool:
        """Whether the score at a point is significantly below the unpruned one."""
        return self.effects[point].mean < 0 and self.holm[point] <= LEVEL

    @property
    def first_loss(self) -> int | None:
        """The first point with a significant loss."""
        return next((point for point in range(len(self.shares)) if self.lost(point)), None)

    @property
    def within(self) -> float:
        """The largest share up to which every interval stays above a loss of the margin.

        That no loss is significant would not show this: the noisier a curve, the later it is.
        """
        kept = takewhile(
            lambda point: point[1].low > -self.margin, zip(self.shares, self.effects, strict=True)
        )
        return max((share for share, _ in kept), default=0.0)


def report(
    study: StudyFacts,
    sweep: SweepFacts,
    records: Sequence[Record],
    variants: Variants,
    *,
    replicates: int = REPLICATES,
) -> Findings:
    """Test every point of every curve against the unpruned model, each curve corrected by Holm."""
    found = [(task, own, _curves(task, own, variants, replicates)) for task, own in by_task(sweep, records)]
    return Findings(
        title="Pruning curve: how many heads can go at once",
        conclusion=[_conclude(task, own, curves) for task, own, curves in found],
        summary=Table(_SUMMARY, [row for task, _, own in found for row in _summary(task, own)]),
        table=Table(_COLUMNS, [row for task, _, curves in found for row in _rows(task, curves)]),
        figure=_draw([(task, curves) for task, _, curves in found]),
        notes=[
            "Nothing is trained after pruning. `ablation` ranks heads by what the model is worth without "
            "each alone, on selection data, not on the data shown. Random draws are averaged in each seed. "
            "The first loss is the first share whose score is significantly below the unpruned one: the "
            "leaderboard's test (new seeds and examples; with one seed new examples alone), Holm over the "
            "shares of a curve. No significant loss is not the same as no loss, and noisy curves have it "
            "late: `within the margin` is the largest share up to which the whole 95 % interval of every "
            "change lies above a loss of the task's margin.",
        ],
    )


def _curves(task: TaskFacts, records: list[Record], variants: Variants, replicates: int) -> list[_Curve]:
    loaded = [variants(record) for record in records]
    points: dict[tuple[str, float], list[list[Decisions]]] = {}
    heads: dict[float, int] = {}
    for number, (record, one) in enumerate(zip(records, loaded, strict=True)):
        for each in record.variants:
            seeds = points.setdefault((each.facts["order"], each.facts["share"]), [[] for _ in records])
            seeds[number].append(one[each.name])
            heads[each.facts["share"]] = each.facts["heads"]
    # All curves start from the same model, the unpruned one.
    base = [draws[0] for draws in points["importance", 0.0]]
    found = effects(task.name, task.primary, base, points, replicates=replicates)
    start = statistics.fmean(_scores(records, task, "importance", 0.0))
    curves = []
    for order in ORDERS:
        shares = sorted(share for name, share in points if name == order)
        own = [found[order, share] for share in shares]
        # The first point is the unpruned model itself and no hypothesis.
        holm = [1.0, *adjust([effect.p for effect in own[1:]], "holm")]
        numbers = [heads[share] for share in shares]
        curves.append(_Curve(order, task.margin, shares, numbers, start, own, holm))
    return curves


def _scores(records: Sequence[Record], task: TaskFacts, order: str, share: float) -> list[float]:
    return [
        100 * each.scores[task.primary]
        for record in records
        for each in record.variants
        if (each.facts["order"], each.facts["share"]) == (order, share)
    ]


_COLUMNS = ["task", "metric", "order", "share", "heads_removed", "score", "change", "low", "high",
            "min_change", "max_change", "p", "p_holm"]  # fmt: skip
_SUMMARY = ["task", "order", "unpruned", "score at 20 %", "40 %", "60 %", "80 %", "first loss",
            "within the margin"]  # fmt: skip


def _rows(task: TaskFacts, curves: Sequence[_Curve]) -> list[list[object]]:
    return [
        [
            *(task.name, task.primary, c.order, share, heads),
            *(c.base + e.mean, e.mean, e.low, e.high, min(e.changes), max(e.changes), e.p, holm),
        ]
        for c in curves
        for share, heads, e, holm in zip(c.shares, c.heads, c.effects, c.holm, strict=True)
    ]


def _summary(task: TaskFacts, curves: Sequence[_Curve]) -> list[list[object]]:
    rows: list[list[object]] = []
    for c in curves:
        by_share = dict(zip(c.shares, c.effects, strict=True))
        at = [c.base + by_share[s].mean if s in by_share else None for s in (0.2, 0.4, 0.6, 0.8)]
        first = c.first_loss
        loss = "none" if first is None else f"{c.shares[first]:.0%}"
        rows.append([task.name, c.order, c.base, *at, loss, f"{c.within:.0%}"])
    return rows


def _conclude(task: TaskFacts, records: Sequence[Record], curves: Sequence[_Curve]) -> str:
    by_order = {c.order: c for c in curves}
    own, rest = by_order["importance"], [c for c in curves if c.order != "importance"]
    first = own.first_loss
    begins = (
        "no share shows a significant loss"
        if first is None
        else f"the loss is first significant at {own.shares[first]:.0%} "
        f"({own.effects[first].mean:+.1f} points, 95 % interval {own.effects[first].low:+.1f} to "
        f"{own.effects[first].high:+.1f})"
    )
    others = ", ".join(f"{c.order} {c.within:.0%}" for c in rest)
    return (
        f"{task.long_name}, {seeds_in_words(records)}: by importance {begins}. Largest share up to which "
        f"less than {task.margin:g} points are shown to be lost: importance {own.within:.0%}, {others}."
    )


def _draw(found: Sequence[tuple[TaskFacts, Sequence[_Curve]]]) -> Figure:
    from reports.plots import FAINT, PALETTE, frame

    figure, axes = panels(len(found))
    for ax, (task, curves) in zip(axes, found, strict=True):
        ax.axhline(curves[0].base, color=FAINT, linewidth=0.8, linestyle="--")
        for colour, c in zip(PALETTE, curves, strict=False):
            x = [100 * share for share in c.shares]
            y = [c.base + e.mean for e in c.effects]
            ax.fill_between(
                x,
                [c.base + min(e.changes) for e in c.effects],
                [c.base + max(e.changes) for e in c.effects],
                color=colour,
                alpha=0.1,
                linewidth=0,
            )
            ax.plot(x, y, "-o", color=colour, markersize=3, linewidth=1.4, label=ORDERS[c.order])
            if (first := c.first_loss) is not None:
                ax.plot([x[first]], [y[first]], "o", color=colour, markersize=8, fillstyle="none")
        frame(ax, task.short_name, "heads removed (%)", f"{task.primary} (points)")
    legend(figure, axes[0])
    return figure
