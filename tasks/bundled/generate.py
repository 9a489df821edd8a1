"""Writes the bundled sample: `python -m tasks.bundled.generate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.bundled import cola, mrpc, qnli, rte, sst2
from tasks.bundled.grammar import SPLITS, Grammar

if TYPE_CHECKING:
    from datasets import Dataset

SEED = 1
DATA = Path(__file__).parent / "data"
GRAMMARS: dict[str, Grammar] = {
    "rte": rte.GRAMMAR,
    "mrpc": mrpc.GRAMMAR,
    "sst2": sst2.GRAMMAR,
    "qnli": qnli.GRAMMAR,
    "cola": cola.GRAMMAR,
}

_CONFIG = """\
- config_name: {task}
  data_files:
  - split: train
    path: {task}/train-*
  - split: validation
    path: {task}/validation-*
"""
_CARD = """\
---
configs:
{configs}---

# Generated sentences in the layout of `nyu-mll/glue`

Written by `python -m tasks.bundled.generate`; do not edit. For demos and tests, not for claims.
`datasets.load_dataset("<this folder>", "rte")` reads it as it reads the Hub's GLUE.
"""


def table(task: str, split: str) -> Dataset:
    """Generate one split, with GLUE's columns, types and label names."""
    from datasets import ClassLabel, Dataset, Features, Value

    grammar = GRAMMARS[task]
    features = Features(
        {column: Value("string") for column in grammar.columns}
        | {"label": ClassLabel(names=list(grammar.labels)), "idx": Value("int32")}
    )
    return Dataset.from_list(grammar.rows(split, SEED), features=features)


def write(folder: Path = DATA) -> None:
    """Write every split as parquet below `folder`, and the card that lets `load_dataset` find them."""
    for task in GRAMMARS:
        for split in SPLITS:
            path = folder / task / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            table(task, split).to_parquet(path)
    card = _CARD.format(configs="".join(_CONFIG.format(task=task) for task in sorted(GRAMMARS)))
    (folder / "README.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    write()
