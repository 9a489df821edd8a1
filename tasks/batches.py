"""Batches of examples of like length, padded to the longest of the batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.examples import Examples

# Examples are sorted by length within buckets of this many batches: enough to leave little padding, few
# enough that which examples meet in a batch still changes from epoch to epoch.
_BUCKET = 50


@dataclass
class Batch:
    """What one forward pass takes."""

    inputs: dict[str, Tensor]
    """The model's inputs by name, int64, each of shape (batch, longest)."""
    labels: Tensor
    """Class ids, int64, shape (batch,)."""
    positions: Tensor
    """Positions in the Examples the batch comes from, int64, shape (batch,): rows of teacher logits.

    Always on the CPU, where files are read by them; a tensor on any device can be indexed by them.
    """

    def to(self, device: torch.device) -> Batch:
        """Return the batch with inputs and labels on `device`."""
        return Batch(
            {name: tensor.to(device) for name, tensor in self.inputs.items()},
            self.labels.to(device),
            self.positions,
        )


def epoch(examples: Examples, batch_size: int, seed: int, number: int) -> Iterator[Batch]:
    """Yield every example once, shuffled and bucketed by length.

    The order depends on `seed` and the epoch's `number` alone: no global random state is read or changed.
    Where `batch_size` leaves a remainder, one batch of randomly drawn examples is smaller.
    """
    rng = np.random.default_rng([seed, number])
    order = rng.permutation(len(examples))
    whole = len(order) - len(order) % batch_size
    batches = _bucketed(order[:whole], examples.lengths, batch_size)
    # The remainder is drawn before sorting. Cut off after it, it would always be the longest examples, and
    # a small batch gives each of its examples a larger say.
    if whole < len(order):
        batches.append(order[whole:])
    for index in rng.permutation(len(batches)):
        yield collate(examples, batches[index])


def in_order(examples: Examples, batch_size: int) -> Iterator[Batch]:
    """Yield every example once, the longest first; `positions` lead back to the order of `examples`."""
    order = np.argsort(-examples.lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield collate(examples, order[start : start + batch_size])


def collate(examples: Examples, positions: NDArray[np.int64]) -> Batch:
    """Pad the examples at `positions` on the right, to the longest of them."""
    rows = examples.rows[positions]
    starts = examples.offsets[rows]
    lengths = examples.offsets[rows + 1] - starts
    columns = np.arange(lengths.max())
    real = columns < lengths[:, None]
    flat = (starts[:, None] + columns)[real]
    ids = np.full(real.shape, examples.pad_id, dtype=np.int64)
    ids[real] = examples.ids[flat]
    arrays = {"input_ids": ids}
    if "token_type_ids" in examples.inputs:
        arrays["token_type_ids"] = np.zeros_like(ids)
        arrays["token_type_ids"][real] = examples.types[flat]
    if "attention_mask" in examples.inputs:
        arrays["attention_mask"] = real.astype(np.int64)
    return Batch(
        {name: torch.from_numpy(array) for name, array in arrays.items()},
        torch.from_numpy(examples.labels[positions]),
        torch.from_numpy(np.asarray(positions)),
    )


def _bucketed(order: NDArray[np.int64], lengths: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Cut `order` into batches of `size` rows of like length."""
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), _BUCKET * size):
        bucket = order[start : start + _BUCKET * size]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    return batches
