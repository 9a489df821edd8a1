"""Pre-training: the one training loop over a stream of text, with checkpoints and a curve."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from methods.attention import fastest_attention
from methods.divergence import DivergenceMonitor
from methods.fit import decay_groups, descend, linear
from methods.precision import exact
from methods.pretraining import state
from methods.pretraining.lamb import Lamb
from methods.pretraining.settings import TextTraining
from methods.pretraining.state import Progress
from methods.run import SweepRun
from reports.record import Cost
from tasks.corpus.stream import Stream, TextBatch

MetricSums = dict[str, tuple[Tensor, Tensor]]
"""(sum, count) of each metric of a batch, so that means over many batches are exact."""
TextLoss = Callable[[Any, TextBatch], tuple[Tensor, MetricSums]]
"""Maps (model, batch) to the scalar that is minimised and to the metrics of the curve."""

CHECKPOINT_SECONDS = 120.0
"""Between two checkpoints."""
_POINTS = 200
"""Points of a curve, at most."""


def make_optimizer(settings: TextTraining, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Make the optimiser of the settings over parameter groups; a group's `scale` multiplies its rate."""
    if settings.optimizer == "lamb":
        return Lamb(groups, lr=settings.learning_rate)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, eps=1e-6, fused=True)


def pretrain(
    run: SweepRun,
    model: nn.Module,
    loss: TextLoss,
    stream: Stream,
    settings: TextTraining,
    *,
    flops: Callable[[TextBatch], float],
    name: str = "pretraining",
    steps: int | None = None,
    groups: list[dict[str, Any]] | None = None,
    schedule: Callable[[int], float] | None = None,
) -> Progress:
    """Train `model` in place, on its device, and leave it in eval mode.

    Every two minutes all that decides the rest goes to `run.resume`; called again after a kill with the same
    arguments it resumes and ends with the same weights and curve. A phase that was finished is
    only loaded. The cost is added to the run's. Every window of steps is reported live; what a killed attempt
    reported is reported again, but for its speed.

    Args:
        run: where settings, seeds, folders and reports come from.
        model: anything that `loss` takes; every parameter that requires a gradient is trained.
        loss: what is minimised and what is shown.
        stream: where the batches come from, each `batch_size / accumulation` sequences.
        settings: rate, warm-up, optimiser, accumulation.
        flops: forward operations on a batch, for the cost.
        name: of this phase, unique within its work.
        steps: optimiser steps; by default the settings'.
        groups: parameter groups, by default all parameters, vectors without decay.
        schedule: share of the peak rate at a step, from 0; by default warm-up, then linear decay.

    Raises:
        Diverged: the loss or the gradient's norm is not finite.
    """
    total = steps or settings.total_steps
    optimizer = make_optimizer(settings, groups or decay_groups(model, settings.weight_decay))
    checkpoints = _Checkpoints(run.resume / f"{name}.pt" if run.resume else None, model, optimizer, stream)
    # Seeded first: what is restored replaces it.
    torch.manual_seed(settings.seed)
    device = next(model.parameters()).device
    on_processor = 0.0 if device.type == "cpu" else None
    progress = checkpoints.restore() or Progress(position=stream.position, processor_seconds=on_processor)
    clock, monitor = _Clock(progress), DivergenceMonitor(device, advice="lower learning_rate or raise warmup")
    curve = _Curve(progress, total, run)
    share_of_peak = schedule or (lambda step: linear(step, total, settings.warmup))

    def scalar(model: nn.Module, batch: TextBatch) -> Tensor:
        value, metrics = loss(model, batch)
        _add(progress.window, metrics)
        return value

    model.train()
    with _fastest_attention(model):
        for step in descend(
            model,
            optimizer,
            iter(stream),
            scalar,
            lambda step: settings.learning_rate * share_of_peak(step),
            steps=range(progress.step, total),
            bf16=run.bf16,
            accumulate=settings.accumulation,
        ):
            progress.step, progress.position = step.number, stream.position
            progress.cost += _cost(step.batches, flops)
            clock.tick()
            must_read = monitor.add(step)
            window_ends, checkpoint_due = curve.ends(step.number), checkpoints.due(step.number == total)
            if window_ends or checkpoint_due or must_read:
                monitor.read()
            if window_ends:
                curve.add_point(step.number, step.learning_rate, clock.speed())
            if checkpoint_due:
                checkpoints.save(progress)
    model.eval()
    run.cost += progress.cost
    return progress


