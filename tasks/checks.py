"""Whether loaded data is what its task declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.errors import BadInput
from tasks.task import Task

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


def check(task: Task, data: DatasetDict, source: str) -> None:
    """Compare the train split and those of validation with the declaration.

    Raises:
        BadInput: a split, column, text or label is missing, a split is empty, or label names or ids differ.
    """
    for split in ("train", *task.validation):
        where = f"data: {source}, task {task.name!r}, split {split!r}"
        if split not in data:
            raise BadInput(f"{where} is missing; there are: {', '.join(data)}")
        if not len(data[split]):
            raise BadInput(f"{where} is empty; both train and validation need examples")
        _check_texts(task, data[split], where)
        _check_labels(task, data[split], where)


def _check_texts(task: Task, split: Dataset, where: str) -> None:
    for column in task.columns:
        _check_column(column, split, where)
        kind = split.features[column]
        if getattr(kind, "dtype", None) not in ("string", "large_string"):
            raise BadInput(f"{where}: column {column!r} is {kind}; a text column holds strings")


def _check_labels(task: Task, split: Dataset, where: str) -> None:
    import pyarrow.compute as pc

    _check_column(task.label, split, where)
    kind = split.features[task.label]
    names = getattr(kind, "names", None)
    if names is not None and tuple(names) != task.labels:
        raise BadInput(
            f"{where}: column {task.label!r} has the classes {', '.join(names)}, the task declares "
            f"{', '.join(task.labels)} in this order; fix the data or declare a task of its own"
        )
    if names is None and "int" not in str(getattr(kind, "dtype", "")):
        raise BadInput(
            f"{where}: column {task.label!r} is {kind}; labels are class ids, 0 to {len(task.labels) - 1}"
        )
    span = pc.min_max(split.data.column(task.label)).as_py()
    if span["min"] < 0 or span["max"] >= len(task.labels):
        raise BadInput(
            f"{where}: labels range from {span['min']} to {span['max']}, the {len(task.labels)} classes are "
            f"0 to {len(task.labels) - 1}; -1 marks examples without a label, which cannot be used"
        )


def _check_column(column: str, split: Dataset, where: str) -> None:
    if column not in split.column_names:
        raise BadInput(f"{where}: column {column!r} is missing; there are: {', '.join(split.column_names)}")
    if missing := split.data.column(column).null_count:
        raise BadInput(f"{where}: column {column!r} lacks a value in {missing} rows; fill or remove them")
