"""An endless, repeatable stream of pre-training batches that can be entered at any position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.corpus.masking import SHARE, choose, corrupt
from tasks.corpus.segments import NO_LABEL, Pairing, Spans, spans
from tasks.corpus.text import Text
from tasks.errors import BadInput

_BLOCK = 1 << 22
"""Tokens whose examples are cut and shuffled together; memory does not grow with the corpus."""
_BATCHES = 64
"""Batches in a block, at least, so that the part of one that is left out stays small."""
_EMPTY_EPOCHS = 20
"""How many are cut for a batch: a part that is a little too small is cut anew in each."""
# What is drawn; each has random numbers of its own.
_BLOCKS, _ORDER, _SEGMENTS, _MASKS = 1, 2, 3, 4


@dataclass
class TextBatch:
    """Sequences with some tokens to predict, padded on the right to the longest."""

    inputs: dict[str, Tensor]
    """The model's inputs by name, int64, each of shape (batch, longest)."""
    masked: Tensor
    """Places of the m tokens to predict in the flattened batch, row * longest + column, int64, shape (m,)."""
    targets: Tensor
    """Their true ids, int64, shape (m,)."""
    pairs: Tensor
    """0 in order or next, 1 swapped or random, -100 without a second segment; int64, shape (batch,)."""
    tokens: int
    """Real tokens, padding not counted."""

    def to(self, device: torch.device) -> TextBatch:
        """Return the batch on `device`."""
        return TextBatch(
            {name: tensor.to(device) for name, tensor in self.inputs.items()},
            self.masked.to(device),
            self.targets.to(device),
            self.pairs.to(device),
            self.tokens,
        )

    def unmasked(self) -> dict[str, Tensor]:
        """Return the inputs with every token as the corpus has it."""
        ids = self.inputs["input_ids"].clone()
        ids.view(-1)[self.masked] = self.targets
        return {**self.inputs, "input_ids": ids}


class Position(NamedTuple):
    """Where a stream goes on: plain numbers, to be kept with a checkpoint."""

    epoch: int = 0
    block: int = 0
    batch: int = 0


START = Position()


