"""Noticing that training has diverged without waiting for an accelerator at every step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from methods.fit import Step


class Diverged(RuntimeError):
    """The loss or the gradient is no longer finite."""


def steps_per_read(device: torch.device) -> int:
    """How many steps are looked at together: reading a number from a GPU waits for all its work."""
    return 1 if device.type == "cpu" else 20


class DivergenceMonitor:
    """Keeps losses and gradient norms on the device, reads them together, and stops what diverged."""

    def __init__(self, device: torch.device, *, advice: str) -> None:
        """Begin with none.

        Args:
            device: where the steps are computed.
            advice: how the message about a divergence ends.
        """
        self._together = steps_per_read(device)
        self._advice = advice
        self._unread: list[tuple[int, float, Tensor, Tensor]] = []

    def add(self, step: Step[Any]) -> bool:
        """Take note of a step; say whether it is time to read."""
        # Not the step itself, which holds its batches.
        self._unread.append((step.number, step.learning_rate, step.loss, step.norm))
        return len(self._unread) >= self._together

    def read(self) -> list[float]:
        """Return the losses since the last time.

        Raises:
            Diverged: the loss or the gradient's norm of a step is not finite.
        """
        if not self._unread:
            return []
        numbers, rates, losses, norms = zip(*self._unread, strict=True)
        self._unread.clear()
        found = torch.stack(losses).tolist()
        for number, rate, loss, norm in zip(numbers, rates, found, torch.stack(norms).tolist(), strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise Diverged(
                    f"training diverged at step {number}: loss {loss}, gradient norm {norm}, "
                    f"learning rate {rate:.3g}; {self._advice}"
                )
        return list(found)
