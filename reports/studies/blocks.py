"""Blocks: encoders that differ in one thing alone, with accuracies on text and scores on the tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.board import SweepFacts
from reports.studies.downstream import COLUMNS, Downstream, Pair, downstream
from reports.studies.figures import intervals, legend, name_places, panels
from reports.studies.pretrained import Encoder, Group, Question

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
    "seeds and examples, by the leaderboard's test with Holm over all comparisons of a block on a task; "
    "equivalent is within the task's margin. Lines in the figure are intervals of accuracies and ranges of "
    "scores."
)
"""How to read the columns of tasks."""
_TITLES: dict[Question, str] = {"MLM": "Masked words", "NSP": "Next sentence", "SOP": "Sentence order"}


@dataclass(frozen=True)
class Block:
    """A group with its scores on the tasks."""

    group: Group
    tasks: list[Downstream]

    @classmethod
    def of(
        cls, group: Group, sweep: SweepFacts, pairs: Sequence[Pair], variants: Variants, replicates: int
    ) -> Block:
        """Score a group on the sweep's tasks and compare pairs of its rows."""
        records = {encoder.label: encoder.records for encoder in group.encoders}
        return cls(group, downstream(sweep, records, pairs, variants, replicates=replicates))

    def cells(self, sweep: SweepFacts, own: Encoder, base: Encoder | None) -> list[object]:
        """For every task of the sweep an encoder's median score and its change against another."""
        tasks = {each.task.name: each for each in self.tasks}
        found: list[object] = []
        for task in sweep.tasks:
            on = tasks.get(task.name)
            spread = on.spread(own.label) if on else None
            change = on.changes.get((own.label, base.label)) if on and base else None
            found += [spread[0] if spread else None, str(change) if change else None]
        return found

    def rows(self, own: Encoder, facts: Sequence[object]) -> Iterator[list[object]]:
        """Lines of the whole table: what is known of an encoder, then each seed and comparison."""
        for task in self.tasks:
            yield from ([*facts, *line] for line in task.rows(own.label))

    def on_tasks(self, where: str, encoders: Sequence[Encoder], base: Encoder, name: Name) -> Iterator[str]:
        """A sentence for every task: what encoders gain over another."""
        for task in self.tasks:
            changes = [(name(own), task.changes.get((own.label, base.label))) for own in encoders]
            if parts := [f"{called} {change.in_words}" for called, change in changes if change]:
                yield f"{where}, {task.title}, points against {name(base)}: {'; '.join(parts)}."


def task_heads(sweep: SweepFacts) -> list[str]:
    """Heads of `Block.cells`."""
    names = [task.short or task.name for task in sweep.tasks]
    return [head for name in names for head in (name, f"{name}, change")]


def heads(facts: Sequence[str], questions: Sequence[Question]) -> list[str]:
    """Heads of the whole table: of what is known of an encoder, of `answers`, of `Block.rows`."""
    named = [f"{question.lower()}{part}" for question in questions for part in ("", "_low", "_high", "_n")]
    return [*facts, *named, *COLUMNS]


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

    tasks = {task.title: task.task.primary for block in found for task in block.tasks}
    count = len(questions) + len(tasks)
    figure, axes = panels(count, most=2 if count == 4 else 3)
    by_title = dict(zip((*questions, *tasks), axes, strict=True))
    for question in questions:
        frame(by_title[question], _TITLES[question], "", f"{question} accuracy (%)")
        if question != "MLM":
            by_title[question].axhline(50, color=FAINT, linewidth=0.8, linestyle="--")
    for title, metric in tasks.items():
        frame(by_title[title], title, "", f"{metric} (points)")
    names: list[str] = []
    for number, block in enumerate(found):
        encoders, colour = block.group.encoders, PALETTE[number % len(PALETTE)]
        places = range(len(names), len(names) + len(encoders))
        names += map(name, encoders)
        for question in questions:
            known = [encoder.accuracy(question) for encoder in encoders]
            points = [one.points if one else None for one in known]
            intervals(by_title[question], places, points, colour, block.group.name)
        for task in block.tasks:
            spreads = [task.spread(encoder.label) for encoder in encoders]
            intervals(by_title[task.title], places, spreads, colour)
    for place in axes:
        name_places(place, names)
    legend(figure, axes[0], inches=2.4)
    return figure
