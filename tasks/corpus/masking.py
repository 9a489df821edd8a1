"""Whole-word n-gram masking (Lan et al., ICLR 2020, section 4.1; Joshi et al., 2019)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NGRAMS = 3
SHARE = 0.15
"""Share of a sequence's tokens, special ones included, that is predicted."""

_WEIGHTS = 1 / np.arange(1, NGRAMS + 1)
# Where a sequence has room for only k words the lengths up to k keep their proportions; 2 is never reached.
_CUMULATIVE = np.full((NGRAMS, NGRAMS), 2.0)
for _room in range(1, NGRAMS + 1):
    _CUMULATIVE[_room - 1, :_room] = np.cumsum(_WEIGHTS[:_room] / _WEIGHTS[:_room].sum())


def draw_lengths(room: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the number of words n of a span for each place, p(n) ∝ 1/n for n up to 3.

    Args:
        room: words from each place to the end of its sequence, at least 1, shape (n,).
        rng: the source of chance.
    """
    chance = rng.random(len(room))
    bounds = _CUMULATIVE[np.minimum(room, NGRAMS) - 1]
    return 1 + (chance[:, None] >= bounds).sum(axis=1).clip(max=NGRAMS - 1)


def choose(
    begins: NDArray[np.int64], end: NDArray[np.int64], budget: int, rng: np.random.Generator
) -> list[int]:
    """Choose the tokens of one sequence that are predicted.

    Words are visited in random order. A span that would exceed the budget falls back to fewer words, and is
    left out when one word is too many or part of it is chosen already.

    Args:
        begins: position of each word's first token, rising, shape (words,).
        end: position after each word's last token, shape (words,).
        budget: most tokens to choose.
        rng: the source of chance.

    Returns:
        Positions, rising.
    """
    if budget < 1 or not len(begins):
        return []
    places = rng.permutation(len(begins))
    lengths = draw_lengths(len(begins) - places, rng).tolist()
    first, last = begins.tolist(), end.tolist()
    before = [0, *(end - begins).cumsum().tolist()]
    taken = [False] * len(first)
    chosen: list[int] = []
    for place, length in zip(places.tolist(), lengths, strict=True):
        words = range(place, place + length)
        while words and len(chosen) + before[words.stop] - before[place] > budget:
            words = words[:-1]
        if not words or any(taken[word] for word in words):
            continue
        for word in words:
            taken[word] = True
            chosen.extend(range(first[word], last[word]))
        if len(chosen) == budget:
            break
    return sorted(chosen)


def corrupt(
    targets: NDArray[np.int64], mask_id: int, ordinary: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return what the model sees at the chosen tokens: 80 % the mask, 10 % the token, 10 % a random one.

    Args:
        targets: the chosen tokens' ids, shape (m,).
        mask_id: id of the mask token.
        ordinary: ids of all tokens but the special ones.
        rng: the source of chance.
    """
    chance = rng.random(len(targets))
    seen = np.where(chance < 0.8, mask_id, targets)
    return np.where(chance >= 0.9, rng.choice(ordinary, len(targets)), seen)
