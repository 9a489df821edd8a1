"""Metrics as functions of confusion counts, so that scores and weighted replicates share one definition."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from reports.record import Collapse

Floats = NDArray[np.float64]


def confusion(labels: NDArray, predictions: NDArray, classes: int) -> Floats:
    """Count (gold, predicted) pairs.

    Args:
        labels: gold class ids, shape (n,).
        predictions: predicted class ids, shape (n,).
        classes: number of classes c.

    Returns:
        Counts of shape (c, c); rows are gold classes.
    """
    cell = np.asarray(labels, dtype=np.int64) * classes + np.asarray(predictions, dtype=np.int64)
    return np.bincount(cell, minlength=classes * classes).reshape(classes, classes).astype(float)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def accuracy(counts: Floats) -> Floats:
    """Share of correct predictions; counts of shape (..., c, c)."""
    return _ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def f1(counts: Floats) -> Floats:
    """F1 with class 1 as the positive one, 0 where undefined; counts of shape (..., 2, 2)."""
    positive = counts[..., 1, 1]
    return _ratio(2 * positive, 2 * positive + counts[..., 0, 1] + counts[..., 1, 0])


def matthews(counts: Floats) -> Floats:
    """Matthews correlation of c classes (Gorodkin, 2004), 0 where undefined; counts of shape (..., c, c)."""
    total = counts.sum(axis=(-2, -1))
    gold, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    covariance = np.trace(counts, axis1=-2, axis2=-1) * total - (gold * predicted).sum(axis=-1)
    spread = (total**2 - (gold**2).sum(axis=-1)) * (total**2 - (predicted**2).sum(axis=-1))
    return _ratio(covariance, np.sqrt(np.maximum(spread, 0.0)))


METRICS = {"accuracy": accuracy, "f1": f1, "matthews": matthews}


def points(labels: NDArray, predictions: NDArray, classes: int, metric: str) -> float:
    """Score class predictions of shape (n,) against labels of shape (n,), in points."""
    return 100 * float(METRICS[metric](confusion(labels, predictions, classes)))


def score(labels: NDArray, logits: NDArray, metrics: Iterable[str]) -> dict[str, float]:
    """Score logits of shape (n, c) against labels of shape (n,); fractions by metric name.

    Raises:
        ValueError: a label is outside 0..c-1 (the Hub's test splits have label -1).
    """
    classes = logits.shape[1]
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(f"labels must lie in 0..{classes - 1}, found {labels.min()}..{labels.max()}")
    counts = confusion(labels, logits.argmax(axis=1), classes)
    return {name: float(METRICS[name](counts)) for name in metrics}


def cross_entropy(labels: NDArray, logits: NDArray) -> float:
    """Mean cross-entropy in nats of logits of shape (n, c) against labels of shape (n,)."""
    from scipy.special import log_softmax

    likelihoods = log_softmax(np.asarray(logits, dtype=float), axis=1)
    return -float(likelihoods[np.arange(len(labels)), labels].mean())


def collapse(labels: NDArray, logits: NDArray, primary: str) -> Collapse:
    """Judge whether predictions are degenerate.

    Collapsed means one class in at least 99 % of predictions, or accuracy no better than the majority
    plus one standard error. A task whose primary metric is Matthews is judged by Matthews <= 1/sqrt(n);
    F1 tasks are judged by accuracy. Below 64 examples only the one-class rule applies.
    """
    n, classes = logits.shape
    predictions = logits.argmax(axis=1)
    share = np.bincount(predictions, minlength=classes).max() / n
    if share >= 0.99:
        return Collapse(collapsed=True, reason=f"{share:.0%} of {n} predictions are one class")
    if n < 64:
        return Collapse(collapsed=False)
    counts = confusion(labels, predictions, classes)
    if primary == "matthews":
        value, bound = float(matthews(counts)), 1 / math.sqrt(n)
        name = "Matthews"
    else:
        majority = counts.sum(axis=1).max() / n
        value, bound = float(accuracy(counts)), majority + math.sqrt(majority * (1 - majority) / n)
        name = "accuracy"
    if value <= bound:
        return Collapse(collapsed=True, reason=f"{name} {value:.3f} on {n} examples is not above {bound:.3f}")
    return Collapse(collapsed=False)
