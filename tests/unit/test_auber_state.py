import numpy as np
import pytest
import torch
from tiny_encoders import HEAD_SIZE, HEADS, KINDS, encoder

from methods import encoders
from methods.pruning.auber.state import initial_state
from methods.pruning.surgery import prune_heads


def _layer(kind="bert", row=1):
    return encoders.layers(encoder(kind))[row]


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("part", ["value", "query", "key"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_state_is_the_softmax_of_standardised_norms(kind, part, norm):
    layer = _layer(kind)
    weight = getattr(layer, part).weight.detach().double().numpy().reshape(HEADS, -1)
    norms = np.abs(weight).sum(1) if norm == "l1" else np.sqrt((weight**2).sum(1))
    standardised = (norms - norms.mean()) / norms.std()
    expected = np.exp(standardised) / np.exp(standardised).sum()
    np.testing.assert_allclose(initial_state(layer, part, norm), expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("part", ["value", "query", "key", "constant"])
def test_it_sums_to_one_follows_permutations_and_ignores_scale(part, norm):
    layer = _layer()
    state = initial_state(layer, part, norm)
    assert state.sum().item() == pytest.approx(1, abs=1e-6)
    assert (state > 0).all()
    order = [2, 0, 3, 1]
    with torch.no_grad():
        for linear in (layer.value, layer.query, layer.key):
            linear.weight.copy_(3.7 * linear.weight.unflatten(0, (HEADS, HEAD_SIZE))[order].flatten(0, 1))
            linear.bias.add_(5)
    torch.testing.assert_close(initial_state(layer, part, norm), state[order], atol=1e-6, rtol=0)


def test_norms_and_parts_differ_and_the_constant_says_nothing():
    layer = _layer()
    states = [
        initial_state(layer, *of) for of in (("value", "l1"), ("value", "l2"), ("query", "l1"), ("key", "l1"))
    ]
    for one, state in enumerate(states):
        assert all((state - other).abs().max() > 1e-4 for other in states[:one])
    assert torch.equal(initial_state(layer, "constant", "l1"), torch.full((HEADS,), 1 / HEADS))


def test_heads_of_equal_norm_get_equal_entries():
    layer = _layer()
    with torch.no_grad():
        layer.value.weight.fill_(0.3)
    torch.testing.assert_close(initial_state(layer, "value", "l1"), torch.full((HEADS,), 1 / HEADS))


def test_of_a_pruned_layer_only_heads_left_count():
    model = encoder("bert")
    prune_heads(model, {1: {0, 2}})
    assert initial_state(encoders.layers(model)[1], "value", "l1").shape == (2,)
