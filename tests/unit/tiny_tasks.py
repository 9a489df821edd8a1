"""A task of word pairs, its data as a folder, and a tokenizer that knows its words."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml
from transformers import BertTokenizerFast

from tasks.task import Task
from tasks.tokens import Tokenizer, tokenizer

WORDS = [f"w{i}" for i in range(40)]

PAIRS = Task(
    name="pairs",
    path="someone/pairs-data",
    config="pairs",
    revision="0123456789" * 4,
    columns=("first", "second"),
    labels=("no", "yes"),
    metrics=("accuracy",),
    primary="accuracy",
    majority=0.5,
    margin=1.0,
)

FEATURES = datasets.Features(
    first=datasets.Value("string"),
    second=datasets.Value("string"),
    label=datasets.ClassLabel(names=["no", "yes"]),
)


def rows(count: int, seed: int = 0) -> dict[str, list]:
    """`count` pairs of 1 to 30 random words; a third is of class 1."""
    rng = np.random.default_rng(seed)
    first, second = (
        [" ".join(rng.choice(WORDS, rng.integers(1, 31))) for _ in range(count)] for _ in range(2)
    )
    return {
        "first": first,
        "second": second,
        "label": [int(i % 3 == 0) for i in range(count)],
    }


def write_data(
    folder: Path,
    splits: dict[str, dict[str, list]] | None = None,
    features: datasets.Features | None = FEATURES,
) -> Path:
    """Write the splits as parquet in the layout of `nyu-mll/glue` and return the folder."""
    splits = splits or {"train": rows(300, seed=1), "validation": rows(60, seed=2)}
    for split, content in splits.items():
        file = folder / "pairs" / f"{split}-00000-of-00001.parquet"
        datasets.Dataset.from_dict(content, features=features).to_parquet(file)
    files = [{"split": split, "path": f"pairs/{split}-*"} for split in splits]
    card = yaml.safe_dump({"configs": [{"config_name": "pairs", "data_files": files}]})
    (folder / "README.md").write_text(f"---\n{card}---\n\nWord pairs.\n")
    return folder


def write_tokenizer(folder: Path) -> Path:
    """Write a WordPiece tokenizer of the words and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    return folder


def tiny_tokenizer(folder: Path) -> Tokenizer:
    """Write and load the tokenizer."""
    return tokenizer(str(write_tokenizer(folder)), None)


def own_cache(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let `datasets` keep its copies in `folder`."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
