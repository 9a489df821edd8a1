"""Effects: how a study's models differ from the unpruned one, over seeds and examples."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from reports.decisions import Decisions
from reports.metrics import Floats, points
from reports.statistics import combined
from reports.statistics.paired import bootstrap, estimate
from reports.statistics.replicates import REPLICATES, generator, replicate

Key = TypeVar("Key", bound=Hashable)
LEVEL = 0.05


@dataclass(frozen=True)
class Effect:
    """A change of the primary metric in points against the unpruned model.

    Attributes:
        changes: by seed.
        mean: over seeds.
        low: of the 95 % interval of the mean.
        high: of the same.
        p: two-sided; over seeds and examples, or over examples alone where there is one seed.
    """

    changes: list[float]
    mean: float
    low: float
    high: float
    p: float


def effects(
    task: str,
    metric: str,
    base: Sequence[Decisions],
    variants: Mapping[Key, Sequence[Sequence[Decisions]]],
    *,
    replicates: int = REPLICATES,
) -> dict[Key, Effect]:
    """Compare variants with the unpruned model of the same seed, by the test that decides on the leaderboard.

    Args:
        task: names the stream of example draws.
        metric: the primary metric.
        base: decisions of the unpruned model by seed.
        variants: for each variant and seed its decisions; several, such as draws of a random order, are
            averaged in their seed.
        replicates: draws of the examples.

    Raises:
        ValueError: models were scored on different examples.
    """
    columns = [*base, *(one for seeds in variants.values() for draws in seeds for one in draws)]
    ordered = [one.in_order() for one in columns]
    first = ordered[0]
    if not all(one.same_examples(first) for one in ordered):
        raise ValueError(f"{task}: the models of a study were scored on different examples")
    predicted = np.stack([one.classes for one in ordered])
    classes = first.count
    stream = generator(task)
    scores = replicate(first.labels, predicted, metric, classes=classes, rng=stream, replicates=replicates)
    observed = np.array([points(first.labels, one, classes, metric) for one in predicted])
    taken, found = len(base), {}
    for key, seeds in variants.items():
        changes, drawn = [], []
        for number, draws in enumerate(seeds):
            part = slice(taken, taken + len(draws))
            taken += len(draws)
            changes.append(float(observed[part].mean() - observed[number]))
            drawn.append(scores[:, part].mean(axis=1) - scores[:, number])
        found[key] = _effect(changes, np.stack(drawn, axis=1))
    return found


def _effect(changes: list[float], drawn: Floats) -> Effect:
    e = estimate(np.array(changes), drawn)
    if e.seed_variance is None:
        p, half = bootstrap(e)
    elif e.identical:
        p, half = 1.0, 0.0
    else:
        p, half = combined.p_value(e), combined.half_width(e, LEVEL / 2)
    return Effect(changes, e.mean, e.mean - half, e.mean + half, p)
