"""Double precision where a device has it: Apple's GPUs do not."""

from __future__ import annotations

from torch import Tensor


def exact(tensor: Tensor) -> Tensor:
    """Return the tensor in double precision, on the CPU if its device (mps) knows none."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