class _Curve:
    """Means over equal windows of steps, kept and reported; those of a killed attempt are reported first."""

    def __init__(self, progress: Progress, total: int, run: SweepRun) -> None:
        self._progress, self._total, self._report = progress, total, run.report
        self._steps_before, self._window = run.cost.steps, math.ceil(total / _POINTS)
        for point in progress.curve:
            # MLflow shows one attempt: what the killed one had reported went with its run.
            shown = {name: value for name, value in point.items() if name != "step"}
            self._report(self._steps_before + int(point["step"]), shown)

    def ends(self, step: int) -> bool:
        """Whether a window ends with this step, counted from 1."""
        return step == self._total or step % self._window == 0

    def add_point(self, step: int, learning_rate: float, tokens_per_second: float) -> None:
        """Close the window."""
        point = {**_means(self._progress.window), "learning_rate": learning_rate}
        self._progress.curve.append({"step": step, **point})
        self._progress.window.clear()
        self._report(self._steps_before + step, {**point, "tokens_per_second": tokens_per_second})


class _Checkpoints:
    """The checkpoint of one phase, every few minutes and at its end; None for no path keeps none."""

    def __init__(
        self, path: Path | None, model: nn.Module, optimizer: torch.optim.Optimizer, stream: Stream
    ) -> None:
        self._path, self._model, self._optimizer, self._stream = path, model, optimizer, stream
        self._saved = time.perf_counter()

    def restore(self) -> Progress | None:
        """Put everything back to the checkpoint; None where there is none of this text."""
        if self._path is None:
            return None
        return state.restore(self._path, self._model, self._optimizer, self._stream, self._stream.text.digest)

    def due(self, is_last: bool) -> bool:
        """Whether it is time to save."""
        waited = time.perf_counter() - self._saved
        return self._path is not None and (is_last or waited > CHECKPOINT_SECONDS)

    def save(self, progress: Progress) -> None:
        """Replace the checkpoint, which must be due."""
        assert self._path is not None
        state.save(self._path, self._model, self._optimizer, progress, self._stream.text.digest)
        self._saved = time.perf_counter()


class _Clock:
    """Adds the time of this attempt to what earlier ones took."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._told = (progress.seconds, progress.cost.tokens)
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def tick(self) -> None:
        """Take in what has gone by since the last time."""
        wall, processor = time.perf_counter(), time.process_time()
        self._progress.seconds += wall - self._wall
        if self._progress.processor_seconds is not None:
            self._progress.processor_seconds += processor - self._processor
        self._wall, self._processor = wall, processor

    def speed(self) -> float:
        """Tokens per second since it was last asked."""
        seconds, tokens = self._told
        self._told = (self._progress.seconds, self._progress.cost.tokens)
        return (self._progress.cost.tokens - tokens) / max(self._progress.seconds - seconds, 1e-9)


@torch.no_grad()
def evaluate(
    model: nn.Module, loss: TextLoss, stream: Stream, *, bf16: bool = False
) -> dict[str, tuple[float, int]]:
    """Return mean and count of every metric over all examples of a stream; the model is left in eval mode."""
    device = next(model.parameters()).device
    sums: MetricSums = {}
    model.eval()
    with _fastest_attention(model), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        for batch in stream.once():
            _add(sums, loss(model, batch.to(device))[1])
    means = _means(sums)
    return {name: (means[name], int(count)) for name, (_, count) in sums.items() if name in means}


def _add(sums: MetricSums, metrics: MetricSums) -> None:
    for name, (value, count) in metrics.items():
        before = sums.get(name)
        # In double precision, so that sums over a long corpus stay exact counts.
        value, count = exact(value.detach()), exact(count.detach())
        sums[name] = (before[0] + value, before[1] + count) if before else (value, count)


def _means(sums: MetricSums) -> dict[str, float]:
    """Means of the metrics that were counted at all."""
    return {name: float(value / count) for name, (value, count) in sums.items() if float(count)}


def _cost(batches: list[TextBatch], flops: Callable[[TextBatch], float]) -> Cost:
    return Cost(
        steps=1,
        examples=sum(len(batch.pairs) for batch in batches),
        tokens=sum(batch.tokens for batch in batches),
        # A backward pass costs twice the forward one: gradients of inputs and of weights.
        flops=sum(3 * flops(batch) for batch in batches),
    )


@contextmanager
def _fastest_attention(model: nn.Module) -> Iterator[None]:
    """For every encoder within the model."""
    with ExitStack() as stack:
        for part in model.modules():
            if isinstance(part, PreTrainedModel):
                stack.enter_context(fastest_attention(part))
        yield
