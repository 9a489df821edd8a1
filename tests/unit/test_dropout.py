"""Dropout of the training loop: the same function as PyTorch's, other random numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from methods import dropout
from methods.dropout import QuickDropout
from methods.fit import fit
from methods.settings import Training
from tasks.seeds import Seeds


@pytest.mark.parametrize("p", [0.1, 0.5, 0.93])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_drops_p_of_the_elements_and_scales_the_rest(p, dtype):
    torch.manual_seed(0)
    ones = torch.ones(401, 1013, dtype=dtype)
    with QuickDropout():
        dropped = F.dropout(ones, p)
    assert dropped.dtype == dtype
    kept = dropped != 0
    share = kept.double().mean().item()
    assert share == pytest.approx(1 - p, abs=5 * (p * (1 - p) / ones.numel()) ** 0.5)
    assert torch.equal(dropped[kept].unique(), (ones[0, :1] / (1 - p)))


def test_neighbours_are_dropped_independently():
    """Four elements share one draw of 64 bits, and rows follow one another in memory."""
    torch.manual_seed(0)
    with QuickDropout():
        gone = (F.dropout(torch.ones(1000, 400), 0.3) == 0).double()
    for apart in (1, 2, 3, 4, 400):
        first, second = gone.flatten()[:-apart], gone.flatten()[apart:]
        assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1].item()) < 0.01


def test_the_gradient_passes_where_the_value_did():
    values = torch.randn(7, 13, requires_grad=True)
    with QuickDropout():
        dropped = F.dropout(values, 0.4)
    dropped.sum().backward()
    assert torch.allclose(dropped, values.detach() * values.grad)
    assert set(values.grad.unique().tolist()) == {0.0, torch.tensor(1 / 0.6).item()}


def test_a_seed_decides_it():
    values = torch.ones(50, 3)
    with QuickDropout():
        torch.manual_seed(3)
        first, second = nn.Dropout(0.5)(values), nn.Dropout(0.5)(values)
        torch.manual_seed(3)
        assert torch.equal(nn.Dropout(0.5)(values), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("p", [1e-6, 1 - 1e-6])
def test_shares_too_near_to_none_or_all_are_left_to_pytorch(p):
    torch.manual_seed(0)
    with QuickDropout():
        kept = (F.dropout(torch.ones(1000), p) != 0).double().mean().item()
    assert kept == round(1 - p)


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (1.0, True), (0.5, False)])
def test_nothing_changes_where_nothing_is_drawn(p, training):
    values = torch.randn(5, 5)
    state = torch.random.get_rng_state()
    with QuickDropout():
        assert torch.equal(F.dropout(values, p, training), values * (p < 1))
    assert p == 1 or torch.equal(state, torch.random.get_rng_state())


def test_in_place_stays_in_place():
    values = torch.ones(100)
    with QuickDropout():
        F.dropout(values, 0.5, inplace=True)
    assert set(values.tolist()) == {0.0, 2.0}


def test_pytorch_refuses_what_it_refuses():
    with QuickDropout(), pytest.raises(ValueError, match="probability"):
        F.dropout(torch.ones(2), 1.5)


def test_layers_computed_again_on_the_way_back_are_left_to_pytorch(tiny_bert):
    """Gradient checkpointing runs the forward pass again during the backward pass, outside the mode."""
    model = tiny_bert()
    assert isinstance(dropout.quick_dropout(model), QuickDropout)
    model.gradient_checkpointing_enable()
    assert not isinstance(dropout.quick_dropout(model), QuickDropout)


def test_a_model_on_another_device_runs_without_it(tiny_bert):
    assert not isinstance(dropout.quick_dropout(tiny_bert().to("meta")), QuickDropout)


def test_the_training_loop_uses_it(tiny_bert, examples, monkeypatch):
    drawn = []
    own = dropout._dropout
    monkeypatch.setattr(dropout, "_dropout", lambda *given, **named: drawn.append(1) or own(*given, **named))
    model = tiny_bert()
    training = Training(batch_size=8, precision="fp32", device="cpu")
    fit(model, examples(), training, steps=2, seeds=Seeds.derive(1))
    # Of the embeddings, and in each layer of the attention's probabilities and of both outputs; of the pooled.
    assert len(drawn) == 2 * (1 + 3 * model.config.num_hidden_layers + 1)
