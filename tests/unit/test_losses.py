"""Hinton's loss: limits, scale and reduction."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from methods.distillation.losses import kd_loss, soft_targets


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    return student, torch.randn(6, 3, generator=generator, dtype=torch.float64)


def test_equal_logits_cost_nothing_and_pull_nowhere(logits):
    student, _ = logits
    loss = soft_targets(student, student.detach(), temperature=5)
    assert loss.item() == pytest.approx(0, abs=1e-12)
    loss.backward()
    assert student.grad.abs().max() < 1e-12
    shifted = soft_targets(student, student.detach() + 4.0, temperature=5)
    assert shifted.item() == pytest.approx(0, abs=1e-12)


def test_at_high_temperature_it_is_logit_matching(logits):
    """Hinton et al. 2015, equation 4: the gradient tends to the difference of centred logits / classes."""
    student, teacher = logits
    soft_targets(student, teacher, temperature=1e4).backward()

    def centred(x):
        return x - x.mean(dim=1, keepdim=True)

    expected = centred(student.detach() - teacher) / 3 / 6
    torch.testing.assert_close(student.grad, expected, rtol=1e-3, atol=1e-6)


def test_it_is_kl_averaged_over_examples_not_over_classes(logits):
    student, teacher = logits
    p, q = (teacher / 5).softmax(1), (student / 5).softmax(1)
    expected = 25 * (p * (p.log() - q.log())).sum(dim=1).mean()
    assert soft_targets(student, teacher, 5).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("classes", [2, 3])
def test_averaged_over_classes_too_it_is_that_many_times_less_as_in_pkds_code(classes):
    generator = torch.Generator().manual_seed(1)
    student, teacher = (torch.randn(6, classes, generator=generator) for _ in range(2))
    whole, less = (soft_targets(student, teacher, 5, reduction) for reduction in ("batchmean", "mean"))
    assert less == whole / classes
    official = torch.nn.KLDivLoss(reduction="none")((student / 5).log_softmax(1), (teacher / 5).softmax(1))
    assert less.item() == pytest.approx(25 * official.mean().item(), rel=1e-5)
    labels = torch.zeros(6, dtype=torch.long)
    mixed = kd_loss(student, teacher, labels, temperature=5, alpha=0.25, reduction="mean")
    assert mixed.item() == pytest.approx((0.75 * F.cross_entropy(student, labels) + 0.25 * less).item())


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_alpha_weighs_teacher_against_labels(logits, alpha):
    student, teacher = logits
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    expected = (1 - alpha) * F.cross_entropy(student, labels) + alpha * soft_targets(student, teacher, 5)
    loss = kd_loss(student, teacher, labels, temperature=5, alpha=alpha)
    assert loss.item() == pytest.approx(expected.item())
