"""Which tokens of a vocabulary are words, and which continue one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.errors import BadInput
from tasks.tokens import tokenizer

if TYPE_CHECKING:
    from methods.pretrained import Source


def word_kinds(model: Source, *, offline: bool = False) -> NDArray[np.int8]:
    """For each token id: 1 for a word, -1 for the continuation of one, 0 for anything else.

    Args:
        model: whose tokenizer is asked.
        offline: look at what is on this machine alone, as planning does.

    Returns:
        By token id, shape (vocabulary,).

    Raises:
        BadInput: the vocabulary does not tell words from their parts.
    """
    backend = tokenizer(model.path, model.revision, offline).backend
    tokens = backend.convert_ids_to_tokens(range(len(backend)))
    special = set(backend.all_special_tokens)
    kinds = np.array(
        [-1 if token.startswith("##") else int(token.isalnum() and token not in special) for token in tokens],
        dtype=np.int8,
    )
    if not (kinds == -1).any():
        raise BadInput(
            f"augment: the vocabulary of {model.id!r} is not WordPiece, so words cannot be told "
            "from their parts; leave `augment` out"
        )
    return kinds
