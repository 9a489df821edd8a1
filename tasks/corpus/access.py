"""A corpus as one machine reads it: what is prepared once lies in a cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.cache import atomic_folder
from tasks.corpus import vocabulary
from tasks.corpus.declaration import Corpus
from tasks.corpus.text import Text, tokenised
from tasks.tokens import Tokenizer


@dataclass(frozen=True)
class CorpusAccess:
    """A located corpus, the folder for what is made of it, and whether the network may be asked."""

    corpus: Corpus
    cache: Path
    offline: bool = False

    def vocabulary(self, kind: vocabulary.Kind, size: int) -> Path:
        """Return the folder of the tokenizer trained on this corpus, trained now if it is not there.

        Raises:
            BadInput: the corpus cannot be read or is too small for `size` entries, or the cache cannot be
                written.
        """
        version = vocabulary.VERSIONS[kind]
        folder = self.cache / "vocabularies" / f"{kind}-{size}-{version}-{self.corpus.key()}"
        if not folder.is_dir():
            with atomic_folder(folder) as temporary:
                vocabulary.train(self.corpus, kind, size, temporary, offline=self.offline)
        return folder

    def text(self, tokenizer: Tokenizer) -> Text:
        """Return the corpus in tokens.

        Raises:
            BadInput: the corpus cannot be used.
        """
        return tokenised(self.corpus, tokenizer, cache=self.cache, offline=self.offline)
