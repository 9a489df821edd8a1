"""Texts that stand in two parts of the data, as the page says them."""

from __future__ import annotations

from typing import Any

from small_plans import record

from benchmark.shared_texts import notes
from reports.board import TaskFacts
from reports.record import Record

TASKS = (
    TaskFacts(name="cola", title="CoLA", primary="matthews", margin=3.0),
    TaskFacts(name="rte", primary="accuracy", margin=3.0),
)


def trial(task: str, seed: int, both: int | None, label: str = "step", **pairs: int) -> Record:
    data: dict[str, Any] = {"source": "glue"}
    if both is not None:
        data["texts_in_train_and_validation"] = both
        data["texts_in_two_parts"] = {name.replace("_", "+"): count for name, count in pairs.items()}
    return record({"seed": seed, "label": label, "task": task}, task=task, seed=seed, label=label, data=data)


def test_counts_are_given_with_their_range_over_seeds():
    records = [
        trial("cola", 1, 16, train_reward=2, train_validation=10, reward_choice=0),
        trial("cola", 1, 16, "other", train_reward=2, train_validation=10, reward_choice=0),
        trial("cola", 2, 16, train_reward=2, train_validation=14, reward_choice=1),
    ]
    assert notes(records, TASKS) == [
        "CoLA: texts that stand in two parts of the data: 16 in the official train and validation splits, 2 in "
        "train′ and reward, 10 to 14 in train′ and validation, 0 to 1 in reward and choice; train′ is the part "
        "where weights are learnt."
    ]


def test_tasks_without_such_texts_and_records_without_counts_say_nothing():
    assert notes([trial("rte", 1, 0, train_reward=0), trial("cola", 1, None)], TASKS) == []


def test_each_task_has_a_sentence_of_its_own():
    records = [trial(task, 1, count, train_choice=0) for task, count in (("rte", 2), ("cola", 3))]
    assert [note.split(":")[0] for note in notes(records, TASKS)] == ["CoLA", "rte"]
