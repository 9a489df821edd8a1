"""Blocks: encoders that differ in one thing alone, with accuracies on text and scores on the tasks."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.board import SweepFacts, TaskFacts
from reports.decisions import RESULT
from reports.studies.figures import intervals, legend, name_places, panels
from reports.studies.pretrained import Encoder, Group, Question
from reports.studies.row_changes import TESTED, Compared, Pair, RowChange, compare_pairs
from reports.trials import Trials

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports.studies.content import Variants

Name = Callable[[Encoder], str]
"""What an encoder is called within its block."""
ON_TEXT = (
    "are accuracies in percent on documents kept from training, with Wilson's 95 % intervals, as if every "
    "masked token and pair were drawn on its own. Each encoder was pre-trained once: no interval covers "
    "another draw of its weights."
)
"""How to read the columns of questions, which stand before it."""
ON_TASKS = (
    "Scores are medians over seeds. Changes are means over the seeds, in points, with 95 % intervals over "
    "seeds and examples; verdicts are those of the leaderboard's test, Benjamini-Hochberg over the "
    "comparisons and tasks of a block; equivalent is within the task's margin. Lines in the figure are "
    "intervals of accuracies and ranges of scores."
)
"""How to read the columns of tasks."""
_TITLES: dict[Question, str] = {"MLM": "Masked words", "NSP": "Next sentence", "SOP": "Sentence order"}


@dataclass(frozen=True)
class Block:
    """A group with what its encoders score on the sweep's tasks."""

    group: Group
    sweep: SweepFacts
    compared: Compared

    @classmethod
    def of(
        cls, group: Group, sweep: SweepFacts, pairs: Sequence[Pair], variants: Variants, replicates: int
    ) -> Block:
        """Score a group on the sweep's tasks and compare pairs of its rows."""
        trials = Trials(dict)
        for encoder in group.encoders:
            for task, seeds in encoder.records.items():
                trials[encoder.label, task] = dict(sorted(seeds.items()))
        labels = {encoder.label for encoder in group.encoders}
        own = sweep.model_copy(update={"methods": tuple(m for m in sweep.methods if m.label in labels)})
        compared = compare_pairs(trials, own, pairs, lambda record: variants(record)[RESULT], replicates)
        return cls(group, sweep, compared)

    @property
    def tasks(self) -> list[TaskFacts]:
        """Those that one of the encoders has a result on."""
        return [
            task
            for task in self.sweep.tasks
            if any(self.compared.scores(encoder.label, task.name) for encoder in self.group.encoders)
        ]

    def spread(self, own: Encoder, task: TaskFacts) -> tuple[float, float, float] | None:
        """Median, lowest and highest score of an encoder over its seeds; None without a result."""
        scores = self.compared.scores(own.label, task.name).values()
        return (statistics.median(scores), min(scores), max(scores)) if scores else None

    def change(self, own: Encoder, base: Encoder, task: TaskFacts) -> RowChange | None:
        """What an encoder gains over another on a task; None where they are not compared."""
        return self.compared.changes.get((own.label, base.label), {}).get(task.name)

    def cells(self, own: Encoder, base: Encoder | None) -> list[object]:
        """For every task of the sweep an encoder's median score and its change against another."""
        found: list[object] = []
        for task in self.sweep.tasks:
            spread = self.spread(own, task)
            change = self.change(own, base, task) if base else None
            found += [spread[0] if spread else None, change.in_short() if change else None]
        return found

    def rows(self, own: Encoder, facts: Sequence[object]) -> Iterator[list[object]]:
        """Lines of the whole table: what is known of an encoder, then each seed and comparison."""
        blank: list[object] = [None] * (1 + len(TESTED))
        for task in self.tasks:
            known = [*facts, task.name, task.primary]
            for seed, score in self.compared.scores(own.label, task.name).items():
                yield [*known, seed, score, *blank]
            if spread := self.spread(own, task):
                compared: list[list[object]] = [
                    [base, *changes[task.name].tested]
                    for (row, base), changes in self.compared.changes.items()
                    if row == own.label and task.name in changes
                ]
                for each in compared or [blank]:
                    yield [*known, "median", spread[0], *each]

    def on_tasks(self, where: str, encoders: Sequence[Encoder], base: Encoder, name: Name) -> Iterator[str]:
        """A sentence for every task: what encoders gain over another."""
        for task in self.tasks:
            changes = [(name(own), self.change(own, base, task)) for own in encoders]
            if parts := [f"{called} {change.in_words()}" for called, change in changes if change]:
                title = task.long_name
                yield f"{where}, {title}, points against {name(base)}: {'; '.join(parts)}."


