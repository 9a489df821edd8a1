"""FLOPs counted by PyTorch equal the textbook formula, also for changed models."""

from __future__ import annotations

import pytest
import torch

from methods.flops import flops_by_length, forward_flops
from methods.pruning.surgery import prune_heads


def formula(length, *, layers=2, hidden=32, heads=(4, 4), head=8, ffn=64, classes=2):
    """Per layer: Q, K, V, output and two feed-forward products; QK^T and AV; then pooler and classifier."""
    total = 0
    for layer in range(layers):
        width = heads[layer] * head
        total += 2 * length * (4 * hidden * width + 2 * hidden * ffn) + 2 * 2 * length * length * width
    return total + 2 * hidden * hidden + 2 * hidden * classes


@pytest.mark.parametrize("length", [1, 5, 32, 64])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_count_equals_formula(tiny_bert, length, attention):
    model = tiny_bert()
    model.set_attn_implementation(attention)
    assert forward_flops(model, length) == formula(length)


def test_pruned_heads_save_their_share_and_an_emptied_layer_all_of_it(tiny_bert):
    model = tiny_bert()
    prune_heads(model, {0: {1, 3}, 1: {0, 1, 2, 3}})
    assert forward_flops(model, 16) == formula(16, heads=(2, 0))


def test_sharing_saves_none(tiny_bert):
    model = tiny_bert()
    expected = forward_flops(model, 16)
    model.bert.encoder.layer[1] = model.bert.encoder.layer[0]
    assert forward_flops(model, 16) == expected


def test_polynomial_is_exact_at_every_length(tiny_bert):
    model = tiny_bert(num_labels=3)
    flops = flops_by_length(model)
    for length in (1, 2, 7, 33, 64):
        assert flops(length) == pytest.approx(forward_flops(model, length), rel=1e-12)


def test_counting_changes_nothing(tiny_bert):
    model = tiny_bert()
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    forward_flops(model, 8)
    assert model.training
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
