"""Evaluations of many head masks against plain evaluations of the same masks, on real MRPC with MiniLM."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tasks.examples import Examples
from tests.bench.training import alone, precisions, prepared

EXAMPLES, ABLATION_EXAMPLES = 128, 32
MASKS = 2
"""Masks asked for together: what 150 episodes meet in 12 heads, 209 masks, is 1.4 new ones an episode."""


def measure() -> Iterator[str]:
    """Print evaluations per second and their ratios; plain and shared paths take turns."""
    seconds = alone(_rewards)
    best = precisions()[0]
    for mine in precisions():
        rate = 1 / seconds["shared", mine]
        yield f"AUBER rewards, {mine}: {rate:.2f} masks a second on {EXAMPLES} examples"
        ratio = seconds["whole", mine] / seconds["shared", mine]
        yield f"÷ plain evaluation, {mine}: {ratio:.2f} ({'at least 2' if mine == best else 'beside'})"
    if best == "bf16":
        ratio = seconds["whole", "fp32"] / seconds["shared", "bf16"]
        yield f"AUBER rewards, bf16 ÷ plain evaluation, fp32: {ratio:.2f} (at least 4)"
    whole, shared = alone(_ablation)
    yield f"head-ablation of all heads, {best} ÷ plain loop: {whole / shared:.2f} (at least 1.8)"


def _rewards() -> dict[tuple[str, str], float]:
    """Seconds a mask by path and precision, the mean over the layers.

    Activations below the layer are made before the clock runs: some 200 masks share them.
    """
    from methods import encoders
    from methods.pruning.masked import MaskedEvaluator, WholeEvaluator

    model, data = _world(EXAMPLES)
    width, depth = model.config.num_attention_heads, len(encoders.layers(model))
    rng = np.random.default_rng(0)
    kinds = {
        (kind.path, precision): kind(model, data, bf16=precision == "bf16")
        for kind in (MaskedEvaluator, WholeEvaluator)
        for precision in precisions()
    }
    seconds = dict.fromkeys(kinds, 0.0)
    for row in range(depth):
        masks = rng.random((MASKS, width)) < 0.75
        for key, evaluator in kinds.items():
            if evaluator.path == "shared":
                evaluator.logits(row, masks[:1])
            seconds[key] += _timed(lambda run=evaluator, at=row, of=masks: run.logits(at, of))
    return {key: total / depth / MASKS for key, total in seconds.items()}


def _ablation() -> tuple[float, float]:
    """Seconds for each head of each layer alone removed, plain and shared, activations included."""
    from methods import encoders
    from methods.pruning.masked import MaskedEvaluator, WholeEvaluator

    model, data = _world(ABLATION_EXAMPLES)
    bf16 = precisions()[0] == "bf16"
    masks = ~np.eye(model.config.num_attention_heads, dtype=bool)
    whole, shared = (kind(model, data, bf16=bf16) for kind in (WholeEvaluator, MaskedEvaluator))
    seconds = {"whole": 0.0, "shared": 0.0}
    for row in range(len(encoders.layers(model))):
        for evaluator in (whole, shared):
            seconds[evaluator.path] += _timed(lambda run=evaluator, at=row: run.logits(at, masks))
    return seconds["whole"], seconds["shared"]


def _world(count: int) -> tuple:
    """MiniLM with a classifier, and so many examples of MRPC's reward split; one thread, as a trial has."""
    import torch

    from methods import pretrained
    from tasks.registry import task

    torch.set_num_threads(1)
    model = pretrained.classifier(pretrained.resolve("minilm", folder=Path(), offline=True), task("mrpc"), 1)
    data: Examples = prepared("mrpc").reward
    chosen = np.random.default_rng(0).choice(len(data), count, replace=False)
    return model, data.subset(np.sort(chosen))


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
