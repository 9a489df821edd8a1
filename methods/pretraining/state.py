"""Where a training run stands, on disk: what the next attempt needs to go on as if nothing had happened."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reports.record import Cost
from tasks.cache import atomic_file
from tasks.corpus.stream import START, Position, Stream

_RANDOM = {"cuda": torch.cuda, "mps": torch.mps}
"""Where an accelerator's random state is kept, by kind of device."""


@dataclass
class Progress:
    """What a training run has done so far, apart from weights and the optimiser."""

    step: int = 0
    position: Position = START
    seconds: float = 0.0
    """Wall time spent training, over all attempts."""
    processor_seconds: float | None = None
    """Of all threads meanwhile; None on an accelerator, or where an attempt did not count them."""
    cost: Cost = field(default_factory=Cost)
    curve: list[dict[str, float]] = field(default_factory=list)
    """Means over equal windows of steps."""
    window: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Sum and count of each metric in the window that is not over."""


def save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, data: str
) -> None:
    """Replace the checkpoint at `path`, whole: a kill leaves the old one or the new one."""
    plain = {each.name: getattr(progress, each.name) for each in fields(progress)}
    state = {
        **plain,
        "position": tuple(progress.position),
        "cost": progress.cost.model_dump(),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "data": data,
    }
    device = next(model.parameters()).device
    if device.type in _RANDOM:
        state[f"random_{device.type}"] = _RANDOM[device.type].get_rng_state()
    with atomic_file(path) as temporary:
        torch.save(state, temporary)


def restore(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, stream: Stream, data: str
) -> Progress | None:
    """Put model, optimiser, stream and random state back to where the checkpoint at `path` was made.

    Returns:
        What was done before; None, and nothing is changed, where there is no checkpoint of this data.
    """
    if not path.is_file():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["data"] != data:
        return None
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    stream.position = Position(*state["position"])
    torch.set_rng_state(state["random"])
    device = next(model.parameters()).device
    if f"random_{device.type}" in state:
        _RANDOM[device.type].set_rng_state(state[f"random_{device.type}"])
    # Sums of double precision stay beside the processor where the device has none.
    sums_on = torch.device("cpu") if device.type == "mps" else device
    return Progress(
        step=state["step"],
        position=stream.position,
        seconds=state["seconds"],
        # Checkpoints of earlier versions have none.
        processor_seconds=state.get("processor_seconds"),
        cost=Cost(**state["cost"]),
        curve=state["curve"],
        window={name: (a.to(sums_on), b.to(sums_on)) for name, (a, b) in state["window"].items()},
    )
