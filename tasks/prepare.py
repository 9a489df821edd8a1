"""From a task's name and a seed to the four sets of examples a trial works on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from tasks.examples import Examples
from tasks.loading import identity
from tasks.seeds import Seeds
from tasks.splits import split
from tasks.task import Task
from tasks.tokens import tokenised, tokenizer


@dataclass(frozen=True)
class Prepared:
    """The examples of one trial. `validation` is for the final scoring: a method never sees it."""

    train: Examples
    reward: Examples
    choice: Examples
    validation: Examples
    facts: dict[str, Any]
    """For the record: `source`, its identity, `rows` by part, `texts_in_two_parts` (distinct texts by pair of
    parts) and, of the whole official splits, `texts_in_train_and_validation` and `duplicates_in_train`."""


def prepare(
    task: Task,
    source: str,
    tokenizer_source: str,
    *,
    revision: str | None,
    max_length: int,
    limit: int | None,
    selection: float | int,
    seeds: Seeds,
    cache: Path,
    offline: bool = False,
) -> Prepared:
    """Load, tokenise and split a task; what was tokenised before comes from `cache`.

    Args:
        task: the task.
        source: where its data comes from, as for `tasks.loading.load`.
        tokenizer_source: folder or Hub id of the pretrained model.
        revision: commit of the model on the Hub; None for a folder.
        max_length: tokens after which texts are cut.
        limit: training rows to take before splitting; None takes all.
        selection: rows kept for selection, as for `tasks.splits.split`.
        seeds: the trial's seeds; only `split` is used.
        cache: folder for tokenised data.
        offline: never touch the network.

    Raises:
        BadInput: data, tokenizer or sizes cannot be used as asked.
    """
    encoder = tokenizer(tokenizer_source, revision, offline)
    tokens = tokenised(task, source, encoder, max_length=max_length, cache=cache, offline=offline)
    train, validation = tokens["train"], tokens["validation"]
    parts = split(train.labels, limit=limit, selection=selection, seed=seeds.split)
    examples = {
        "train": train.examples(parts.train, encoder),
        "reward": train.examples(parts.reward, encoder),
        "choice": train.examples(parts.choice, encoder),
        "validation": validation.examples(np.arange(len(validation.labels)), encoder),
    }
    texts = {name: train.texts[examples[name].rows] for name in ("train", "reward", "choice")}
    texts["validation"] = validation.texts
    facts = {
        "source": source,
        **identity(task, source),
        "rows": {name: len(part) for name, part in examples.items()},
        "texts_in_two_parts": {
            f"{one}+{other}": len(np.intersect1d(texts[one], texts[other]))
            for one, other in combinations(texts, 2)
        },
        "texts_in_train_and_validation": len(np.intersect1d(train.texts, validation.texts)),
        "duplicates_in_train": len(train.texts) - len(np.unique(train.texts)),
    }
    return Prepared(**examples, facts=facts)
