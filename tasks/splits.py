"""Train, reward and choice: the official train split, divided once per seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.errors import BadInput

_FLOOR = 128
"""Selection examples below which choices are mostly noise."""


@dataclass(frozen=True)
class Split:
    """Row numbers in the official train split, ascending; no row stands in two parts."""

    train: NDArray[np.int64]
    """Weights are learnt here: train′ of the protocol."""
    reward: NDArray[np.int64]
    """Rewards and orders are decided here."""
    choice: NDArray[np.int64]
    """Epochs and rates are decided here."""


def split(labels: NDArray[np.integer], *, limit: int | None, selection: float | int, seed: int) -> Split:
    """Divide the rows of `labels`; together the parts are the rows that `limit` leaves.

    Every part holds its share of each class, with two classes to within one example. With the same seed the
    rows of a smaller limit are among those of a larger one.

    Args:
        labels: class id of each row.
        limit: rows to take, drawn before anything else; None takes all.
        selection: rows kept from training for selection, half of them `reward` and half `choice`. A whole
            number is the count; a fraction of the rows is raised to 128 rows, or to half of them if fewer.
        seed: the `split` seed; equal seeds give equal splits.

    Raises:
        BadInput: a part would be empty or lack a class.
    """
    rows = _stratified_order(labels, seed)[:limit]
    count = held_out(selection, len(rows))
    reward, choice, train = np.split(rows, [count // 2, count])
    parts = Split(train=np.sort(train), reward=np.sort(reward), choice=np.sort(choice))
    _check_classes(parts, labels, f"limit: {limit}, selection: {selection} of {len(rows)} training rows")
    return parts


def held_out(selection: float | int, rows: int) -> int:
    """How many of `rows` are kept from training, as `split` reads `selection`."""
    if isinstance(selection, int):
        return selection
    return max(round(selection * rows), min(_FLOOR, rows // 2))


def _stratified_order(labels: NDArray[np.integer], seed: int) -> NDArray[np.int64]:
    """Order the rows at random so that each stretch holds every class by its share.

    scikit-learn's `train_test_split` draws other rows for each size and refuses to leave out fewer rows than
    there are classes; here the sizes are cuts in one order.
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.argsort(place, kind="stable")


def _check_classes(parts: Split, labels: NDArray[np.integer], where: str) -> None:
    for name in ("train", "reward", "choice"):
        if missing := np.setdiff1d(labels, labels[getattr(parts, name)]).tolist():
            raise BadInput(
                f"{where}: no example of class {missing[0]} is left for {name!r}; "
                "raise `limit` or change `selection`"
            )
