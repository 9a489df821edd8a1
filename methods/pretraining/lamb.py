"""LAMB (You et al., ICLR 2020, arXiv 1904.00962, algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Lamb(Optimizer):
    """Adam whose update of each tensor is as long as the tensor: made for large batches.

    With m and v the bias-corrected moments, r = m / (sqrt(v) + eps) and u = r + decay * w, a tensor moves by
    lr * |w| / |u| * u. Where |w| or |u| is 0 the ratio is 1, and so it is of tensors with a single dimension:
    biases and norms, which ALBERT's code leaves out of the ratio too. Whether a tensor decays does not matter
    to its ratio. All tensors of a group are updated by the same few calls (`torch._foreach`), so many small
    tensors cost little.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step; gradients that are None leave their tensor alone."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._update(group, weights, [weight.grad for weight in weights])

    def _update(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight] = {
                    "step": torch.zeros(()),
                    "mean": torch.zeros_like(weight),
                    "square": torch.zeros_like(weight),
                }
        means = [self.state[weight]["mean"] for weight in weights]
        squares = [self.state[weight]["square"] for weight in weights]
        steps = [self.state[weight]["step"] for weight in weights]
        torch._foreach_add_(steps, 1.0)
        first, second = group["betas"]
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)
        # Bias correction of both moments, moved to where it costs one pass.
        counts = [step.item() for step in steps]
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, [(1 - second**count) ** 0.5 for count in counts])
        torch._foreach_add_(roots, group["eps"])
        updates = torch._foreach_div(means, roots)
        torch._foreach_div_(updates, [1 - first**count for count in counts])
        if group["weight_decay"]:
            torch._foreach_add_(updates, weights, alpha=group["weight_decay"])
        # By shape and not by a group's decay: without decay matrices would take plain Adam steps.
        adapted = [place for place, weight in enumerate(weights) if weight.ndim > 1]
        if adapted:
            _adapt([updates[place] for place in adapted], [weights[place] for place in adapted])
        torch._foreach_sub_(weights, updates, alpha=group["lr"])


def _adapt(updates: list[Tensor], weights: list[Tensor]) -> None:
    """Make each update as long as its tensor, in place."""
    lengths = zip(torch._foreach_norm(weights), torch._foreach_norm(updates), strict=True)
    ratios = [torch.where((w > 0) & (u > 0), w / u, torch.ones_like(w)) for w, u in lengths]
    torch._foreach_mul_(updates, ratios)
