"""Vocabularies trained on a corpus: SentencePiece's unigram model or WordPiece, both lower-cased."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tasks.corpus.declaration import Corpus
from tasks.errors import BadInput, first_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Kind = Literal["wordpiece", "unigram"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VERSIONS: dict[Kind, int] = {"wordpiece": 2, "unigram": 3}
"""Of what `train` makes of a corpus; caches are named by it."""

_DECIMALS = 4
"""Of a score: coarser than what the order of a sum changes; as many as SentencePiece prints."""
_RAISE = 1e-4
"""By which the unigram trainer raises the scores of characters that it did not learn, one after the other."""


def train(corpus: Corpus, kind: Kind, size: int, folder: Path, *, offline: bool = False) -> Path:
    """Train a vocabulary and write it as a tokenizer that transformers loads; return the folder.

    Texts are lower-cased and lose their accents, as ALBERT's and BERT's uncased models do. WordPiece
    comes out the same in every process, the unigram model almost always: a score at a rounding boundary may
    round up in one and down in another. The text is streamed; memory grows with its distinct words, which
    the trainers hold.

    Args:
        corpus: what it is trained on.
        kind: `unigram` as in ALBERT (Kudo & Richardson, EMNLP 2018), or `wordpiece` as in BERT.
        size: entries, special tokens included.
        folder: where it is written.
        offline: never touch the network.

    Raises:
        BadInput: the corpus is empty, not UTF-8, one document, or too small for `size` entries.
    """
    from transformers import PreTrainedTokenizerFast

    # First, or the advice on a corpus without documents would be to lower the vocabulary.
    corpus.require_documents(sum(1 for _ in islice(corpus.documents(offline), 2)))
    backend = _wordpiece() if kind == "wordpiece" else _unigram()
    numbered = [*SPECIAL, *(_continuing(backend, corpus, offline) if kind == "wordpiece" else ())]
    try:
        with _one_thread():
            backend.train_from_iterator(_paragraphs(corpus, offline), _trainer(kind, size, numbered))
    except (BadInput, OSError, MemoryError):
        raise
    except Exception as error:  # The trainers are in Rust and raise nothing more special.
        raise BadInput(
            f"vocabulary: {size} entries cannot be made of the corpus {corpus.name!r}: {first_line(error)}; "
            "raise the vocabulary"
        ) from error
    if kind == "wordpiece":
        # What came first counts as special until the entries are taken out of the trained one.
        backend = _wordpiece(backend.get_vocab())
        backend.add_special_tokens(list(SPECIAL))
    else:
        backend = _settled(backend)
    if (made := backend.get_vocab_size()) > size:
        raise BadInput(
            f"vocabulary: {size} entries were asked for, but the characters of the corpus {corpus.name!r} "
            f"alone make it {made}; raise the vocabulary"
        )
    if made < size:
        raise BadInput(
            f"vocabulary: the corpus {corpus.name!r} gives {made} entries, "
            f"{size} were asked for; lower the vocabulary or take more text"
        )
    _frame(backend)
    pad, unknown, first, separator, mask = SPECIAL
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=pad,
        unk_token=unknown,
        cls_token=first,
        sep_token=separator,
        mask_token=mask,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    return folder


def _paragraphs(corpus: Corpus, offline: bool) -> Iterator[str]:
    for document in corpus.documents(offline):
        yield from document


def _continuing(backend: Tokenizer, corpus: Corpus, offline: bool) -> list[str]:
    """Return the entries of single characters within words, sorted.

    The trainer would number them in the order of a hash table, which differs between processes, and of
    equally frequent pairs it takes the one of lower numbers. Entries that are passed in have fixed numbers.
    """
    characters: set[str] = set()
    for paragraph in _paragraphs(corpus, offline):
        text = backend.normalizer.normalize_str(paragraph)
        characters.update(*(word[1:] for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)))
    return [f"##{character}" for character in sorted(characters)]


def _settled(trained: Tokenizer) -> Tokenizer:
    """Return the unigram model with scores and numbers that do not depend on a hash table's order.

    The trainer adds up in that order, so that scores differ by up to some 1e-10, and entries that are equally
    likely change places. Characters that it did not learn but keeps, as the corpus has them, it gives the
    lowest score, raised by one `_RAISE` more for each: here all of them have the lowest.
    """
    entries = json.loads(trained.to_str())["model"]["vocab"]
    scores = {piece: score for piece, score in entries if piece not in SPECIAL}
    lowest = min(scores.values())
    characters = [piece for piece in scores if len(piece) == 1]
    for piece in characters:
        raised = (scores[piece] - lowest) / _RAISE
        if raised < len(characters) and abs(raised - round(raised)) < 1e-6:
            scores[piece] = lowest
    rounded = {piece: round(score, _DECIMALS) for piece, score in scores.items()}
    ranked = sorted(rounded.items(), key=lambda entry: (-entry[1], entry[0]))
    backend = _unigram([*((token, 0.0) for token in SPECIAL), *ranked])
    backend.add_special_tokens(list(SPECIAL))
    return backend


def _wordpiece(entries: dict[str, int] | None = None) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    backend = Tokenizer(models.WordPiece(entries or {}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return backend


def _unigram(entries: list[tuple[str, float]] | None = None) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    unknown = SPECIAL.index("[UNK]")
    backend = Tokenizer(models.Unigram(entries, unknown, False) if entries else models.Unigram())
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.Replace("''", '"'),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return backend


def _trainer(kind: Kind, size: int, numbered: list[str]) -> Any:
    from tokenizers import trainers

    shared: dict[str, Any] = {"vocab_size": size, "special_tokens": numbered, "show_progress": False}
    if kind == "wordpiece":
        return trainers.WordPieceTrainer(**shared)
    return trainers.UnigramTrainer(unk_token="[UNK]", **shared)


def _frame(backend: Tokenizer) -> None:
    """Put [CLS] and [SEP] around texts and pairs, as BERT and ALBERT do."""
    from tokenizers import processors

    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let the trainer add up in one order: the sum of floats depends on it."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before
