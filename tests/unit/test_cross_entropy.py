"""The cross-entropy of pre-training: PyTorch's value and gradient, and the count of right answers."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from methods.pretraining.cross_entropy import cross_entropy
from tasks.corpus.segments import NO_LABEL


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_value_gradient_and_right_answers(dtype):
    torch.manual_seed(0)
    logits = (4 * torch.randn(40, 300)).to(dtype)
    labels = torch.randint(300, (40,))
    labels[:10] = logits[:10].argmax(dim=1)
    labels[5:15] = NO_LABEL
    logits[20, labels[20]] = -1000.0  # Its share is 0 in fp32, its loss is not infinite.
    results = []
    for function in (
        lambda x: F.cross_entropy(x.float(), labels, ignore_index=NO_LABEL, reduction="sum"),
        lambda x: cross_entropy(x, labels)[0],
    ):
        asked = logits.clone().requires_grad_()
        value = function(asked)
        (3 * value).backward()
        assert asked.grad.dtype == dtype
        results.append((value.detach(), asked.grad))
    torch.testing.assert_close(results[1], results[0], rtol=1e-6, atol=1e-6)
    assert int(cross_entropy(logits, labels)[1]) == int((logits.argmax(dim=1) == labels).sum()) >= 5


def test_without_any_label_nothing_is_lost_or_learnt():
    logits = torch.randn(4, 7, requires_grad=True)
    value, right = cross_entropy(logits, torch.full((4,), NO_LABEL))
    value.backward()
    assert (float(value.detach()), int(right)) == (0, 0) and not logits.grad.any()


def test_what_is_not_finite_is_seen():
    assert not cross_entropy(torch.tensor([[0.0, float("nan")]]), torch.tensor([0]))[0].isfinite()
    assert not cross_entropy(torch.tensor([[0.0, float("inf")]]), torch.tensor([0]))[0].isfinite()


def test_a_second_backward_pass_is_refused():
    logits = torch.randn(3, 5, requires_grad=True)
    value, _ = cross_entropy(logits, torch.tensor([0, 1, 2]))
    value.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace operation"):
        value.backward()