def unlearnt(group: Group, name: Name) -> Iterator[str]:
    """A sentence about the encoders of a group that know no more of words than their frequencies."""
    if idle := [name(encoder) for encoder in group.encoders if not encoder.learnt]:
        yield (
            f"{group.name}, loss on masked words no better than word frequencies give: {', '.join(idle)}; "
            "what tells them from the others is how soon they learn, not what they can."
        )


def task_columns(sweep: SweepFacts) -> list[str]:
    """Column names of `Block.cells`."""
    names = [task.short_name for task in sweep.tasks]
    return [head for name in names for head in (name, f"{name}, change")]


def table_columns(facts: Sequence[str], questions: Sequence[Question]) -> list[str]:
    """Column names of the full table: facts of an encoder, `answers`, `Block.rows`."""
    named = [f"{question.lower()}{part}" for question in questions for part in ("", "_low", "_high", "_n")]
    return [*facts, *named, "task", "metric", "seed", "score", "against", *TESTED]


def answers(encoder: Encoder, questions: Sequence[Question]) -> list[object]:
    """Share, interval and count of every question for the whole table."""
    found: list[object] = []
    for question in questions:
        one = encoder.accuracy(question)
        found += [one.share, one.low, one.high, one.n] if one else [None] * 4
    return found


def answers_in_short(encoder: Encoder, questions: Sequence[Question]) -> list[str | None]:
    """Each question's accuracy with its interval for a page; None where it has none."""
    found = [encoder.accuracy(question) for question in questions]
    return [None if one is None else str(one) for one in found]


def answers_in_words(encoders: Sequence[Encoder], question: Question, name: Name) -> str:
    """Each encoder's accuracy, those that have one."""
    known = [(name(encoder), encoder.accuracy(question)) for encoder in encoders]
    listed = "; ".join(f"{called} {accuracy}" for called, accuracy in known if accuracy)
    return f"{_TITLES[question].lower()} (%): {listed}"


def draw(found: Sequence[Block], questions: Sequence[Question], name: Name) -> Figure:
    """Draw a panel for each question, with intervals, and for each task, median and range over seeds."""
    from reports.plots import FAINT, PALETTE, frame

    tasks = {task.name: task for block in found for task in block.tasks}
    count = len(questions) + len(tasks)
    figure, axes = panels(count, most=2 if count == 4 else 3)
    ax_of = dict(zip((*questions, *tasks), axes, strict=True))
    for question in questions:
        frame(ax_of[question], _TITLES[question], "", f"{question} accuracy (%)")
        if question != "MLM":
            ax_of[question].axhline(50, color=FAINT, linewidth=0.8, linestyle="--")
    for task in tasks.values():
        frame(ax_of[task.name], task.short_name, "", f"{task.primary} (points)")
    names: list[str] = []
    for number, block in enumerate(found):
        encoders, colour = block.group.encoders, PALETTE[number % len(PALETTE)]
        places = range(len(names), len(names) + len(encoders))
        names += map(name, encoders)
        for question in questions:
            known = [encoder.accuracy(question) for encoder in encoders]
            points = [one.points if one else None for one in known]
            intervals(ax_of[question], places, points, colour, block.group.name)
        for task in block.tasks:
            spreads = [block.spread(encoder, task) for encoder in encoders]
            intervals(ax_of[task.name], places, spreads, colour)
    for ax in axes:
        name_places(ax, names)
    legend(figure, axes[0])
    return figure
