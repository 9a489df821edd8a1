"""Report of `layerwise`: the score after each layer that a method has pruned and trained on."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from reports.board import START_MODEL, StudyFacts, SweepFacts, TaskFacts
from reports.names import short_names
from reports.record import Record
from reports.studies.content import Findings, Table, Variants, by_task, collapsed_starts
from reports.studies.figures import legend, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LAYER = re.compile(r"layer-(\d+)")


@dataclass(frozen=True)
class _Line:
    """One method on one task: scores in points by layers done (0 is the start model) and seed."""

    label: str
    scores: dict[int, dict[int, float]]

    def changes(self, layers: int) -> dict[int, float]:
        """Difference to the start model of the same seed."""
        start = self.scores.get(0, {})
        return {seed: score - start[seed] for seed, score in self.scores[layers].items() if seed in start}

    @property
    def last(self) -> int:
        """Layers done at the end."""
        return max(self.scores)


@dataclass(frozen=True)
class _Search:
    """What a method that searches each layer changed on its reward examples, in points by pruned layer.

    The last layer is left out: after its training nothing is measured on them.
    """

    label: str
    pruning: list[float]
    whole: list[float]
    """By pruning and the training after it."""

    @property
    def by_pruning(self) -> float:
        """Mean change by pruning a layer."""
        return statistics.fmean(self.pruning)

    @property
    def by_training(self) -> float:
        """Mean change by the training after it."""
        return statistics.fmean(self.whole) - self.by_pruning

    @property
    def made_up(self) -> list[bool]:
        """For each layer whose pruning lost something, whether the training brought that back."""
        both = zip(self.pruning, self.whole, strict=True)
        return [whole >= 0 for pruned, whole in both if pruned < 0]


def report(study: StudyFacts, sweep: SweepFacts, records: Sequence[Record], variants: Variants) -> Findings:
    """Line up the stages of every method that has them with the start model's score."""
    found = [(task, _lines(task, own)) for task, own in by_task(sweep, records)]
    found = [(task, lines) for task, lines in found if lines]
    most = max((line.last for _, lines in found for line in lines), default=0)
    names = short_names(line.label for _, lines in found for line in lines)
    conclusion = [_conclude(task, line, names) for task, lines in found for line in lines]
    searched = [(task, search) for task, own in by_task(sweep, records) for search in _searches(own)]
    weighed = [_weighed(task, search, names) for task, search in searched]
    conclusion += [_weigh(task, search, names) for task, search in searched]
    if not found:
        conclusion = [
            "No method of this sweep has left a score after each layer (stages layer-0, layer-1, ...): run a "
            "sweep with a layer-wise method first."
        ]
    return Findings(
        title="Layer by layer: the score while layer after layer is pruned",
        conclusion=[*collapsed_starts(sweep, records), *conclusion],
        summary=Table(
            [*_SUMMARY, *map(str, range(most + 1)), "change at the end"],
            [_summary(task, line, names, most) for task, lines in found for line in lines],
        ),
        table=Table(_COLUMNS, [row for task, lines in found for row in _rows(task, lines)]),
        further={_REWARDED: Table(_SEARCHED, weighed)} if weighed else {},
        figure=_draw(found, names) if found else None,
        notes=[
            "The validation score after each layer is descriptive: no method sees it. 0 layers is the start "
            f"model, the record of {START_MODEL}. Medians over seeds, bands from lowest to highest; the "
            "change at the end is a mean over seeds.",
            *([_FLATTERED] if searched else []),
        ],
    )


def _lines(task: TaskFacts, records: Sequence[Record]) -> list[_Line]:
    start = {r.seed: 100 * r.scores[task.primary] for r in records if r.label == START_MODEL}
    lines = []
    for label in dict.fromkeys(record.label for record in records):
        scores: dict[int, dict[int, float]] = {}
        for record in records:
            for name, stage in record.stages.items() if record.label == label else ():
                if layer := _LAYER.fullmatch(name):
                    scores.setdefault(int(layer[1]) + 1, {})[record.seed] = 100 * stage[task.primary]
        if scores:
            seeds = {seed for by_seed in scores.values() for seed in by_seed}
            own = {seed: score for seed, score in start.items() if seed in seeds}
            lines.append(_Line(label, ({0: own} if own else {}) | dict(sorted(scores.items()))))
    return lines


