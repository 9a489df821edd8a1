"""A corpus as token ids with its words, sentences and documents; made once, then mapped into memory."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.cache import atomic_folder
from tasks.corpus.declaration import Corpus
from tasks.corpus.sentences import sentences
from tasks.tokens import Tokenizer, versions

if TYPE_CHECKING:
    import tokenizers

_FORMAT = 4
"""Raised whenever the files or what is in them change."""

_FILES = {"ids": np.int32, "words": np.uint8, "sentences": np.int64, "documents": np.int64}
_CHUNK = 1 << 17
"""Characters tokenised at a time, or a paragraph."""
_SLICE = 1 << 20
"""Tokens counted at a time."""
_HELD_OUT = 50
"""One document in this many is held out of training, evenly spread; more where there are few documents."""
_EXAMINED = 500_000
"""Tokens of those that are examined, about: more would take as long as the training."""


@dataclass(frozen=True)
class Text:
    """A tokenised corpus of n documents."""

    ids: NDArray[np.int32]
    """Token ids of the whole corpus without special tokens, memory-mapped."""
    words: NDArray[np.uint8]
    """1 where a token begins a word, else 0; as long as `ids`."""
    sentences: NDArray[np.int64]
    """Sentence i is `ids[sentences[i]:sentences[i + 1]]`, never empty."""
    documents: NDArray[np.int64]
    """Document i has the sentences `documents[i]` to `documents[i + 1] - 1`; shape (n + 1,)."""
    tokenizer: Tokenizer
    digest: str
    """Of all that decides the arrays."""

    def __len__(self) -> int:
        return len(self.documents) - 1

    @property
    def held_out(self) -> NDArray[np.int64]:
        """Numbers of the documents that are never trained on."""
        every = max(2, min(_HELD_OUT, len(self) // 2))
        return np.arange(every - 1, len(self), every)

    @property
    def examined(self) -> NDArray[np.int64]:
        """Numbers of the documents kept from training that accuracies are measured on, evenly spread."""
        kept = self.held_out
        return kept[:: max(1, -(-int(self.tokens(kept).sum()) // _EXAMINED))]

    @property
    def training(self) -> NDArray[np.int64]:
        """Numbers of all other documents."""
        return np.setdiff1d(np.arange(len(self)), self.held_out)

    def tokens(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the tokens of each of the documents."""
        begin, end = self.documents[documents], self.documents[documents + 1]
        return self.sentences[end] - self.sentences[begin]

    def counts(self, documents: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Count how often each token stands in the documents, by default in all; indexed by its id."""
        counts = np.zeros(int(self.ids.max()) + 1, dtype=np.int64)
        whole = np.arange(len(self)) if documents is None else documents
        # By runs of neighbours and in slices: bincount copies what it counts to int64, twice its size.
        for run in np.split(whole, np.flatnonzero(np.diff(whole) != 1) + 1):
            first, last = self.sentences[self.documents[[run[0], run[-1] + 1]]]
            for begin in range(first, last, _SLICE):
                part = self.ids[begin : min(begin + _SLICE, last)]
                counts += np.bincount(part, minlength=len(counts))
        return counts


def tokenised(corpus: Corpus, tokenizer: Tokenizer, *, cache: Path, offline: bool = False) -> Text:
    """Return the corpus as tokens, from the cache where it is there; memory stays flat while it is made.

    Args:
        corpus: a located corpus.
        tokenizer: the tokenizer.
        cache: folder of all that is prepared once.
        offline: never touch the network.

    Raises:
        BadInput: the corpus is empty, not UTF-8 or one document, or the cache cannot be written.
    """
    decides = {
        "format": _FORMAT,
        "corpus": corpus.identity(),
        "tokenizer": tokenizer.digest,
        "libraries": versions(),
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    folder = cache / "corpora" / f"{corpus.name.replace('/', '-')}-{digest[:32]}"
    if not folder.is_dir():
        with atomic_folder(folder) as temporary:
            _write(corpus, tokenizer, temporary, offline)
    # Asked for with every block, and small.
    arrays = {"documents": np.fromfile(folder / "documents", _FILES["documents"])}
    mapped = {name: np.asarray(np.memmap(folder / name, dtype, "r")) for name, dtype in _FILES.items()}
    return Text(**(mapped | arrays), tokenizer=tokenizer, digest=digest)


def _write(corpus: Corpus, tokenizer: Tokenizer, folder: Path, offline: bool) -> None:
    """Tokenise chunk by chunk, each array appended to a file of its own."""
    token, sentence, documents = 0, 0, 0
    files = {name: (folder / name).open("wb") for name in _FILES}

    def append(name: str, values: list[int]) -> None:
        files[name].write(np.asarray(values, _FILES[name]).tobytes())

    try:
        append("sentences", [0])
        append("documents", [0])
        begun = 0
        for encoding in _encoded(corpus.documents(offline), _text_alone(tokenizer)):
            if encoding is not None:
                append("ids", encoding.ids)
                append("words", _word_begins(encoding.word_ids))
                token, sentence = token + len(encoding.ids), sentence + 1
                append("sentences", [token])
            elif sentence > begun:
                append("documents", [sentence])
                documents, begun = documents + 1, sentence
    finally:
        for file in files.values():
            file.close()
    corpus.require_documents(documents)


def _text_alone(tokenizer: Tokenizer) -> tokenizers.Tokenizer:
    """A copy that neither cuts nor pads, as models come with either, and takes `[MASK]` for text."""
    plain = copy.deepcopy(tokenizer.backend.backend_tokenizer)
    plain.no_truncation()
    plain.no_padding()
    plain.encode_special_tokens = True
    return plain


def _encoded(
    documents: Iterator[list[str]], tokenizer: tokenizers.Tokenizer
) -> Iterator[tokenizers.Encoding | None]:
    """Yield the sentences that have tokens, and None at the end of every document."""
    waiting: list[str | None] = []
    characters = 0

    def flush() -> Iterator[tokenizers.Encoding | None]:
        batch = [sentence for sentence in waiting if sentence is not None]
        encodings = iter(tokenizer.encode_batch(batch, add_special_tokens=False))
        for sentence in waiting:
            encoding = None if sentence is None else next(encodings)
            if encoding is None or encoding.ids:
                yield encoding

    for document in documents:
        for paragraph in document:
            waiting += sentences(paragraph)
            characters += len(paragraph)
            if characters >= _CHUNK:
                yield from flush()
                waiting, characters = [], 0
        waiting.append(None)
    yield from flush()


def _word_begins(numbers: list[int | None]) -> list[int]:
    return [int(number != before) for number, before in zip(numbers, [None, *numbers], strict=False)]
