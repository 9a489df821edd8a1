"""Dropout whose random numbers cost less on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def quick_dropout(model: nn.Module) -> AbstractContextManager[Any]:
    """`QuickDropout` for a forward pass of `model` on a CPU.

    Elsewhere it would change nothing and slow down every call; nor may it where the pass runs again, without
    this, on the way back.
    """
    on_cpu = next(model.parameters()).device.type == "cpu"
    again = getattr(model, "is_gradient_checkpointing", False)
    return QuickDropout() if on_cpu and not again else nullcontext()


class QuickDropout(TorchFunctionMode):
    """While active, `F.dropout` on a CPU draws 16 random bits an element, four elements at once.

    PyTorch draws a number in double precision for each of them: on one thread an eighth of the time of
    fine-tuning. This takes a third of that. The share dropped is p to within 2**-17; the rest is scaled by
    1 / (1 - p), as ever, and the numbers come from PyTorch's own generator, so a seed decides them.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Take dropout out of all calls."""
        if func is F.dropout:
            return _dropout(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    dropped = round(p * 2**16)
    if not training or inplace or not 0 < dropped < 2**16 or input.device.type != "cpu":
        return F.dropout(input, p, training, inplace)
    elements = input.numel()
    bits = torch.empty((elements + 3) // 4, dtype=torch.int64, device=input.device).random_(-(2**63), None)
    bits = bits.view(torch.int16)[:elements].view(input.shape)
    # Of the 2**16 numbers from -2**15 upwards as many lie below the bound as are to be dropped.
    kept = (bits >= dropped - 2**15).to(input.dtype)
    return input * kept.div_(1 - p)
