"""The one training loop: AdamW, linear warm-up and decay, clipping, bf16, cost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from statistics import fmean as mean
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from transformers import PreTrainedModel

from methods.attention import fastest_attention
from methods.divergence import DivergenceMonitor
from methods.dropout import quick_dropout
from methods.flops import TRAINING_PASSES, flops_by_length
from methods.settings import Training
from reports.record import Cost
from tasks.batches import Batch, epoch
from tasks.examples import Examples
from tasks.seeds import Seeds


class _Movable(Protocol):
    def to(self, device: torch.device) -> Self:
        """Return the batch on `device`."""


AnyBatch = TypeVar("AnyBatch", bound=_Movable)
Loss = Callable[[PreTrainedModel, Batch], Tensor]
"""Maps (model, batch) to a scalar."""
Schedule = Callable[[int, int, float], float]
"""Maps (step, steps, warm-up) to the share of the peak learning rate."""
Report = Callable[[int, dict[str, float]], None]
"""Called with the step and metrics by name."""
StepCallback = Callable[[int, PreTrainedModel], None]
"""Called with the number of steps done and the model."""

MAX_GRADIENT_NORM = 1.0
REPORT_SECONDS = 5.0


@dataclass(frozen=True)
class Fitted:
    """What training cost and how it went."""

    cost: Cost
    losses: list[float]
    """Mean training loss of each epoch, the last one maybe partial."""


def cross_entropy(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Mean cross-entropy on the labels, in fp32."""
    return F.cross_entropy(model(**batch.inputs).logits.float(), batch.labels)


def linear(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at `step` (from 0): linear warm-up, then linear decay towards 0.

    The values are those of transformers' `get_linear_schedule_with_warmup`.
    """
    rising = math.ceil(steps * warmup)
    if step < rising:
        return step / rising
    return (steps - step) / (steps - rising)


def constant(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate where there is neither warm-up nor decay: all of it."""
    return 1.0


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Group the trainable parameters for an optimiser, each shared tensor once; vectors do not decay."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]


def make_optimizer(model: nn.Module, training: Training) -> torch.optim.AdamW:
    """Make a fused AdamW over the trainable parameters, each shared tensor once; vectors do not decay."""
    groups = decay_groups(model, training.weight_decay)
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)


@dataclass(frozen=True)
class Step(Generic[AnyBatch]):
    """One optimiser step that was taken; its numbers are still on the device."""

    number: int
    """From 1."""
    batches: list[AnyBatch]
    """What it was computed on."""
    loss: Tensor
    """Mean over the batches."""
    norm: Tensor
    """Of the gradient, before clipping."""
    learning_rate: float


