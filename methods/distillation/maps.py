"""Which layer of the teacher teaches which layer of the student; every paper counts in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from tasks.errors import BadInput

if TYPE_CHECKING:
    from methods.distillation.fields import Take

Strategy = Literal["skip", "last"]


def positions(depth: int, layers: int | None, take: Take) -> list[int]:
    """Which of a model's layers become the student's, counted from 0.

    Args:
        depth: layers of the model.
        layers: layers to keep; None keeps half.
        take: the `first` ones, evenly spread ones (`skip`), or a list counted from 1, which decides alone.

    Raises:
        BadInput: the model does not have them, or one is named twice.
    """
    if isinstance(take, tuple):
        if len(set(take)) < len(take) or max(take) > depth:
            raise BadInput(f"take: {list(take)} of a model with layers 1 to {depth}; name each at most once")
        return [layer - 1 for layer in take]
    kept = max(1, depth // 2) if layers is None else layers
    if kept > depth:
        raise BadInput(f"layers: {kept} asked for, but the model has {depth}; give 1 to {depth}")
    return spread(kept, depth) if take == "skip" else list(range(kept))


def spread(kept: int, layers: int) -> list[int]:
    """Spread `kept` positions evenly over `layers`, first and last included.

    As DistilBERT takes its layers: 0, 2, 4, 7, 9, 11 for six of twelve (official code, extract_distilbert).
    """
    if kept == 1:
        return [0]
    return [round(place * (layers - 1) / (kept - 1)) for place in range(kept)]


def patience_slots(student: int, teacher: int, strategy: Strategy) -> list[int]:
    """Teacher layers, counted from 0, for all layers of the student but the last (Sun et al., EMNLP 2019).

    `skip` takes layer round(i N / M), counted from 1, for slot i: {1, 3, 5, 7, 9} for six of twelve and
    {3, 7} for three. `last` takes the layers just below the teacher's last.

    Args:
        student: M, layers the student applies.
        teacher: N, layers of the teacher.
        strategy: the paper's two.

    Raises:
        BadInput: the student has one layer, or more than the teacher.
    """
    if not 2 <= student <= teacher:
        raise BadInput(
            f"patience: a student that applies {student} layers and a teacher of {teacher} cannot be paired; "
            f"give the student 2 to {teacher} layers, or leave patience out with `beta: 0`"
        )
    if strategy == "last":
        return [teacher - student + slot for slot in range(student - 1)]
    # In whole numbers, so that halves are always rounded up.
    return [(2 * slot * teacher + student) // (2 * student) - 1 for slot in range(1, student)]


def uniform(students: int | Sequence[int] | None, teacher: int) -> tuple[int, ...]:
    """Teacher layers, counted from 1, that teach the student's layers 1 to M (TinyBERT: g(m) = m N / M).

    Args:
        students: M, or the teacher layers themselves; None is half the teacher's.
        teacher: N, layers of the teacher.

    Raises:
        BadInput: M does not divide N, or a layer is not one of the teacher's.
    """
    if not isinstance(students, int | None):
        given = tuple(students)
        if not given or sorted(set(given)) != list(given) or not 1 <= given[0] <= given[-1] <= teacher:
            raise BadInput(
                f"layer_map: {list(given)} does not fit a teacher of {teacher} layers; give one of its "
                "layers, counted from 1 and rising, for each layer of the student"
            )
        return given
    depth = max(1, teacher // 2) if students is None else students
    if depth > teacher or teacher % depth:
        raise BadInput(
            f"layer_map: {depth} layers of a student do not divide the teacher's {teacher} evenly; choose a "
            "number that does, or give the teacher's layers as a list"
        )
    return tuple(layer * teacher // depth for layer in range(1, depth + 1))


def require_one_each(student: int, taught: int) -> None:
    """Make sure that a layer map names one layer of the teacher for each of the student's (TinyBERT).

    Raises:
        BadInput: it does not.
    """
    if student != taught:
        raise BadInput(
            f"layer_map: it names {taught} of the teacher's layers, but the student has {student}; give one "
            "of them for each of the student's"
        )
