"""What a corpus is: documents of paragraphs, where they come from and what identifies them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from tasks.errors import BadInput
from tasks.loading import HUB_ID, check_revision, file_digest, folder_cache, quiet, reason
from tasks.paths import from_home


class Corpus(BaseModel):
    """Text with document boundaries.

    Either a folder of .txt files in UTF-8, one paragraph a line and a blank line between documents, or a data
    set with a text column, on the Hub or in a folder, each row of which is a document.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        min_length=1, description="folder of .txt files or of a data set, or name/data@<commit> on the Hub"
    )
    config: str | None = Field(None, description="a data set's configuration")
    split: str = Field("train", description="a data set's split")
    column: str = Field("text", description="a data set's text column")

    @property
    def name(self) -> str:
        """What it is called where paths do not belong."""
        return Path(self.source).name if self.is_folder else self.source.partition("@")[0]

    @property
    def is_folder(self) -> bool:
        """Whether it lies on this machine."""
        return Path(self.source).is_absolute()

    def located(self, folder: Path) -> Corpus:
        """The same corpus with an absolute folder, or a Hub id that names its commit.

        Args:
            folder: where a relative folder name starts.

        Raises:
            BadInput: it is neither.
        """
        local = folder / from_home(self.source)
        if local.is_dir():
            return self.model_copy(update={"source": str(local.resolve())})
        match = HUB_ID.fullmatch(self.source)
        if not match or self.source.startswith("."):
            raise BadInput(f"corpus: no folder {local}; relative names start at the sweep file's folder")
        if not match["revision"]:
            raise BadInput(
                f"corpus: {self.source!r} is no folder, and as a Hub id it must name the commit, so that "
                f"results stay comparable: '{self.source}@<40 hex digits>'"
            )
        return self

    def identity(self) -> dict[str, str]:
        """What a fingerprint holds: the Hub's commit, or the sha256 of the folder's texts; never a path.

        Raises:
            BadInput: the folder holds no file.
        """
        columns = {} if self.texts() else {"split": self.split, "column": self.column}
        config = {"config": self.config} if self.config else {}
        if not self.is_folder:
            revision = self.source.partition("@")[2]
            return {"id": self.name, "revision": revision, **config, **columns}
        digest = hashlib.sha256()
        for file in self.texts() or self._files():
            facts = file.stat()
            digest.update(f"{file.name} {file_digest(file, facts.st_size, facts.st_mtime_ns)}\n".encode())
        return {"sha256": digest.hexdigest(), **config, **columns}

    def key(self) -> str:
        """The identity as a name for cached files."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:32]

    def texts(self) -> list[Path]:
        """The .txt files of a folder, sorted; none of anything else."""
        return sorted(Path(self.source).rglob("*.txt")) if self.is_folder else []

    def documents(self, offline: bool = False) -> Iterator[list[str]]:
        """Yield every document as its paragraphs, none of them blank.

        Raises:
            BadInput: a file cannot be read or is not UTF-8, the data set cannot be read, or its column holds
                no text.
        """
        if files := self.texts():
            for file in files:
                try:
                    yield from _paragraphs_by_document(file)
                except OSError as error:
                    raise BadInput(f"corpus: {file} cannot be read: {error.strerror or error}") from error
        else:
            for text in self._column(offline):
                if document := [line.strip() for line in text.splitlines() if line.strip()]:
                    yield document

    def require_documents(self, count: int) -> None:
        """Refuse what has too few documents to be pre-trained on.

        Args:
            count: documents found; from two on it does not matter how many.

        Raises:
            BadInput: there is none, or a single one, of which no part could be kept from training.
        """
        if not count:
            raise BadInput(f"corpus: {self.name!r} is empty; it needs documents with text")
        if count == 1:
            raise BadInput(
                f"corpus: {self.name!r} has no document boundaries: all of it is one document; put a blank "
                "line between documents, or give a data set with a document a row"
            )

    def _files(self) -> list[Path]:
        files = sorted(file for file in Path(self.source).rglob("*") if file.is_file())
        if not files:
            raise BadInput(
                f"corpus: {self.source} is empty; put .txt files there, or a data set with a text column"
            )
        return files

    def _column(self, offline: bool) -> Iterator[str]:
        import datasets

        path, _, revision = self.source.partition("@")
        cache = folder_cache(self.key()) if self.is_folder else None
        try:
            with quiet(offline or self.is_folder):
                data = datasets.load_dataset(
                    path, self.config, split=self.split, revision=revision or None, cache_dir=cache
                )
            if revision:
                check_revision({self.split: data}, path, revision)
        except (MemoryError, BadInput):
            raise
        except Exception as error:  # What the Hub's HTTP client raises depends on the client's version.
            raise BadInput(
                f"corpus: {self.name!r} holds no .txt files and cannot be read as a data set: {reason(error)}"
            ) from error
        if self.column not in data.column_names:
            raise BadInput(
                f"corpus: {self.name!r} has no column {self.column!r}; it has {', '.join(data.column_names)}"
            )
        for row in data.select_columns([self.column]):
            text = row[self.column]
            if text is None:
                continue
            if not isinstance(text, str):
                raise BadInput(
                    f"corpus: {self.name!r}: column {self.column!r} holds {type(text).__name__}, not text; "
                    f"name one that holds text with 'column'; it has {', '.join(data.column_names)}"
                )
            yield text


def _paragraphs_by_document(file: Path) -> Iterator[list[str]]:
    document: list[str] = []
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for line in lines:
                if paragraph := line.strip():
                    document.append(paragraph)
                elif document:
                    yield document
                    document = []
    except UnicodeDecodeError as error:
        raise BadInput(
            f"corpus: {file} is not UTF-8 ({error.reason}); convert it, e.g. with iconv -t utf-8"
        ) from error
    if document:
        yield document