def descend(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[AnyBatch],
    loss: Callable[[Any, AnyBatch], Tensor],
    learning_rates: Callable[[int], float],
    *,
    steps: range,
    bf16: bool,
    accumulate: int = 1,
) -> Iterator[Step[AnyBatch]]:
    """Take optimiser steps, clipped, one each time the caller asks for the next.

    Args:
        model: in training mode, on its device; it alone is handed to `loss`.
        optimizer: over the parameters that are trained; a group's `scale` multiplies its rate.
        batches: at least `accumulate` for each step.
        loss: maps (model, batch) to a scalar.
        learning_rates: the rate at a step, counted from 0.
        steps: the steps to take, counted from 0.
        bf16: run matrix products in bfloat16.
        accumulate: batches whose gradients are averaged in a step.
    """
    trainable = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    device = trainable[0].device
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] = learning_rates(step) * group.get("scale", 1.0)
        taken = list(islice(batches, accumulate))
        total = torch.zeros((), device=device)
        for batch in taken:
            with quick_dropout(model), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                value = loss(model, batch.to(device)) / len(taken)
            value.backward()
            total += value.detach()
        norm = clip_grad_norm_(trainable, MAX_GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad()
        yield Step(step + 1, taken, total, norm, learning_rates(step))


def steps_of(examples: int, training: Training) -> int:
    """Return the optimiser steps that `training.epochs` passes over a number of examples take, rounded."""
    return max(1, round(training.epochs * math.ceil(examples / training.batch_size)))


def fit(
    model: PreTrainedModel,
    examples: Examples,
    training: Training,
    *,
    loss: Loss = cross_entropy,
    steps: int | None = None,
    seeds: Seeds,
    schedule: Schedule = linear,
    report: Report = lambda step, metrics: None,
    after: StepCallback | None = None,
) -> Fitted:
    """Train `model` in place, on the device it is on, and leave it in eval mode.

    Two calls with the same arguments give the same weights, whatever ran before in the process.

    Args:
        model: its trainable parameters are updated.
        examples: what is learnt from.
        training: settings, `precision` resolved.
        loss: maps (model, batch) to a scalar.
        steps: optimiser steps; by default as many as `training.epochs` passes take, rounded.
        seeds: `order` decides the batches of every epoch, `dropout` the masks.
        schedule: the learning rate's course.
        report: called with the step and `loss` (mean of the epoch so far), `learning_rate` and
            `examples_per_second` at the end of each epoch and every few seconds.
        after: called after each step with the number of steps done and the model, to look at it or save it;
            it leaves weights and mode alone, and whatever it draws at random changes no dropout mask.

    Raises:
        Diverged: the loss or the gradient's norm is not finite.
    """
    per_epoch = math.ceil(len(examples) / training.batch_size)
    total = steps_of(len(examples), training) if steps is None else steps
    device = next(model.parameters()).device
    bf16 = training.precision == "bf16"
    optimizer = make_optimizer(model, training)
    monitor = DivergenceMonitor(device, advice="lower train.learning_rate or raise train.warmup")
    meter = _Meter(flops_by_length(model), examples.lengths, per_epoch, monitor, report)
    torch.manual_seed(seeds.dropout)
    model.train()
    with fastest_attention(model):
        for step in descend(
            model,
            optimizer,
            _batches(examples, training.batch_size, seeds.order),
            loss,
            lambda step: training.learning_rate * schedule(step, total, training.warmup),
            steps=range(total),
            bf16=bf16,
        ):
            meter.add(step)
            if after is not None:
                with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                    after(step.number, model)
    meter.close()
    model.eval()
    return Fitted(meter.cost, meter.losses)


def _batches(examples: Examples, batch_size: int, seed: int) -> Iterator[Batch]:
    """All batches of epoch 0, then of epoch 1, and so on without end."""
    for number in count():
        yield from epoch(examples, batch_size, seed, number)


@dataclass
class _Meter:
    """Counts the cost, averages the loss and notices divergence, reading from the device rarely."""

    flops: Callable[[int], float]
    lengths: NDArray[np.int64]
    per_epoch: int
    monitor: DivergenceMonitor
    report: Report
    cost: Cost = field(default_factory=Cost)
    losses: list[float] = field(default_factory=list)
    _epoch: list[float] = field(default_factory=list)
    _rate: float = 0.0
    _told: tuple[float, int] = field(default_factory=lambda: (time.perf_counter(), 0))

    def add(self, step: Step[Batch]) -> None:
        """Take note of one step."""
        batch = step.batches[0]
        examples, length = batch.inputs["input_ids"].shape
        self.cost = Cost(
            steps=self.cost.steps + 1,
            examples=self.cost.examples + examples,
            tokens=self.cost.tokens + int(self.lengths[batch.positions.numpy()].sum()),
            flops=self.cost.flops + TRAINING_PASSES * examples * self.flops(length),
        )
        self._rate = step.learning_rate
        must_read = self.monitor.add(step)
        epoch_ends = self.cost.steps % self.per_epoch == 0
        if epoch_ends or must_read:
            self._epoch += self.monitor.read()
        if epoch_ends:
            self._end_epoch()
        elif time.perf_counter() - self._told[0] > REPORT_SECONDS:
            self._tell()

    def close(self) -> None:
        """End the last epoch where it is."""
        self._epoch += self.monitor.read()
        if self._epoch:
            self._end_epoch()

    def _end_epoch(self) -> None:
        self._tell()
        self.losses.append(mean(self._epoch))
        self._epoch.clear()

    def _tell(self) -> None:
        if not self._epoch:
            return
        now, examples = time.perf_counter(), self.cost.examples
        speed = (examples - self._told[1]) / max(now - self._told[0], 1e-9)
        metrics = {"loss": mean(self._epoch), "learning_rate": self._rate, "examples_per_second": speed}
        self.report(self.cost.steps, metrics)
        self._told = (now, examples)
