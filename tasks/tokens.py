"""Tokenised once per data, tokenizer and length; kept as flat arrays that all trials map into memory."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.cache import atomic_folder
from tasks.errors import BadInput, first_line
from tasks.examples import Examples
from tasks.loading import identity, load
from tasks.task import Task

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast

_FORMAT = 1
"""Raised whenever the files or what is in them change."""

_SPLITS = ("train", "validation")
_INPUTS = ("input_ids", "token_type_ids", "attention_mask")
_CHUNK = 10_000
"""Rows tokenised at a time; Python lists of token ids take ten times the room of the arrays."""


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer and the digest of all that decides what it returns."""

    backend: PreTrainedTokenizerFast
    digest: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors its model takes."""
        return tuple(name for name in self.backend.model_input_names if name in _INPUTS)


@dataclass(frozen=True)
class Tokens:
    """One official split, tokenised; row i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: NDArray[np.int32]
    """Token ids of all rows, special ones among them."""
    types: NDArray[np.uint8]
    """Segment of each token, as long as `ids`."""
    offsets: NDArray[np.int64]
    """Shape (rows + 1,)."""
    labels: NDArray[np.int64]
    """Class numbers, shape (rows,)."""
    texts: NDArray[np.uint64]
    """Digest of each row's texts: equal texts, equal digests."""

    def examples(self, rows: NDArray[np.int64], tokenizer: Tokenizer) -> Examples:
        """Return the given rows as Examples over the same arrays."""
        return Examples(
            ids=self.ids,
            types=self.types,
            offsets=self.offsets,
            rows=rows,
            labels=self.labels[rows],
            pad_id=tokenizer.backend.pad_token_id,
            inputs=tokenizer.inputs,
        )


@lru_cache(maxsize=4)
def tokenizer(source: str, revision: str | None, offline: bool = False) -> Tokenizer:
    """Load the tokenizer of a model: a folder, or a Hub id at `revision`.

    Raises:
        BadInput: there is none, it has no padding token, or it is not one of the `tokenizers` library.
    """
    from transformers import AutoTokenizer

    try:
        backend = AutoTokenizer.from_pretrained(source, revision=revision, local_files_only=offline)
    except (OSError, ValueError) as error:
        raise BadInput(f"model: the tokenizer of {source!r} cannot be loaded: {first_line(error)}") from error
    if not backend.is_fast or backend.pad_token_id is None:
        lack = "padding token" if backend.is_fast else "fast tokenizer (tokenizer.json)"
        raise BadInput(f"model: {source!r} has no {lack}; take an encoder that has one")
    decides = backend.backend_tokenizer.to_str() + json.dumps(backend.model_input_names)
    return Tokenizer(backend, hashlib.sha256(decides.encode()).hexdigest())


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what decides the tokens; reading one from the installed packages takes a millisecond."""
    return {name: version(name) for name in ("tokenizers", "transformers", "datasets")}


def tokenised(
    task: Task, source: str, tokenizer: Tokenizer, *, max_length: int, cache: Path, offline: bool = False
) -> dict[str, Tokens]:
    """Return the official train and validation splits, from the cache where they are there.

    Any number of processes may ask at once: each that finds nothing does the work in a folder of its own, and
    the first to finish names its folder as the cache's.

    Args:
        task: the task.
        source: as for `tasks.loading.load`.
        tokenizer: the tokenizer.
        max_length: tokens after which texts are cut, special tokens included; of a pair the longer one first.
        cache: folder of all tokenised data.
        offline: never touch the network.

    Raises:
        BadInput: data not as declared, `max_length` above the model's, or a cache that cannot be written.
    """
    longest = tokenizer.backend.model_max_length
    if max_length > longest:
        raise BadInput(f"train.max_length: {max_length} is more than the {longest} tokens the model takes")
    decides = {
        "format": _FORMAT,
        "data": identity(task, source),
        "task": task.model_dump(include={"config", "columns", "label", "labels", "validation"}),
        "tokenizer": tokenizer.digest,
        "libraries": versions(),
        "max_length": max_length,
    }
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    folder = cache / "tokens" / f"{task.name}-{key[:32]}"
    if not folder.is_dir():
        data = load(task, source, offline)
        arrays = {split: _encode(task, data[split], tokenizer, max_length) for split in _SPLITS}
        _keep(arrays, folder)
    return {split: _open(folder / split) for split in _SPLITS}


def _encode(task: Task, data: Dataset, tokenizer: Tokenizer, max_length: int) -> dict[str, NDArray[Any]]:
    ids: list[NDArray[np.int32]] = []
    types: list[NDArray[np.uint8]] = []
    lengths: list[int] = []
    texts: list[bytes] = []
    for start in range(0, len(data), _CHUNK):
        rows = data[start : start + _CHUNK]
        columns = [rows[column] for column in task.columns]
        encoded = tokenizer.backend(
            *columns,
            truncation="longest_first",
            max_length=max_length,
            return_token_type_ids=True,
            return_attention_mask=False,
        )
        lengths += [len(row) for row in encoded["input_ids"]]
        ids.append(np.fromiter(chain.from_iterable(encoded["input_ids"]), dtype=np.int32))
        types.append(np.fromiter(chain.from_iterable(encoded["token_type_ids"]), dtype=np.uint8))
        texts += [_text_digest(row) for row in zip(*columns, strict=True)]
    return {
        "ids": np.concatenate(ids),
        "types": np.concatenate(types),
        "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "labels": data.data.column(task.label).to_numpy().astype(np.int64),
        "texts": np.frombuffer(b"".join(texts), dtype=np.uint64),
    }


def _text_digest(texts: Sequence[str]) -> bytes:
    return hashlib.blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _keep(arrays: dict[str, dict[str, NDArray[Any]]], folder: Path) -> None:
    """Write the arrays of every split, then name the whole `folder`, unless another process was first."""
    with atomic_folder(folder) as temporary:
        for split, parts in arrays.items():
            (temporary / split).mkdir()
            for name, array in parts.items():
                np.save(temporary / split / f"{name}.npy", array)


def _open(folder: Path) -> Tokens:
    """Map the large arrays into memory and read the small ones."""
    mapped = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in ("ids", "types")}
    read = {name: np.load(folder / f"{name}.npy") for name in ("offsets", "labels", "texts")}
    return Tokens(**mapped, **read)
