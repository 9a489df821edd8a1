"""Texts that stand in two parts of a task's data: what the page says of the counts in the records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from reports.board import TaskFacts
from reports.record import Record


def notes(records: Iterable[Record], tasks: Iterable[TaskFacts]) -> list[str]:
    """Return a sentence for each task whose splits, or parts of them, have a text in common.

    Args:
        records: trials; those without counts are passed over.
        tasks: of the leaderboard.
    """
    counts: defaultdict[str, defaultdict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for record in records:
        own = counts[record.task]
        if "texts_in_train_and_validation" in record.data:
            own["the official train and validation splits"].add(record.data["texts_in_train_and_validation"])
        for pair, count in record.data.get("texts_in_two_parts", {}).items():
            # A prime tells the part where weights are learnt from the official split it is taken from.
            own[pair.replace("train", "train′").replace("+", " and ")].add(count)
    found = []
    for task in tasks:
        shared = {pair: numbers for pair, numbers in counts[task.name].items() if any(numbers)}
        if shared:
            pairs = [f"{_range(numbers)} in {pair}" for pair, numbers in shared.items()]
            found.append(
                f"{task.long_name}: texts that stand in two parts of the data: {', '.join(pairs)}; train′ is "
                "the part where weights are learnt."
            )
    return found


def _range(numbers: set[int]) -> str:
    """The number, or where it differs by seed the least and the greatest."""
    least, greatest = min(numbers), max(numbers)
    return f"{least}" if least == greatest else f"{least} to {greatest}"
