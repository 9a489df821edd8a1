"""Report of `head-ablation`: a heat map of what each head alone is worth, and how many matter or help."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reports.board import StudyFacts, SweepFacts, TaskFacts
from reports.decisions import UNPRUNED, Decisions, in_order
from reports.record import Record
from reports.statistics.families import Correction, adjust
from reports.statistics.paired import example_t_test, mcnemar
from reports.statistics.replicates import REPLICATES
from reports.studies.content import Findings, Table, Variants, by_task, seeds_in_words
from reports.studies.effects import LEVEL, Effect, effects
from reports.studies.figures import panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Head = tuple[int, int]
"""Layer and head."""

_CORRECTIONS: tuple[Correction, ...] = ("holm", "bh")


@dataclass(frozen=True)
class _Family:
    """One test of all heads of a task: p-values as they are, and corrected over the heads."""

    changes: dict[Head, float]
    p: dict[Head, float]
    adjusted: dict[str, dict[Head, float]]

    @classmethod
    def of(cls, changes: dict[Head, float], p: dict[Head, float]) -> _Family:
        corrected = {name: adjust(list(p.values()), name) for name in _CORRECTIONS}
        return cls(changes, p, {name: dict(zip(p, ps, strict=True)) for name, ps in corrected.items()})

    def matter(self, correction: str) -> list[Head]:
        """Heads whose removal lowers the score significantly."""
        return [
            head for head, p in self.adjusted[correction].items() if p <= LEVEL and self.changes[head] < 0
        ]

    def help(self, correction: str) -> list[Head]:
        """Heads whose removal raises the score significantly."""
        return [
            head for head, p in self.adjusted[correction].items() if p <= LEVEL and self.changes[head] > 0
        ]


@dataclass(frozen=True)
class _Ablation:
    """All that is known of one task's heads."""

    task: TaskFacts
    records: list[Record]
    base: float
    """Mean score of the unpruned models, in points."""
    accuracy: dict[int, float]
    """Accuracy of the unpruned model by seed, in points."""
    single: dict[Head, Effect]
    """Over seeds."""
    over_seeds: _Family
    by_seed: dict[int, dict[str, _Family]]
    """By seed and test."""


def report(
    study: StudyFacts,
    sweep: SweepFacts,
    records: Sequence[Record],
    variants: Variants,
    *,
    replicates: int = REPLICATES,
) -> Findings:
    """Test every head of every task, each family of heads corrected by Holm and by Benjamini-Hochberg."""
    found = [_ablate(task, own, variants, replicates) for task, own in by_task(sweep, records)]
    return Findings(
        title="Head ablation: the score without each head alone",
        conclusion=[sentence for ablation in found for sentence in _conclude(ablation)],
        summary=Table(_SUMMARY, [row for ablation in found for row in _summary(ablation)]),
        table=Table(_COLUMNS, [row for ablation in found for row in _rows(ablation)]),
        figure=_draw(found),
        notes=[
            "Layers and heads are numbered from 0, layer 0 beside the embeddings. Changes are points without "
            "the head minus with it, of the primary metric in rows of all seeds, of accuracy in those of "
            "one. A head matters when that score falls significantly without it, and hurts when it rises: p "
            "at most 0.05 after correction over all heads of the task.",
            "McNemar (exact) and the paired t-test compare single predictions of one seed's model, right or "
            "wrong, whatever the primary metric. `all` is the test of the leaderboard: new seeds and new "
            "examples, on the primary metric; with one seed new examples alone.",
        ],
    )


def _ablate(task: TaskFacts, records: list[Record], variants: Variants, replicates: int) -> _Ablation:
    loaded = [in_order(variants(record)) for record in records]
    heads = heads_of(records)
    names = {head: name for head, name in heads.items() if all(name in one for one in loaded)}
    single = effects(
        task.name,
        task.primary,
        [one[UNPRUNED] for one in loaded],
        {head: [[one[name]] for one in loaded] for head, name in names.items()},
        replicates=replicates,
    )
    base = statistics.fmean(100 * scores_of(record, task)[UNPRUNED] for record in records)
    accuracy, by_seed = {}, {}
    for record, one in zip(records, loaded, strict=True):
        right = {head: _right(one[name]) for head, name in names.items()}
        start = _right(one[UNPRUNED])
        # What these tests are of: where classes are unequal, F1 or Matthews may move the other way.
        accuracy[record.seed] = 100 * float(start.mean())
        changes = {head: 100 * float(own.mean()) - accuracy[record.seed] for head, own in right.items()}
        by_seed[record.seed] = {
            "McNemar": _Family.of(changes, {head: mcnemar(own, start) for head, own in right.items()}),
            "t-test": _Family.of(changes, {head: example_t_test(own, start) for head, own in right.items()}),
        }
    means = {head: effect.mean for head, effect in single.items()}
    together = _Family.of(means, {head: effect.p for head, effect in single.items()})
    return _Ablation(task, records, base, accuracy, single, together, by_seed)


