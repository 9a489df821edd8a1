"""Pairs of segments for sentence-order and next-sentence prediction, as spans of a tokenised corpus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.corpus.text import Text
from tasks.errors import BadInput

Pairing = Literal["sop", "sop-official", "nsp", "none"]
"""What the second segment is.

`sop`: two consecutive segments of one document, swapped half of the time (Lan et al., ICLR 2020, section
3.1). `sop-official`: the released code, which also takes a chunk of a single sentence, adds a segment of
another document and calls the pair swapped. `nsp`: the continuation, or half of the time a segment of another
document (Devlin et al., NAACL 2019, section 3.1; more than half in BERT's code, where a chunk of a single
sentence always gets a random one). `none`: one segment only.
"""

_FROM_ELSEWHERE = ("nsp", "sop-official")
"""Pairings with segments of another document."""

NO_LABEL = -100
"""The label of an example that has no second segment; cross-entropy ignores it."""

SHORT = 0.1
"""Probability that a sequence aims at a random shorter length, as in BERT's and ALBERT's code."""


@dataclass(frozen=True)
class Spans:
    """n examples: `ids[first[i, 0]:first[i, 1]]`, then `ids[second[i, 0]:second[i, 1]]`, maybe empty."""

    first: NDArray[np.int64]
    """Shape (n, 2)."""
    second: NDArray[np.int64]
    """Shape (n, 2)."""
    labels: NDArray[np.int64]
    """0 in order or next, 1 swapped or random, `NO_LABEL`; shape (n,)."""

    def __len__(self) -> int:
        return len(self.labels)


def spans(
    text: Text,
    documents: NDArray[np.int64],
    *,
    length: int,
    pairing: Pairing,
    rng: np.random.Generator,
    others: NDArray[np.int64] | None = None,
) -> Spans:
    """Cut documents into examples, as `create_pretraining_data.py` of ALBERT does.

    Sentences are collected up to a target length, which is the longest possible or, with probability `SHORT`,
    uniform from 2. The chunk is cut between two of its sentences; what is too long is taken off the front or
    the back of the longer segment, token by token at random. A chunk of one sentence is a single segment
    without a label, but for `sop-official`.

    Args:
        text: the corpus.
        documents: numbers of the documents to cut; random segments come from these too, if there are several.
        length: most tokens of an example, special tokens included.
        pairing: what the second segment is.
        rng: decides everything that is random.
        others: where random segments of a single document come from.

    Raises:
        BadInput: random segments are needed, and there is no other document they could come from.
    """
    longest = length - (2 if pairing == "none" else 3)
    elsewhere = documents if others is None or len(documents) > 1 else others
    if pairing in _FROM_ELSEWHERE and not len(np.setdiff1d(elsewhere, documents[:1])):
        raise BadInput(
            "corpus: next sentences need segments of other documents, and only one may be trained on; "
            "take more text, or pairs of one document (objective: mlm+sop)"
        )
    cutter = _Cutter(text, longest, pairing, rng, elsewhere)
    for document in documents.tolist():
        cutter.cut(document)
    table = np.asarray(cutter.rows, dtype=np.int64).reshape(-1, 5)
    return Spans(table[:, 0:2], table[:, 2:4], table[:, 4])


class _Cutter:
    """Collects rows of (first begin, first end, second begin, second end, label)."""

    def __init__(
        self,
        text: Text,
        longest: int,
        pairing: Pairing,
        rng: np.random.Generator,
        others: NDArray[np.int64],
    ) -> None:
        self.text, self.longest = text, longest
        self.pairing, self.rng, self.others = pairing, rng, others
        self.rows: list[tuple[int, int, int, int, int]] = []

    def cut(self, document: int) -> None:
        """Add the examples of one document."""
        begin, end = self.text.documents[document : document + 2].tolist()
        bounds = self.text.sentences[begin : end + 1].tolist()
        target, chunk, current = self._target(), 0, 0
        while current < end - begin:
            current += 1
            if current == end - begin or bounds[current] - bounds[chunk] >= target:
                chunk = self._add(document, bounds, chunk, current, target)
                # Sentences that a random segment displaced are used in the next chunk.
                current, target = chunk, self._target()

    def _target(self) -> int:
        if self.rng.random() < SHORT:
            return int(self.rng.integers(2, self.longest + 1))
        return self.longest

    def _add(self, document: int, bounds: list[int], begin: int, end: int, target: int) -> int:
        """Add the chunk of the sentences `begin` to `end` - 1; return the first that is still unused."""
        alone = end - begin == 1
        if self.pairing == "none" or (alone and self.pairing != "sop-official"):
            first = self._shortened((bounds[begin], bounds[end]), (0, 0))[0]
            self.rows.append((*first, 0, 0, NO_LABEL))
            return end
        split = end if alone else int(self.rng.integers(begin + 1, end))
        first = (bounds[begin], bounds[split])
        random = alone or self.rng.random() < 0.5
        if alone or (random and self.pairing == "nsp"):
            second = self._elsewhere(document, target - (first[1] - first[0]))
            self.rows.append((*_flat(self._shortened(first, second)), 1))
            return split
        pair = self._shortened(first, (bounds[split], bounds[end]))
        swapped = random and self.pairing != "nsp"
        self.rows.append((*_flat(pair[::-1] if swapped else pair), int(swapped)))
        return end

    def _elsewhere(self, document: int, target: int) -> tuple[int, int]:
        """Return consecutive sentences of another document, up to a target length."""
        other = document
        while other == document:
            other = int(self.rng.choice(self.others))
        begin, end = self.text.documents[other : other + 2].tolist()
        start = int(self.rng.integers(begin, end))
        bounds = self.text.sentences[start : end + 1]
        stop = min(int(np.searchsorted(bounds, bounds[0] + max(target, 1))), len(bounds) - 1)
        return int(bounds[0]), int(bounds[stop])

    def _shortened(
        self, first: tuple[int, int], second: tuple[int, int]
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Take tokens off the longer segment, front or back at random, until both fit."""
        sizes = [first[1] - first[0], second[1] - second[0]]
        excess = sum(sizes) - self.longest
        if excess <= 0:
            return first, second
        longer = 0 if sizes[0] > sizes[1] else 1
        # The longer one loses tokens until both are equally long, then each loses every other one.
        alone = min(excess, abs(sizes[0] - sizes[1]))
        off = [0, 0]
        off[longer] = alone
        off[1] += (excess - alone + 1) // 2
        off[0] += (excess - alone) // 2
        front = self.rng.binomial(off, 0.5).tolist()
        return (
            (first[0] + front[0], first[1] - off[0] + front[0]),
            (second[0] + front[1], second[1] - off[1] + front[1]),
        )


def _flat(pair: tuple[tuple[int, int], tuple[int, int]]) -> tuple[int, int, int, int]:
    return (*pair[0], *pair[1])
