"""Timing of things that are compared with one another: repeats interleaved, after warming up."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def rounds(keys: Iterable[Key], number: int) -> Iterator[list[Key]]:
    """All keys once per round, each round in an order of its own.

    A slow minute of the machine then hits all alike; and what a call finds in the caches is left by the one
    before it, which cost models of a millisecond a tenth of their time where it was always the same one.
    """
    order, draws = list(keys), random.Random(0)
    for _ in range(number):
        draws.shuffle(order)
        yield list(order)


def interleaved(
    calls: Mapping[Key, Callable[[], object]], *, warm_up: int, repeats: int, device: str
) -> dict[Key, list[float]]:
    """Time every call `repeats` times and return milliseconds by key.

    Calls come in the order of `rounds`. The first `warm_up` rounds are not counted: they allocate memory and
    choose kernels.
    """
    times: dict[Key, list[float]] = {key: [] for key in calls}
    for number, order in enumerate(rounds(calls, warm_up + repeats)):
        for key in order:
            begun = time.perf_counter()
            calls[key]()
            synchronise(device)
            if number >= warm_up:
                times[key].append(1000 * (time.perf_counter() - begun))
    return times


def synchronise(device: str) -> None:
    """Wait until the device has done what it was given: GPUs work on after a call returns."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Median and quartiles of repeated times."""
    q1, median, q3 = statistics.quantiles(milliseconds, n=4, method="inclusive")
    return {
        "median_ms": round(median, 4),
        "q1_ms": round(q1, 4),
        "q3_ms": round(q3, 4),
        "repeats": len(milliseconds),
    }
