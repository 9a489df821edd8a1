"""Hard-concrete gates and the head pruning of Voita et al. made of them."""

from __future__ import annotations

import math

import pytest
import torch
from head_pruning_runs import head_pruning_run
from tiny_encoders import HEADS, KINDS, LAYERS, encoder, examples

from methods import encoders
from methods.pruning.gates import head_gates
from methods.pruning.hard_concrete import GateTraining, HardConcrete
from methods.pruning.l0_heads import L0Heads
from tasks.batches import in_order


@pytest.mark.parametrize("beta", [0.33, 2 / 3])
def test_the_penalty_is_the_expected_number_of_gates_that_are_not_zero(beta):
    torch.manual_seed(0)
    log_a = torch.linspace(-4, 4, 9)
    gates = HardConcrete(log_a, beta)
    many = HardConcrete(log_a.expand(40_000, -1), beta).sample()
    assert ((many >= 0) & (many <= 1)).all()
    torch.testing.assert_close((many > 0).float().mean(0), gates.open_probability(), atol=1e-2, rtol=0)
    assert 0 < gates.open_probability().sum() < 9


def test_a_gate_is_closed_or_open_for_good_beyond_ln_11():
    edge = math.log(11)
    gates = HardConcrete(torch.tensor([-9, -edge - 1e-4, -edge + 1e-2, 0, edge + 1e-4, 9]), 0.33)
    found = gates.without_noise()
    assert (found == 0).tolist() == [True, True, False, False, False, False]
    assert (found == 1).tolist() == [False, False, False, False, True, True]
    assert found[3] == pytest.approx(0.5)
    assert (HardConcrete(torch.tensor([40.0]), 0.33).sample() == 1).all()


def test_gradients_reach_log_a_through_gates_that_are_neither_open_nor_closed():
    torch.manual_seed(0)
    log_a = torch.zeros(200, requires_grad=True)
    gates = HardConcrete(log_a, 2 / 3).sample()
    gates.sum().backward()
    between = (gates > 0) & (gates < 1)
    assert between.any()
    assert torch.equal(log_a.grad > 0, between)


def test_one_draw_serves_the_whole_batch():
    model = encoder("bert")
    (batch,) = in_order(examples(model, 8), 8)
    torch.manual_seed(1)
    training = _training(model, weight=0.0)
    loss = training(model, batch)
    torch.manual_seed(1)
    with head_gates(model, training.gates.sample()):
        expected = torch.nn.functional.cross_entropy(model(**batch.inputs).logits, batch.labels)
    assert loss == expected


def _training(model, *, weight, target=6, steps=40):
    gates = HardConcrete(torch.full((LAYERS, HEADS), 2.0), 0.33)
    return GateTraining(gates, target=target, steps=steps, weight=weight, learning_rate=0.1)


def _train(model, training, steps=40):
    torch.manual_seed(0)
    (batch,) = in_order(examples(model, 20), 20)
    for _ in range(steps):
        training(model, batch).backward()
    training.close()
    return training.gates


def test_without_a_penalty_heads_stay_open_and_gates_learn_from_the_loss_alone():
    model = encoder("bert")
    training = _training(model, weight=0.0)
    assert (_train(model, training).without_noise() > 0).all()
    assert training.weight == 0
    (batch,) = in_order(examples(model, 8), 8)
    training, alone = _training(model, weight=0.0), _training(model, weight=0.0).gates
    torch.manual_seed(1)
    training(model, batch).backward()
    torch.manual_seed(1)
    with head_gates(model, alone.sample()):
        torch.nn.functional.cross_entropy(model(**batch.inputs).logits, batch.labels).backward()
    assert torch.equal(training.gates.log_a.grad, alone.log_a.grad)


@pytest.mark.parametrize("target", [3, 6, 9])
def test_the_weight_is_annealed_until_so_many_are_left(target):
    model = encoder("bert")
    gates = _train(model, _training(model, weight=0.1, target=target, steps=120), 120)
    assert abs(float(gates.open_probability().sum()) - target) < 1.5
    assert not gates.log_a.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_removes_the_budget_and_trains_weights_and_gates_for_their_steps(kind, tmp_path):
    run = head_pruning_run(tmp_path, kind)
    model = L0Heads(heads=0.5, gate_steps=20, steps=2).compress(run)
    assert sum(encoders.head_counts(model)) == 6
    assert (run.fits, run.cost.steps) == (2, 22)
    probability = torch.tensor(run.notes["open_probability"])
    assert probability.shape == (LAYERS, HEADS)
    kept = [probability[layer, heads] for layer, heads in enumerate(run.notes["kept_heads"])]
    gone = [probability[layer, heads] for layer, heads in enumerate(run.notes["removed_heads"])]
    assert torch.cat(gone).max() <= torch.cat(kept).min()
    assert 0 <= run.notes["gates_closed"] <= 12
    weights = dict(run.start().named_parameters())
    assert any(
        not torch.equal(weights[name], value)
        for name, value in model.named_parameters()
        if "LayerNorm" in name or "layer_norm" in name
    )
    assert not any(layer.output._forward_pre_hooks for layer in encoders.layers(model) if layer.heads)


def test_a_budget_in_parameters_counts_before_gates_are_trained(tmp_path):
    run = head_pruning_run(tmp_path)
    before = encoders.parameters(run.start()).encoder
    model = L0Heads(budget={"encoder_parameters": 0.2}, gate_steps=10, floor=1).compress(run)
    assert 1 - encoders.parameters(model).encoder / before >= 0.2
    assert min(encoders.head_counts(model)) >= 1


def test_does_not_depend_on_what_ran_before_in_the_process(tmp_path):
    def outcome():
        run = head_pruning_run(tmp_path)
        model = L0Heads(gate_steps=5).compress(run)
        return run.notes, list(model.parameters())

    first = outcome()
    torch.manual_seed(5)
    again = outcome()
    assert first[0] == again[0]
    assert all(torch.equal(one, other) for one, other in zip(first[1], again[1], strict=True))
