"""Report of `one-head`: layer by layer, what is lost when one chosen head does the work of all."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.board import StudyFacts, SweepFacts, TaskFacts
from reports.decisions import UNPRUNED, in_order
from reports.record import Record
from reports.statistics.families import adjust
from reports.statistics.paired import mcnemar
from reports.statistics.replicates import REPLICATES
from reports.studies.content import Findings, Table, Variants, by_task, seeds_in_words
from reports.studies.effects import LEVEL, Effect, effects
from reports.studies.figures import panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class _Layers:
    """What one head per layer means on one task."""

    task: TaskFacts
    records: list[Record]
    effects: dict[int, Effect]
    holm: dict[int, float]
    bh: dict[int, float]
    heads: dict[int, list[int]]
    """The head that stayed, by layer and seed."""
    mcnemar: dict[int, list[float]]
    """Exact p by layer and seed, Holm over the layers of a seed."""


def report(
    study: StudyFacts,
    sweep: SweepFacts,
    records: Sequence[Record],
    variants: Variants,
    *,
    replicates: int = REPLICATES,
) -> Findings:
    """Test each layer's change, corrected over the layers."""
    found = [_test(task, own, variants, replicates) for task, own in by_task(sweep, records)]
    return Findings(
        title="One head: the score when a layer keeps its best head alone",
        conclusion=[_conclude(each) for each in found],
        summary=Table(_SUMMARY, [row for each in found for row in _summary(each)]),
        table=Table(_COLUMNS, [row for each in found for row in _rows(each)]),
        figure=_draw(found),
        notes=[
            "The head that stays is chosen on selection data; validation sees that head alone, so no maximum "
            "over heads is taken on the data shown. All other layers keep their heads. Layers and heads are "
            "numbered from 0.",
            "p is that of the leaderboard's test (new seeds and examples; with one seed new examples alone), "
            "corrected over the layers. McNemar (exact, Holm over the layers) counts seeds whose own model "
            "changes significantly.",
        ],
    )


def _test(task: TaskFacts, records: list[Record], variants: Variants, replicates: int) -> _Layers:
    loaded = [in_order(variants(record)) for record in records]
    layers = sorted({each.facts["layer"] for r in records for each in r.variants if each.name != UNPRUNED})
    found = effects(
        task.name,
        task.primary,
        [one[UNPRUNED] for one in loaded],
        {layer: [[one[str(layer)]] for one in loaded] for layer in layers},
        replicates=replicates,
    )
    exact: dict[int, list[float]] = {layer: [] for layer in layers}
    for one in loaded:
        right = {name: p.classes == p.labels for name, p in one.items()}
        raw = [mcnemar(right[str(layer)], right[UNPRUNED]) for layer in layers]
        for layer, p in zip(layers, adjust(raw, "holm"), strict=True):
            exact[layer].append(p)
    p_values = [effect.p for effect in found.values()]
    return _Layers(
        task,
        records,
        found,
        dict(zip(found, adjust(p_values, "holm"), strict=True)),
        dict(zip(found, adjust(p_values, "bh"), strict=True)),
        {
            layer: [each.facts["head"] for r in records for each in r.variants if each.name == str(layer)]
            for layer in layers
        },
        exact,
    )


_COLUMNS = ["task", "metric", "seed", "layer", "head", "unpruned", "score", "change", "p_mcnemar_holm"]
_SUMMARY = ["task", "layer", "heads chosen", "change", "low", "high", "p", "p (Holm)", "p (BH)",
            "McNemar, seeds"]  # fmt: skip


def _rows(each: _Layers) -> list[list[object]]:
    rows: list[list[object]] = []
    for number, record in enumerate(each.records):
        base = 100 * next(v.scores[each.task.primary] for v in record.variants if v.name == UNPRUNED)
        for layer, effect in each.effects.items():
            change = effect.changes[number]
            facts = [each.task.name, each.task.primary, record.seed, layer, each.heads[layer][number]]
            rows.append([*facts, base, base + change, change, each.mcnemar[layer][number]])
    return rows


def _summary(each: _Layers) -> list[list[object]]:
    rows: list[list[object]] = []
    for layer, effect in each.effects.items():
        chosen = ", ".join(
            f"{head}" + (f" ({count})" if count > 1 else "")
            for head, count in Counter(each.heads[layer]).most_common()
        )
        significant = sum(p <= LEVEL for p in each.mcnemar[layer])
        tests = [effect.p, each.holm[layer], each.bh[layer], f"{significant} of {len(each.records)}"]
        rows.append([each.task.name, layer, chosen, effect.mean, effect.low, effect.high, *tests])
    return rows


def _conclude(each: _Layers) -> str:
    losing = [layer for layer, e in each.effects.items() if e.mean < 0 and each.holm[layer] <= LEVEL]
    total = len(each.effects)
    worst = min(each.effects, key=lambda layer: each.effects[layer].mean)
    effect = each.effects[worst]
    # That no loss is significant would not show that one head is enough: noise alone can hide it.
    enough = sum(e.low > -each.task.margin for e in each.effects.values())
    lost = f" ({', '.join(f'layer {layer}' for layer in losing)})" if losing else ""
    seeds = statistics.fmean(sum(p <= LEVEL for p in ps) for ps in each.mcnemar.values()) / len(each.records)
    return (
        f"{each.task.long_name}, {seeds_in_words(each.records)}: of {total} layers, one head is shown to be "
        f"enough in {enough} (loses less than {each.task.margin:g} points by the whole interval), and loses "
        f"significantly after Holm in {len(losing)}{lost}. Largest change: {effect.mean:+.2f} points in "
        f"layer {worst} (95 % interval {effect.low:+.2f} to {effect.high:+.2f}). Single models change "
        f"significantly by McNemar in {seeds:.0%} of layers."
    )


def _draw(found: Sequence[_Layers]) -> Figure:
    from reports.plots import FAINT, PALETTE, frame

    figure, axes = panels(len(found))
    for ax, each in zip(axes, found, strict=True):
        for layer, effect in each.effects.items():
            colour = PALETTE[1] if each.holm[layer] <= LEVEL else PALETTE[0]
            ax.vlines(layer, effect.low, effect.high, color=colour, linewidth=2, alpha=0.5)
            ax.plot([layer], [effect.mean], "o", color=colour, markersize=6)
        ax.axhline(0, color=FAINT, linewidth=0.8)
        frame(ax, each.task.short_name, "layer with one head", "change (points, 95 %)")
        ax.set_xticks(list(each.effects))
    return figure
