"""LAMB: which tensors take steps as long as they are, whatever decays."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from methods.fit import decay_groups
from methods.pretraining.lamb import Lamb
from methods.pretraining.loop import make_optimizer
from methods.pretraining.settings import TextTraining

RATE = 0.02


def paper_update(weight, gradient, mean, square, step, decay):
    """Algorithm 2 of the paper for one tensor, written down naively; vectors take the steps of Adam."""
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient**2
    ratio = (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)).sqrt() + 1e-6)
    update = ratio + decay * weight
    adapted = weight.ndim > 1 and weight.norm() > 0 and update.norm() > 0
    trust = weight.norm() / update.norm() if adapted else 1.0
    return weight - RATE * trust * update, mean, square


def stepped(groups, steps=5):
    """Take steps with random gradients; return for each tensor what it was, and its gradients."""
    tensors = [tensor for group in groups for tensor in group["params"]]
    before = [tensor.detach().clone() for tensor in tensors]
    lamb, seen = Lamb(groups, lr=RATE), []
    torch.manual_seed(1)
    for _ in range(steps):
        seen.append([torch.randn_like(tensor) for tensor in tensors])
        for tensor, gradient in zip(tensors, seen[-1], strict=True):
            tensor.grad = gradient.clone()
        lamb.step()
    return before, seen


def tensors():
    torch.manual_seed(0)
    return [nn.Parameter(tensor) for tensor in (torch.randn(5, 3), torch.zeros(2, 2), torch.randn(7))]


@pytest.mark.parametrize("decay", [0.1, 0.0])
@pytest.mark.parametrize("together", [True, False])
def test_matrices_are_adapted_and_vectors_are_not_whether_they_decay_or_not(decay, together):
    found = tensors()
    parts = [found] if together else [[tensor] for tensor in found]
    before, seen = stepped([{"params": part, "weight_decay": decay} for part in parts])
    for number, tensor in enumerate(found):
        weight = before[number].double()
        mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
        for step, gradients in enumerate(seen, start=1):
            gradient = gradients[number].double()
            weight, mean, square = paper_update(weight, gradient, mean, square, step, decay)
        torch.testing.assert_close(tensor.double(), weight, atol=1e-6, rtol=1e-5)


def test_no_decay_is_the_limit_of_little_decay():
    one, other = tensors(), tensors()
    stepped([{"params": one, "weight_decay": 0.0}])
    stepped([{"params": other, "weight_decay": 1e-9}])
    for first, second in zip(one, other, strict=True):
        torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("decay", [0.01, 0.0])
def test_the_training_loop_s_lamb_moves_a_matrix_by_its_rate_and_a_bias_by_adam_s(decay):
    torch.manual_seed(0)
    model = nn.Linear(6, 4)
    before = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    settings = TextTraining(optimizer="lamb", learning_rate=RATE, weight_decay=decay)
    lamb = make_optimizer(settings, decay_groups(model, settings.weight_decay))
    assert isinstance(lamb, Lamb)
    model(torch.randn(3, 6)).square().sum().backward()
    lamb.step()
    moved = {name: tensor.detach() - before[name] for name, tensor in model.named_parameters()}
    assert float(moved["weight"].norm()) == pytest.approx(RATE * float(before["weight"].norm()), rel=1e-5)
    torch.testing.assert_close(moved["bias"].abs(), torch.full((4,), RATE), atol=0, rtol=1e-3)
