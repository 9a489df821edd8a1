"""Metrics under resampled examples: the bootstrap's replicates, shared by all trials of a task."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reports.metrics import METRICS, Floats

REPLICATES = 10_000
_DRAWS_AT_ONCE = 4_000_000  # bounds memory to about 100 MB


def generator(name: str) -> np.random.Generator:
    """Return the random stream of a task: the same for all its methods and seeds, and in every report."""
    return np.random.default_rng([20, zlib.crc32(name.encode())])


def example_weights(
    examples: int, replicates: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """Yield multinomial example weights in blocks of shape (r, n): how often each example was drawn.

    The draws do not depend on which trials are compared, so another method never moves a result. float32
    holds the counts, and sums of them, exactly.
    """
    block = max(1, _DRAWS_AT_ONCE // max(examples, 1))
    for start in range(0, replicates, block):
        rows = min(block, replicates - start)
        drawn = rng.integers(0, examples, size=(rows, examples))
        drawn += np.arange(rows)[:, None] * examples
        counts = np.bincount(drawn.ravel(), minlength=rows * examples)
        yield counts.reshape(rows, examples).astype(np.float32)


def replicate(
    labels: NDArray,
    predicted: NDArray,
    metric: str,
    *,
    classes: int,
    rng: np.random.Generator,
    replicates: int = REPLICATES,
) -> Floats:
    """Score every trial under every draw of the examples.

    Each trial is scored from its own weighted confusion counts; predictions of several seeds are never
    pooled, because F1 and Matthews are not means over examples.

    Args:
        labels: gold class ids, shape (n,).
        predicted: predicted class ids, shape (k, n) for k trials.
        metric: a key of `reports.metrics.METRICS`.
        classes: number of classes c.
        rng: the task's stream, see `generator`.
        replicates: number of draws.

    Returns:
        Scores in points (0-100), shape (replicates, k).
    """
    order = np.argsort(labels, kind="stable")  # one gold class is then one slice of columns
    edges = np.searchsorted(labels[order], np.arange(classes + 1))
    gold = [slice(edges[c], edges[c + 1]) for c in range(classes)]
    hits = [
        np.ascontiguousarray((predicted[:, order[part]] == c).T, dtype=np.float32)
        for part in gold
        for c in range(classes)
    ]
    scores = np.empty((replicates, len(predicted)))
    done = 0
    for weights in example_weights(len(labels), replicates, rng):
        counts = [weights[:, gold[i // classes]] @ hit for i, hit in enumerate(hits)]
        cells = np.stack(counts, axis=-1).astype(float).reshape(len(weights), -1, classes, classes)
        scores[done : done + len(weights)] = 100 * METRICS[metric](cells)
        done += len(weights)
    return scores