@dataclass
class Stream:
    """Batches of the given documents, epoch after epoch, each cut, shuffled and masked anew.

    The same settings and position give the same batches, whatever was drawn before; masks are dynamic.
    """

    text: Text
    documents: NDArray[np.int64]
    """Numbers of those it takes."""
    length: int
    """Most tokens of an example, special ones among them."""
    batch_size: int
    """Examples of a batch."""
    pairing: Pairing
    """What the second segment is."""
    max_predictions: int
    """Most masked tokens of an example."""
    seed: int
    """Decides order, segments and masks."""
    position: Position = START
    """Of the batch that comes next."""
    least: int = 0
    """Examples of an optimiser step, of which a batch may be a part: a corpus of fewer is refused."""
    others: NDArray[np.int64] | None = None
    """Where random segments come from when a block is a single document; by default the documents."""
    _ordinary: NDArray[np.int64] = field(init=False, repr=False)
    _cut: tuple[tuple[int, int], Spans] | None = field(init=False, repr=False, default=None)
    """The block that was cut last, by epoch and number: a next phase goes on in it."""

    def __post_init__(self) -> None:
        tokenizer = self.text.tokenizer.backend
        self._ordinary = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
        self._blocks = self._cut_into_blocks()

    def __iter__(self) -> Iterator[TextBatch]:
        """Yield batches without end; `position` moves on as each is taken.

        Raises:
            BadInput: there are fewer examples than a batch takes, or than `least`, or none of two segments
                where pairs are to be learnt.
        """
        self._require_examples(max(self.least, self.batch_size))
        empty = unpaired = 0
        while True:
            epoch, block, first = self.position
            order = self._rng(_BLOCKS, epoch).permutation(len(self._blocks))
            examples = self._examples(epoch, int(order[block]))
            shuffled = self._rng(_ORDER, epoch, block).permutation(len(examples))
            # What does not fill a batch is left out; which examples these are changes with every epoch.
            batches = range(first, len(examples) // self.batch_size)
            # Entered within a block, or behind its last batch, it has given batches already.
            empty = 0 if batches or first else empty + 1
            unpaired = 0 if first or self._has_pairs(examples) else unpaired + 1
            self._require_use(empty, unpaired, len(examples))
            for number in batches:
                rows = shuffled[number * self.batch_size : (number + 1) * self.batch_size]
                self.position = Position(epoch, block, number + 1)
                yield self._collate(examples, rows, self._rng(_MASKS, epoch, block, number))
            last = block + 1 == len(self._blocks)
            self.position = Position(epoch + 1) if last else Position(epoch, block + 1)

    def once(self) -> Iterator[TextBatch]:
        """Yield every example of the first epoch once, the last batch maybe smaller; for evaluation."""
        for block in range(len(self._blocks)):
            examples = self._examples(0, block)
            for number, begin in enumerate(range(0, len(examples), self.batch_size)):
                rows = np.arange(begin, min(begin + self.batch_size, len(examples)))
                yield self._collate(examples, rows, self._rng(_MASKS, 0, block, number))

    def _has_pairs(self, examples: Spans) -> bool:
        return self.pairing == "none" or bool((examples.labels != NO_LABEL).any())

    def _require_use(self, empty: int, unpaired: int, found: int) -> None:
        """Refuse text whose blocks gave no batch for `_EMPTY_EPOCHS` epochs, or no pair for a whole one."""
        if empty > _EMPTY_EPOCHS * len(self._blocks):
            raise BadInput(
                f"corpus: its parts of {found} examples or so never fill a batch of {self.batch_size}; "
                "take smaller batches or more accumulation"
            )
        if unpaired >= len(self._blocks):
            raise BadInput(
                "corpus: no example has two segments, so there is nothing to learn of pairs; take documents "
                "of several sentences that end in . ! or ?, or objective: mlm"
            )

    def _require_examples(self, count: int) -> None:
        """Refuse documents of which the first epoch, wherever the stream is entered, has fewer examples."""
        # A document gives one example at least, so that most corpora need not be cut to know.
        if len(self.documents) >= count:
            return
        found = 0
        for block in range(len(self._blocks)):
            found += len(self._examples(0, block))
            if found >= count:
                return
        raise BadInput(
            f"corpus: {len(self.documents)} documents give {found} examples of {self.length} tokens, "
            f"fewer than a batch of {count}; take more text or smaller batches"
        )

    def _cut_into_blocks(self) -> list[NDArray[np.int64]]:
        """Cut the documents into runs of about `_BLOCK` tokens, or more where batches are large."""
        size = max(_BLOCK, _BATCHES * self.batch_size * self.length)
        totals = np.cumsum(self.text.tokens(self.documents))
        count = max(1, round(int(totals[-1]) / size))
        bounds = np.searchsorted(totals, np.linspace(0, totals[-1], count + 1)[1:-1])
        return [block for block in np.split(self.documents, bounds) if len(block)]

    def _rng(self, what: int, *place: int) -> np.random.Generator:
        return np.random.default_rng([what, self.seed, *place])

    def _examples(self, epoch: int, block: int) -> Spans:
        if self._cut is None or self._cut[0] != (epoch, block):
            found = spans(
                self.text,
                self._blocks[block],
                length=self.length,
                pairing=self.pairing,
                rng=self._rng(_SEGMENTS, epoch, block),
                others=self.documents if self.others is None else self.others,
            )
            self._cut = ((epoch, block), found)
        return self._cut[1]

    def _collate(self, examples: Spans, rows: NDArray[np.int64], rng: np.random.Generator) -> TextBatch:
        backend = self.text.tokenizer.backend
        firsts, seconds = examples.first[rows], examples.second[rows]
        paired = seconds[:, 1] > seconds[:, 0]
        sizes = (firsts[:, 1] - firsts[:, 0]) + (seconds[:, 1] - seconds[:, 0]) + 2 + paired
        shape = (len(rows), int(sizes.max()))
        ids = np.full(shape, backend.pad_token_id, dtype=np.int64)
        types = np.zeros(shape, dtype=np.int64)
        masked: list[int] = []
        for row, (first, second) in enumerate(zip(firsts.tolist(), seconds.tolist(), strict=True)):
            begins = self._place(ids, types, row, first, second)
            budget = min(self.max_predictions, round(SHARE * int(sizes[row])))
            masked += [row * shape[1] + place for place in choose(*begins, budget, rng)]
        places = np.asarray(masked, dtype=np.int64)
        flat = ids.reshape(-1)
        targets = flat[places]
        flat[places] = corrupt(targets, backend.mask_token_id, self._ordinary, rng)
        arrays = {"input_ids": ids, "token_type_ids": types}
        arrays["attention_mask"] = (np.arange(shape[1]) < sizes[:, None]).astype(np.int64)
        return TextBatch(
            {name: torch.from_numpy(arrays[name]) for name in self.text.tokenizer.inputs},
            torch.from_numpy(places),
            torch.from_numpy(targets),
            torch.from_numpy(examples.labels[rows]),
            int(sizes.sum()),
        )

    def _place(
        self, ids: NDArray[np.int64], types: NDArray[np.int64], row: int, first: list[int], second: list[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Write one example into its row; return where its words begin and end."""
        backend = self.text.tokenizer.backend
        ids[row, 0] = backend.cls_token_id
        at = 1
        begins, ends = [], []
        for number, (begin, end) in enumerate((first, second)):
            if begin == end:
                continue
            size = end - begin
            ids[row, at : at + size] = self.text.ids[begin:end]
            ids[row, at + size] = backend.sep_token_id
            types[row, at : at + size + 1] = number
            words = self.text.words[begin:end].copy()
            words[0] = 1  # A segment may begin within a word that was cut.
            starts = np.flatnonzero(words) + at
            begins.append(starts)
            ends.append(np.append(starts[1:], at + size))
            at += size + 1
        return np.concatenate(begins), np.concatenate(ends)
