"""Whether a student fits its teacher where a loss compares them: asked when planning, and of the models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.errors import BadInput

if TYPE_CHECKING:
    from methods.pretrained import Source


def require_width(student: int, teacher: int, *, loss: str, weight: str) -> None:
    """Make sure that states can be compared dimension by dimension.

    Args:
        student: hidden size.
        teacher: hidden size.
        loss: what compares them, for the message.
        weight: the field that leaves the comparison out when it is 0.

    Raises:
        BadInput: the sizes differ.
    """
    if student != teacher:
        raise BadInput(
            f"{loss}: the student's hidden size is {student} and the teacher's {teacher}; choose a student "
            f"as wide as the teacher, or `{weight}: 0`"
        )


def require_heads(student: int, teacher: int) -> None:
    """Make sure that attention scores can be compared head by head (TinyBERT).

    Raises:
        BadInput: the numbers of heads differ.
    """
    if student != teacher:
        raise BadInput(
            f"tinybert: the student has {student} attention heads, the teacher {teacher}; scores are "
            "compared head by head, so choose a student with as many"
        )


def require_same_vocabulary(model: Source, other: Source, *, offline: bool = False) -> None:
    """Make sure two models read the same token ids: one tokenised text is given to both.

    Args:
        model: the sweep's encoder.
        other: a student, or a language model.
        offline: look at what is on this machine alone, as planning does.

    Raises:
        BadInput: they do not, or a tokenizer cannot be loaded.
    """
    from tasks.tokens import tokenizer

    one, two = (tokenizer(s.path, s.revision, offline).backend.get_vocab() for s in (model, other))
    if one != two:
        raise BadInput(
            f"{other.id!r} and the sweep's model {model.id!r} have different vocabularies ({len(two)} and "
            f"{len(one)} tokens), so outputs cannot be compared token by token; name a checkpoint with the "
            "tokenizer of the sweep's model"
        )
