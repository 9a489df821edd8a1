"""Cross-layer sharing is real: one tensor, one gradient, one optimiser entry, the same FLOPs."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from methods import checkpoint, encoders
from methods.fit import cross_entropy, make_optimizer
from methods.flops import forward_flops
from methods.settings import Training
from methods.sharing.groups import groups_of
from methods.sharing.ties import share_layers
from tasks.batches import collate
from tasks.errors import BadInput


def layer_tensors(model):
    return {parameter.data_ptr() for parameter in encoders.stack(model).parameters()}


def logits(model, data):
    with torch.no_grad():
        return model.eval()(**collate(data, np.arange(len(data))).inputs).logits


@pytest.mark.parametrize(
    ("layers", "groups", "expected"),
    [
        (6, 3, [0, 0, 1, 1, 2, 2]),
        (6, 1, [0] * 6),
        (6, 6, list(range(6))),
        (12, 5, [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4]),
        (3, 2, [0, 0, 1]),
    ],
)
def test_neighbours_share(layers, groups, expected):
    assert groups_of(layers, groups) == expected


@pytest.mark.parametrize("layers", [2, 4, 6])
@pytest.mark.parametrize("init", ["mean", "first"])
def test_number_of_tensors_does_not_depend_on_depth(tiny_bert, layers, init):
    one = len(layer_tensors(tiny_bert(num_hidden_layers=1)))
    for groups in (1, 2):
        model = share_layers(tiny_bert(num_hidden_layers=layers), groups, init)
        assert len(layer_tensors(model)) == groups * one
        assert len(encoders.stack(model)) == layers
        assert model.config.layer_groups == groups_of(layers, groups)


def test_a_group_starts_as_its_mean_or_its_first_layer(tiny_bert):
    original = tiny_bert(num_hidden_layers=4)
    stack = encoders.stack(original)
    mean, first = (share_layers(copy.deepcopy(original), 2, init) for init in ("mean", "first"))
    for name, tensor in stack[2].state_dict().items():
        expected = (tensor.double() + stack[3].state_dict()[name].double()) / 2
        torch.testing.assert_close(encoders.stack(mean)[3].state_dict()[name], expected.float())
        assert torch.equal(encoders.stack(first)[3].state_dict()[name], tensor)
    assert torch.equal(mean.classifier.weight, original.classifier.weight)


def test_as_many_groups_as_layers_changes_nothing(tiny_bert, examples):
    model = tiny_bert(num_hidden_layers=4)
    expected = logits(model, examples())
    assert torch.equal(logits(share_layers(copy.deepcopy(model), 4, "mean"), examples()), expected)


@pytest.mark.parametrize("init", ["mean", "first"])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_equal_layers_give_the_unshared_model_bit_by_bit(tiny_bert, examples, init, groups):
    model = tiny_bert(num_hidden_layers=6)
    stack = encoders.stack(model)
    for layer in stack[1:]:
        layer.load_state_dict(stack[0].state_dict())
    expected = logits(model, examples())
    assert torch.equal(logits(share_layers(model, groups, init), examples()), expected)


def test_gradient_of_a_shared_tensor_is_the_sum_over_its_layers(tiny_bert, examples):
    shared = share_layers(tiny_bert(num_hidden_layers=4), 2, "first")
    unshared = tiny_bert(num_hidden_layers=4)
    for own, layer in zip(encoders.stack(unshared), encoders.stack(shared), strict=True):
        own.load_state_dict(layer.state_dict())
    unshared.load_state_dict(shared.state_dict())
    batch = collate(examples(), np.arange(16))
    for model in (shared, unshared):
        cross_entropy(model.eval(), batch).backward()
    for group, members in enumerate([(0, 1), (2, 3)]):
        gradients = [dict(encoders.stack(unshared)[i].named_parameters()) for i in members]
        for name, parameter in encoders.stack(shared)[members[0]].named_parameters():
            expected = sum(layer[name].grad for layer in gradients)
            torch.testing.assert_close(parameter.grad, expected, atol=1e-5, rtol=1e-5, msg=f"{group} {name}")


def test_parameters_fall_and_flops_stay(tiny_bert):
    model = tiny_bert(num_hidden_layers=4)
    before, flops = encoders.parameters(model), forward_flops(model, 16)
    share_layers(model, 1, "mean")
    after = encoders.parameters(model)
    assert after.encoder * 4 == before.encoder
    assert after.embeddings == before.embeddings
    assert before.total - after.total == before.encoder - after.encoder
    assert forward_flops(model, 16) == flops


def test_optimizer_holds_each_shared_tensor_once(tiny_bert):
    model = share_layers(tiny_bert(num_hidden_layers=4), 2, "mean")
    held = [p.data_ptr() for group in make_optimizer(model, Training()).param_groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert layer_tensors(model) <= set(held)


def test_ties_survive_saving_and_loading(tiny_bert, examples, tmp_path):
    model = share_layers(tiny_bert(num_hidden_layers=4), 2, "mean")
    again = checkpoint.load(checkpoint.save(model, tmp_path / "model"))
    assert torch.equal(logits(again, examples()), logits(model, examples()))
    assert len(layer_tensors(again)) == len(layer_tensors(model))
    with torch.no_grad():
        encoders.stack(again)[0].output.dense.weight.zero_()
    assert encoders.stack(again)[1].output.dense.weight.abs().max() == 0


def test_more_groups_than_layers_are_refused(tiny_bert):
    with pytest.raises(BadInput, match="3 asked for, but the model has 2 layers"):
        share_layers(tiny_bert(), 3, "mean")