_REWARDED = "Pruning a layer and the training after it, on the reward examples"
_FLATTERED = (
    "On the reward examples: mean changes in points by pruned layer, all layers but the last. The heads were "
    "chosen on these examples, which flatters their removal; part of what follows is its return to the mean."
)
_SEARCHED = ["task", "method", "layers pruned", "by pruning", "by training", "pruning lost", "made up"]


def _searches(records: Sequence[Record]) -> list[_Search]:
    """Methods whose notes hold each layer's score on the reward examples before it was pruned."""
    found: dict[str, _Search] = {}
    for record in records:
        layers = [layer for layer in record.notes.get("layers", ()) if "unpruned" in layer]
        for layer, after in pairwise(layers):
            if layer["removed"]:
                own = found.setdefault(record.label, _Search(record.label, [], []))
                masks = (layer["greedy"], layer["best"])
                own.pruning.append(next(m["gain"] for m in masks if m["removed"] == layer["removed"]))
                own.whole.append(100 * (after["unpruned"] - layer["unpruned"]))
    return list(found.values())


def _weighed(task: TaskFacts, search: _Search, names: Mapping[str, str]) -> list[object]:
    means = [search.by_pruning, search.by_training]
    layers = [len(search.made_up), sum(search.made_up)]
    return [task.name, names[search.label], len(search.whole), *means, *layers]


def _weigh(task: TaskFacts, search: _Search, names: Mapping[str, str]) -> str:
    return (
        f"{task.long_name}, {names[search.label]}, on the reward examples: pruning a layer changes "
        f"{search.by_pruning:+.1f} points on average, the training after it {search.by_training:+.1f}; of "
        f"{len(search.whole)} layers pruning lost on {len(search.made_up)}, and training made it up on "
        f"{sum(search.made_up)}."
    )


_COLUMNS = ["task", "metric", "label", "layers", "seed", "score", "change"]
_SUMMARY = ["task", "method", "seeds"]


def _rows(task: TaskFacts, lines: Sequence[_Line]) -> list[list[object]]:
    return [
        [task.name, task.primary, line.label, layers, seed, score, line.changes(layers).get(seed)]
        for line in lines
        for layers, seeds in line.scores.items()
        for seed, score in seeds.items()
    ]


def _summary(task: TaskFacts, line: _Line, names: Mapping[str, str], most: int) -> list[object]:
    """Medians after 0, 1, ... `most` layers and the mean change at the end."""
    medians = [statistics.median(seeds.values()) for seeds in line.scores.values()]
    by_layers = dict(zip(line.scores, medians, strict=True))
    changes = line.changes(line.last).values()
    ends = statistics.fmean(changes) if changes else None
    row = [task.name, names[line.label], len(line.scores[line.last])]
    return [*row, *(by_layers.get(layers) for layers in range(most + 1)), ends]


def _conclude(task: TaskFacts, line: _Line, names: Mapping[str, str]) -> str:
    ends = line.changes(line.last)
    where = f"{task.long_name}, {names[line.label]}"
    if not ends:
        return f"{where}: no start model to compare with."
    rising = sum(
        statistics.median(line.scores[layers].values()) >= statistics.median(line.scores[layers - 1].values())
        for layers in range(1, line.last + 1)
        if layers in line.scores and layers - 1 in line.scores
    )
    return (
        f"{where}: after all {line.last} layers {statistics.fmean(ends.values()):+.1f} points against the "
        f"start model on average over {len(ends)} seed{'' if len(ends) == 1 else 's'}, above it in "
        f"{sum(change > 0 for change in ends.values())}; the median does not fall in {rising} of "
        f"{line.last} steps."
    )


def _draw(found: Sequence[tuple[TaskFacts, Sequence[_Line]]], names: Mapping[str, str]) -> Figure:
    from matplotlib.ticker import MaxNLocator

    from reports.plots import PALETTE, frame

    labels = list(names)
    figure, axes = panels(len(found))
    for ax, (task, lines) in zip(axes, found, strict=True):
        for line in lines:
            colour = PALETTE[labels.index(line.label) % len(PALETTE)]
            x, seeds = list(line.scores), [list(by_seed.values()) for by_seed in line.scores.values()]
            low, high = [min(scores) for scores in seeds], [max(scores) for scores in seeds]
            ax.fill_between(x, low, high, color=colour, alpha=0.1, linewidth=0)
            y = [statistics.median(scores) for scores in seeds]
            ax.plot(x, y, "-o", color=colour, markersize=4, linewidth=1.4, label=names[line.label])
        frame(ax, task.short_name, "layers pruned", f"{task.primary} (points)")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, max(axes, key=lambda ax: len(ax.lines)))
    return figure
