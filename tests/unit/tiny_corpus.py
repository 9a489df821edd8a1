"""A small corpus whose sentence order can be learnt, and a run that may read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from methods.pretrained import Source
from methods.run import SweepRun
from methods.settings import Training
from tasks.corpus.access import CorpusAccess
from tasks.corpus.declaration import Corpus
from tasks.corpus.text import Text
from tasks.seeds import Seeds
from tasks.tokens import tokenizer

STAGES = ("dawn", "noon", "dusk", "moon", "rest", "wake", "work", "play")
"""Each document's sentences begin with these, in this order."""
FILLERS = tuple(a + b + c for a in "bdg" for b in "aeiou" for c in "lmnr")
VOCABULARY = 110


def write_corpus(folder: Path, documents: int = 60, seed: int = 0) -> Path:
    """Documents of eight sentences in order, two to a paragraph."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    texts = []
    for _ in range(documents):
        sentences = []
        for number, stage in enumerate(STAGES):
            # Words of its own: what is learnt must be learnt within seconds.
            words = rng.choice(FILLERS[number :: len(STAGES)], rng.integers(2, 6))
            sentences.append(f"{stage.title()} {' '.join(words)}.")
        texts.append("\n".join(" ".join(sentences[i : i + 2]) for i in range(0, len(STAGES), 2)))
    (folder / "texts.txt").write_text("\n\n".join(texts), encoding="utf-8")
    return folder


def access(folder: Path, documents: int = 60) -> CorpusAccess:
    """The corpus, written if it is not there, with a cache beside it."""
    if not (folder / "corpus").exists():
        write_corpus(folder / "corpus", documents)
    return CorpusAccess(Corpus(source="corpus").located(folder), folder / "cache")


def tokens(corpus: CorpusAccess, kind: str = "wordpiece") -> Text:
    """The corpus in tokens of its own vocabulary."""
    return corpus.text(tokenizer(str(corpus.vocabulary(kind, VOCABULARY)), None))  # type: ignore[arg-type]


def sweep_run(corpus: CorpusAccess | None, folder: Path, **changes: Any) -> SweepRun:
    """A run of a work that belongs to no task."""
    facts = {
        "training": Training(precision="fp32", device="cpu"),
        "seeds": Seeds.derive(1),
        "device": torch.device("cpu"),
        "model": Source("tiny", None, str(folder / "encoder")),
        "results": {},
        "folder": folder / "artifacts",
        "corpus": corpus,
        "resume": folder / "resume",
    }
    return SweepRun(**{**facts, **changes})
