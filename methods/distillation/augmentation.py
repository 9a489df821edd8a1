"""TinyBERT's data augmentation: copies of examples with some words replaced by likely ones."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from methods.distillation.pairing import require_same_vocabulary
from methods.distillation.word_kinds import word_kinds
from methods.flops import cost_of_inference, flops_by_length
from tasks.errors import BadInput
from tasks.examples import Examples
from tasks.tokens import tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pretrained import Source
    from methods.run import Run

REPLACED, CANDIDATES = 0.4, 15
"""Share of the words that are replaced, and how many words are proposed for each (algorithm 1)."""

_BATCH = 16
"""Texts a language model sees at once: at 128 tokens its logits over 30,522 words take 250 MB."""


def augmented(run: Run, copies: int, model: str | None) -> Examples:
    """Return the train split with `copies` of each example after it, words replaced at random.

    A word that is one token is replaced with probability 0.4 by one of 15 proposals: those of a masked
    language model in its place, or its nearest neighbours among the encoder's word embeddings. Words of
    several tokens stay; the paper looks their neighbours up in GloVe. The official code also leaves stop
    words and numbers alone, and shows its language model the whole text after the masked one; the paper names
    neither. Labels are those of the originals.

    Args:
        run: its train split, its encoder and its `order` seed are used.
        copies: how many; the paper makes 20 to 30.
        model: the language model, one of `run.models`; None takes neighbours.

    Raises:
        BadInput: the vocabulary is not WordPiece, or the language model has another one or no head for masked
            words.
    """
    train = run.train
    ids, types, offsets = _flat(train)
    words = word_kinds(run.model)
    places = _places(ids, words)
    proposals = (
        _neighbours(run, ids[places], words)
        if model is None
        else _guesses(run, model, ids, types, places, offsets, words)
    )
    rng = np.random.default_rng(run.seeds.order)
    rounds = [ids]
    for _ in range(copies):
        replaced = rng.random(len(places)) < REPLACED
        drawn = proposals[np.arange(len(places)), rng.integers(proposals.shape[1], size=len(places))]
        copy = ids.copy()
        copy[places[replaced]] = drawn[replaced]
        rounds.append(copy)
    starts = [offsets[:-1] + len(ids) * number for number in range(copies + 1)]
    return Examples(
        ids=np.concatenate(rounds),
        types=np.tile(types, copies + 1),
        offsets=np.concatenate([*starts, [len(ids) * (copies + 1)]]),
        rows=np.arange(len(train) * (copies + 1)),
        labels=np.tile(train.labels, copies + 1),
        pad_id=train.pad_id,
        inputs=train.inputs,
    )


def _flat(examples: Examples) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.int64]]:
    """Token ids, token types and offsets of these examples alone."""
    spans = [
        np.arange(start, stop)
        for start, stop in zip(
            examples.offsets[examples.rows], examples.offsets[examples.rows + 1], strict=True
        )
    ]
    chosen = np.concatenate(spans)
    return examples.ids[chosen], examples.types[chosen], np.concatenate([[0], np.cumsum(examples.lengths)])


def _places(ids: NDArray[np.int32], words: NDArray[np.int8]) -> NDArray[np.int64]:
    """Where a word stands that is one token."""
    kinds = words[ids]
    continued = np.append(kinds[1:] == -1, False)
    return np.flatnonzero((kinds == 1) & ~continued)


@torch.inference_mode()
def _neighbours(run: Run, ids: NDArray[np.int32], words: NDArray[np.int8]) -> NDArray[np.int64]:
    """The nearest words by cosine of their embeddings, shape (len(ids), candidates)."""
    table = F.normalize(run.pretrained().get_input_embeddings().weight, dim=-1)
    distinct, inverse = np.unique(ids, return_inverse=True)
    vocabulary = torch.from_numpy(np.flatnonzero(words == 1)).to(run.device)
    found = []
    for chunk in torch.from_numpy(distinct.astype(np.int64)).to(run.device).split(1024):
        likeness = table[chunk] @ table[vocabulary].T
        likeness[chunk[:, None] == vocabulary[None]] = -2.0  # Not the word itself.
        nearest = likeness.topk(min(CANDIDATES, len(vocabulary) - 1)).indices
        found.append(vocabulary[nearest].cpu().numpy())
    return np.concatenate(found)[inverse]


@torch.inference_mode()
def _guesses(
    run: Run,
    model: str,
    ids: NDArray[np.int32],
    types: NDArray[np.uint8],
    places: NDArray[np.int64],
    offsets: NDArray[np.int64],
    words: NDArray[np.int8],
) -> NDArray[np.int64]:
    """What a masked language model proposes for each place, with that place alone masked."""
    source = run.models[model]
    require_same_vocabulary(run.model, source)
    backend = tokenizer(source.path, source.revision).backend
    guesser = _language_model(source).to(run.device).eval()
    has_types = "token_type_ids" in signature(guesser.forward).parameters
    flops = flops_by_length(guesser)
    vocabulary = torch.from_numpy(np.flatnonzero(words == 1)).to(run.device)
    owners = np.searchsorted(offsets, places, side="right") - 1
    lengths = np.diff(offsets)[owners]
    found = np.empty((len(places), min(CANDIDATES, len(vocabulary))), dtype=np.int64)
    by_length = np.argsort(lengths, kind="stable")
    for start in range(0, len(places), _BATCH):
        chosen = by_length[start : start + _BATCH]
        longest = int(lengths[chosen].max())
        real = np.arange(longest) < lengths[chosen, None]
        shown = np.full(real.shape, backend.pad_token_id, dtype=np.int64)
        spans = [slice(offsets[owner], offsets[owner + 1]) for owner in owners[chosen]]
        shown[real] = np.concatenate([ids[span] for span in spans])
        segments = np.zeros_like(shown)
        segments[real] = np.concatenate([types[span] for span in spans])
        column = places[chosen] - offsets[owners[chosen]]
        shown[np.arange(len(chosen)), column] = backend.mask_token_id
        inputs = {"input_ids": shown, "attention_mask": real.astype(np.int64)}
        if has_types:
            inputs["token_type_ids"] = segments
        logits = guesser(
            **{name: torch.from_numpy(rows).to(run.device) for name, rows in inputs.items()}
        ).logits
        likely = logits[torch.arange(len(chosen)), torch.from_numpy(column)][:, vocabulary]
        found[chosen] = vocabulary[likely.topk(found.shape[1]).indices].cpu().numpy()
        run.cost += cost_of_inference(len(chosen) * flops(longest))
    return found


def _language_model(source: Source) -> PreTrainedModel:
    """Load a masked language model whole, in fp32: a head drawn at random would propose nonsense.

    Raises:
        BadInput: the checkpoint is an encoder without a head for masked words.
    """
    from transformers import AutoModelForMaskedLM

    model, found = AutoModelForMaskedLM.from_pretrained(
        source.path, revision=source.revision or "main", dtype=torch.float32, output_loading_info=True
    )
    if missing := sorted(found["missing_keys"]):
        raise BadInput(
            f"augment_model: {source.id!r} has no head for masked words ({len(missing)} tensors are missing, "
            f"{missing[0]} among them); name a masked language model such as google-bert/bert-base-uncased, "
            "or leave it out for neighbours among the word embeddings"
        )
    return model