def heads_of(records: Sequence[Record]) -> dict[Head, str]:
    """Name of the variant without each head, in order of layer and head."""
    found = {
        (each.facts["layer"], each.facts["head"]): each.name
        for record in records
        for each in record.variants
        if each.name != UNPRUNED
    }
    return dict(sorted(found.items()))


def scores_of(record: Record, task: TaskFacts) -> dict[str, float]:
    """Primary metric of each variant, as a fraction."""
    return {each.name: each.scores[task.primary] for each in record.variants}


def _right(decisions: Decisions) -> np.ndarray:
    return decisions.classes == decisions.labels


_COLUMNS = [
    "task", "metric", "seed", "layer", "head", "unpruned", "change", "low", "high",
    "test", "p", "p_holm", "p_bh",
]  # fmt: skip
_SUMMARY = ["task", "seed", "test", "metric", "heads", "unpruned", "matter (Holm)", "matter (BH)",
            "hurt (Holm)", "hurt (BH)", "largest loss", "largest gain"]  # fmt: skip


def _rows(a: _Ablation) -> list[list[object]]:
    rows = []
    for head, effect in a.single.items():
        facts = [a.task.name, a.task.primary, "all", *head, a.base, effect.mean, effect.low, effect.high]
        rows.append([*facts, "combined", *_p(a.over_seeds, head)])
    for seed, families in a.by_seed.items():
        for test, family in families.items():
            for head, change in family.changes.items():
                facts = [a.task.name, "accuracy", seed, *head, a.accuracy[seed], change, None, None]
                rows.append([*facts, test, *_p(family, head)])
    return rows


def _p(family: _Family, head: Head) -> list[float]:
    return [family.p[head], *(family.adjusted[name][head] for name in _CORRECTIONS)]


def _summary(a: _Ablation) -> list[list[object]]:
    families: list[tuple[str, str, str, float, _Family]] = [
        ("all", "combined", a.task.primary, a.base, a.over_seeds)
    ]
    families += [
        (str(seed), test, "accuracy", a.accuracy[seed], family)
        for seed, tests in a.by_seed.items()
        for test, family in tests.items()
    ]
    rows: list[list[object]] = []
    for seed, test, metric, base, family in families:
        counts = [len(side(name)) for side in (family.matter, family.help) for name in _CORRECTIONS]
        extremes = [_extreme(family.changes, sign) for sign in (1, -1)]
        rows.append([a.task.name, seed, test, metric, len(family.changes), base, *counts, *extremes])
    return rows


def _extreme(changes: Mapping[Head, float], sign: int) -> str:
    layer, head = min(changes, key=lambda head: sign * changes[head])
    return f"{changes[layer, head]:+.2f} ({layer}.{head})"


def _conclude(a: _Ablation) -> list[str]:
    total, title = len(a.single), a.task.long_name
    matter, hurt = a.over_seeds.matter("holm"), a.over_seeds.help("holm")
    matter_bh, hurt_bh = a.over_seeds.matter("bh"), a.over_seeds.help("bh")
    mcnemar_ = [tests["McNemar"] for tests in a.by_seed.values()]
    per_seed = [statistics.median(len(f.matter("holm")) for f in mcnemar_)]
    per_seed.append(statistics.median(len(f.help("holm")) for f in mcnemar_))
    without = total - len({*matter, *hurt})
    worst = _extreme(a.over_seeds.changes, 1)
    return [
        f"{title}, {seeds_in_words(a.records)}: {without} of {total} heads can each go alone without a "
        f"significant change; {len(matter)} matter ({len(matter_bh)} by Benjamini-Hochberg) and {len(hurt)} "
        f"hurt ({len(hurt_bh)}). Largest loss {worst} points.",
        f"{title}, single models by exact McNemar on accuracy, with Holm: in the median seed {per_seed[0]:g} "
        f"heads matter and {per_seed[1]:g} hurt.",
    ]


def _draw(found: Sequence[_Ablation]) -> Figure:
    from reports.plots import INK, frame

    figure, axes = panels(len(found))
    for ax, a in zip(axes, found, strict=True):
        layers, heads = (1 + max(head[axis] for head in a.single) for axis in (0, 1))
        changes = np.full((layers, heads), np.nan)
        for head, effect in a.single.items():
            changes[head] = effect.mean
        limit = max(float(np.nanmax(np.abs(changes))), 0.1)
        image = ax.imshow(changes, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
        for layer, number in {*a.over_seeds.matter("holm"), *a.over_seeds.help("holm")}:
            colour = "white" if abs(changes[layer, number]) > 0.6 * limit else INK
            ax.text(number, layer, "*", ha="center", va="center", color=colour, fontsize=11)
        frame(ax, a.task.short_name, "head", "layer")
        ax.grid(visible=False)
        ax.set_yticks(range(layers))
        bar = figure.colorbar(image, ax=ax)
        bar.set_label("change without it (points; * Holm)", fontsize=8, color=INK)
        bar.ax.tick_params(labelsize=8)
    return figure
