"""A model and data so small that only the engine's own time is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np

WORDS = [
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    "h",
    "good",
    "bad",
    "film",
    "book",
    "very",
    "not",
    "is",
    "was",
    "the",
    "it",
]


def write_model(folder: Path) -> Path:
    """Save a random two-layer BERT and its tokenizer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **shape)
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    return folder


def write_data(folder: Path, train: int = 400, validation: int = 64) -> Path:
    """Write an SST-2 of random words in the Hub's layout."""
    from datasets import ClassLabel, Dataset, Features, Value

    draw = np.random.default_rng(0)
    label = ClassLabel(names=["negative", "positive"])
    features = Features({"sentence": Value("string"), "label": label, "idx": Value("int32")})
    (folder / "sst2").mkdir(parents=True)
    splits = "".join(f"\n  - {{split: {name}, path: sst2/{name}-*}}" for name in ("train", "validation"))
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: sst2\n  data_files:{splits}\n---\n")
    for split, rows in (("train", train), ("validation", validation)):
        sentences = [" ".join(draw.choice(WORDS, 5)) + f" {number}" for number in range(rows)]
        labels = [number % 2 for number in range(rows)]
        table = {"sentence": sentences, "label": labels, "idx": list(range(rows))}
        Dataset.from_dict(table, features=features).to_parquet(
            folder / "sst2" / f"{split}-00000-of-00001.parquet"
        )
    return folder
