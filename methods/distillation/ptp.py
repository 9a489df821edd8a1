"""Pretraining with teacher's predictions (PTP): four labels that say how the teacher did on an example."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from methods import encoders
from methods.fit import Loss
from methods.random_state import seeded
from tasks.batches import Batch

if TYPE_CHECKING:
    from methods.run import Run
    from methods.settings import Training

CLASSES = ("right and sure", "right and unsure", "wrong and sure", "wrong and unsure")

SKEW = 0.05
"""Share of examples below which two of the four labels are almost empty, and the others say one thing."""

_HALVES = {"right": (0, 1), "wrong": (2, 3), "sure": (0, 2), "unsure": (1, 3)}


def teacher_labels(
    logits: NDArray[np.floating], labels: NDArray[np.integer], t_right: float, t_wrong: float
) -> NDArray[np.int64]:
    """Label every example by the teacher's correctness and confidence (Pea-KD, arXiv 2009.14822, sec. PTP).

    0: right with confidence above `t_right`; 1: right, at most `t_right`; 2: wrong, above `t_wrong`; 3:
    wrong, at most `t_wrong`. Confidence is the largest probability at temperature 1.

    Args:
        logits: the teacher's, shape (n, classes).
        labels: gold classes, shape (n,).
        t_right: threshold where the teacher is right.
        t_wrong: threshold where it is wrong.

    Returns:
        One of `CLASSES` by number for each example, shape (n,).
    """
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True).astype(np.float64))
    confidence = shifted.max(axis=1) / shifted.sum(axis=1)
    right = logits.argmax(axis=1) == labels
    sure = confidence > np.where(right, t_right, t_wrong)
    return (2 * ~right + ~sure).astype(np.int64)


def random_labels(examples: int, seed: int) -> NDArray[np.int64]:
    """Draw one of the four labels for each example: the control, as much training with nothing to learn.

    Returns:
        Numbers in `CLASSES`, uniform, shape (examples,).
    """
    return np.random.default_rng(seed).integers(len(CLASSES), size=examples)


def note_counts(run: Run, labels: NDArray[np.int64]) -> None:
    """Write down how many examples each label has, and say so where two of the four are almost empty.

    A teacher is seldom wrong on what it was trained on, and a small one may never reach a threshold.
    """
    counts = np.bincount(labels, minlength=len(CLASSES))
    run.notes["ptp_counts"] = dict(zip(CLASSES, counts.tolist(), strict=True))
    shares = {half: float(counts[[*places]].sum() / len(labels)) for half, places in _HALVES.items()}
    skewed = {half: share for half, share in shares.items() if share < SKEW}
    run.notes["ptp_skewed"] = bool(skewed)
    for half, share in skewed.items():
        logging.getLogger(__name__).warning(
            "PTP: the teacher is %s on %.1f %% of the examples it was trained on; two of four labels are "
            "almost empty: %s",
            half,
            100 * share,
            counts.tolist(),
        )


def pretrain(run: Run, student: PreTrainedModel, labels: NDArray[np.int64], training: Training) -> None:
    """Train `student` in place to tell the four labels, with a head of its own that is thrown away.

    The student's own head comes back untouched, with what RoBERTa, ELECTRA and DistilBERT have between
    encoder and logits; the encoder has learnt, BERT's pooler being part of it. Order and dropout are those
    of draw 1, so that the distillation after it can have those of a student without PTP.

    Args:
        run: its train split is learnt from; its `init` seed draws the head.
        student: a classifier of a known architecture, on its device; in eval mode afterwards.
        labels: numbers in `CLASSES`, in the order of the train split, shape (n,).
        training: epochs and rate of this stage.

    Raises:
        Diverged: the loss or the gradient's norm is not finite.
    """
    encoder = f"{student.base_model_prefix}."
    drawn = {k: v.clone() for k, v in student.state_dict().items() if not k.startswith(encoder)}
    name = encoders.head(student)
    own = student.get_submodule(name)
    assert isinstance(own, nn.Linear)
    student.set_submodule(name, _four_way(own.in_features, run.seeds.init).to(run.device))
    targets = torch.from_numpy(labels).to(run.device)
    run.fit(student, _four_way_loss(targets), training=training, draw=1)
    student.set_submodule(name, own)
    student.load_state_dict(drawn, strict=False)


def _four_way_loss(targets: Tensor) -> Loss:
    def loss(model: PreTrainedModel, batch: Batch) -> Tensor:
        return F.cross_entropy(model(**batch.inputs).logits.float(), targets[batch.positions])

    return loss


def _four_way(features: int, seed: int) -> nn.Linear:
    """A new head as BERT initialises its own: normal weights of deviation 0.02, no bias."""
    with seeded(seed):
        head = nn.Linear(features, len(CLASSES))
        nn.init.normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
    return head
