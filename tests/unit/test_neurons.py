"""Feed-forward neurons: gates, scores, surgery, and the method built of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from head_pruning_runs import head_pruning_run
from tiny_encoders import HIDDEN, KINDS, LAYERS, encoder, examples, share_layers
from torch.nn import functional as F
from transformers import BertConfig, BertForSequenceClassification

from methods import encoders
from methods.flops import forward_flops
from methods.pruning.ffn_neurons import FfnNeurons
from methods.pruning.gates import neuron_gates
from methods.pruning.magnitude import neuron_norms
from methods.pruning.neurons import ascending_neurons, neuron_importance
from methods.pruning.surgery import prune_neurons
from tasks.batches import in_order
from tasks.errors import BadInput

NEURONS = 48
PATTERN = {0: [0, 3, 47], 1: range(47), 2: range(5, 30)}


def _batch(model):
    (batch,) = in_order(examples(model, 8), 8)
    return batch


def _gated(model, batch, gates):
    with neuron_gates(model, gates), torch.no_grad():
        return model(**batch.inputs).logits


@pytest.mark.parametrize("kind", KINDS)
def test_masked_equals_pruned_and_gates_of_one_change_no_bit(kind):
    model = encoder(kind)
    batch = _batch(model)
    gates = [torch.ones(NEURONS) for _ in range(LAYERS)]
    with torch.no_grad():
        assert torch.equal(_gated(model, batch, gates), model(**batch.inputs).logits)
    for position, neurons in PATTERN.items():
        gates[position][list(neurons)] = 0
    masked = _gated(model, batch, gates)
    prune_neurons(model, PATTERN)
    with torch.no_grad():
        assert (masked - model(**batch.inputs).logits).abs().max() <= 1e-5
    assert not any(layer.ffn_out._forward_pre_hooks for layer in encoders.layers(model))


@pytest.mark.parametrize("kind", KINDS)
def test_every_neuron_takes_its_parameters_and_flops_along(kind):
    model = encoder(kind)
    before, flops = encoders.parameters(model), forward_flops(model, 10)
    prune_neurons(model, PATTERN)
    after, removed = encoders.parameters(model), 3 + 47 + 25
    assert before.total - after.total == before.encoder - after.encoder == removed * (2 * HIDDEN + 1)
    assert flops - forward_flops(model, 10) == removed * 2 * 2 * HIDDEN * 10
    assert encoders.neuron_counts(model) == model.config.kept_neurons == [45, 1, 23]


def test_a_neuron_of_bert_base_is_1537_parameters():
    with torch.device("meta"):
        model = BertForSequenceClassification(BertConfig())
    before = encoders.parameters(model).total
    prune_neurons(model, {0: range(3000), 11: [7]})
    assert before - encoders.parameters(model).total == 3001 * 1537


def test_a_shared_layer_is_cut_once():
    model = encoder("bert")
    share_layers(model, [0, 1, 0])
    prune_neurons(model, {0: [1], 2: [1, 3]})
    assert encoders.neuron_counts(model) == [46, 48, 46]


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        ({3: [0]}, "no layer 3.*0 to 2"),
        ({1: [48]}, "no neuron 48 in layer 1.*0 to 47"),
        ({2: range(48)}, "all of layer 2.*keeps one"),
    ],
)
def test_what_cannot_be_cut_is_refused(neurons, message):
    with pytest.raises(BadInput, match=message):
        prune_neurons(encoder("bert"), neurons)


def test_gates_of_a_wrong_shape_are_refused():
    gates = [torch.ones(NEURONS)] * (LAYERS - 1)
    with pytest.raises(ValueError, match="gates must be of"), neuron_gates(encoder("bert"), gates):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_taylor_score_is_activation_times_gradient_one_example_at_a_time(kind):
    model, data = encoder(kind), examples(encoder(kind), 12)
    activations = []

    def keep(module, inputs):
        inputs[0].retain_grad()
        activations.append(inputs[0])

    handles = [layer.ffn_out.register_forward_pre_hook(keep) for layer in encoders.layers(model)]
    expected = torch.zeros(LAYERS, NEURONS)
    for one in in_order(data, 1):
        activations.clear()
        F.cross_entropy(model(**one.inputs).logits, one.labels).backward()
        expected += torch.stack([(a * a.grad).detach().sum((0, 1)).abs() for a in activations]) / 12
    for handle in handles:
        handle.remove()
    model.zero_grad()
    for size in (12, 5):
        scores, cost = neuron_importance(model, in_order(data, size))
        np.testing.assert_allclose(np.stack(scores), expected.numpy(), rtol=1e-4, atol=1e-7)
        assert cost.flops > 0 and (cost.steps, cost.examples, cost.tokens) == (0, 0, 0)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_neuron_that_writes_nothing_has_score_zero():
    model = encoder("bert")
    with torch.no_grad():
        encoders.layers(model)[1].ffn_out.weight[:, 5] = 0
    scores, _ = neuron_importance(model, in_order(examples(model), 8))
    assert scores[1][5] == neuron_norms(model)[1][5] == 0
    assert ascending_neurons(model, scores)[0] == ascending_neurons(model, neuron_norms(model))[0] == (1, 5)


@pytest.mark.parametrize("score", ["taylor", "norm"])
@pytest.mark.parametrize("kind", KINDS)
def test_removes_the_neurons_of_least_score_over_their_layers_norm(kind, score, tmp_path):
    run = head_pruning_run(tmp_path, kind)
    model = FfnNeurons(neurons=0.5, score=score).compress(run)
    start = run.start()
    scores = neuron_norms(start) if score == "norm" else neuron_importance(start, in_order(run.train, 32))[0]
    normalised = np.stack([values / np.linalg.norm(values) for values in scores])
    threshold = np.sort(normalised.ravel())[LAYERS * NEURONS // 2]
    assert encoders.neuron_counts(model) == (normalised >= threshold).sum(1).tolist()
    assert run.notes["kept_neurons"] == encoders.neuron_counts(model)
    assert run.notes["removed_heads"] == [[]] * LAYERS
    assert run.notes["budget"] == {"neurons": 0.5}
    (batch,) = in_order(run.train, 24)
    gates = [torch.from_numpy((values >= threshold).astype(np.float32)) for values in normalised]
    with torch.no_grad():
        assert (_gated(start, batch, gates) - model(**batch.inputs).logits).abs().max() <= 1e-5


def test_parameters_fall_by_the_share_asked_and_training_follows(tmp_path):
    run = head_pruning_run(tmp_path)
    before = encoders.parameters(run.start()).encoder
    model = FfnNeurons(budget={"encoder_parameters": 0.2}, steps=3).compress(run)
    removed = 1 - encoders.parameters(model).encoder / before
    assert removed - (2 * HIDDEN + 1) / before < 0.2 <= removed
    assert run.cost.steps == 3


def test_every_layer_keeps_a_neuron_and_more_is_refused(tmp_path):
    run = head_pruning_run(tmp_path)
    assert min(encoders.neuron_counts(FfnNeurons(neurons=0.97).compress(run))) >= 1
    with pytest.raises(BadInput, match=r"ffn-neurons: neurons: 0.999 .* only 141 may go"):
        FfnNeurons(neurons=0.999).compress(run)
    with pytest.raises(BadInput, match=r"ffn-neurons: neurons: 0.001 of 144 neurons is less than one"):
        FfnNeurons(neurons=0.001).compress(run)
