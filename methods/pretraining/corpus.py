"""From a pre-training work's fields to its text and its batches."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from methods.pretraining.settings import Pretraining, TextTraining
from methods.run import SweepRun
from tasks.corpus.stream import Stream
from tasks.corpus.text import Text
from tasks.errors import BadInput
from tasks.tokens import tokenizer


def texts(run: SweepRun, own: Pretraining | None) -> Text:
    """Return the sweep's corpus in tokens.

    Args:
        run: the run, which has the corpus.
        own: says which vocabulary is trained on it; None takes that of the run's encoder.

    Raises:
        BadInput: the sweep has no corpus, or it cannot be used.
    """
    if run.corpus is None:
        raise BadInput("corpus: missing; give the sweep a folder of .txt files to pre-train on")
    if own is None:
        found = tokenizer(run.model.path, run.model.revision, run.corpus.offline)
    else:
        found = tokenizer(str(run.corpus.vocabulary(own.tokenizer, own.vocabulary)), None)
    return run.corpus.text(found)


def save_tokenizer(text: Text, settings: TextTraining, folder: Path) -> None:
    """Write the tokenizer beside its model.

    With `model_max_length` set to `length`, so fine-tuning cannot use untrained positions.
    """
    backend = copy.deepcopy(text.tokenizer.backend)
    backend.model_max_length = settings.length
    backend.save_pretrained(folder)


def stream(text: Text, settings: TextTraining, *, held_out: bool = False) -> Stream:
    """Return the batches to train on, or those of the documents kept from training."""
    return Stream(
        text,
        text.examined if held_out else text.training,
        length=settings.length,
        batch_size=settings.batch_size // settings.accumulation,
        least=settings.batch_size,
        pairing=settings.pairing,
        max_predictions=settings.max_predictions,
        seed=settings.seed,
        # The held-out part may be a single document; drawing negatives from training documents is safe
        # because evaluation trains nothing.
        others=np.arange(len(text)) if held_out else None,
    )
