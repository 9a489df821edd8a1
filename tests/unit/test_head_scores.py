"""Confidence and magnitude of heads against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from head_pruning_runs import head_pruning_run
from tiny_encoders import HEAD_SIZE, HEADS, KINDS, LAYERS, PER_HEAD, encoder, examples, share_layers

from methods import encoders
from methods.pruning.confidence import head_confidence
from methods.pruning.confidence_heads import ConfidenceHeads
from methods.pruning.magnitude import head_magnitude
from methods.pruning.magnitude_heads import MagnitudeHeads
from methods.pruning.order import ascending
from methods.pruning.surgery import prune_heads
from tasks.batches import in_order


def _confidence(model, data, size=8):
    return head_confidence(model, in_order(data, size)).scores


def _ordinary(batch):
    """Places of an example's tokens that are neither its first nor its last one."""
    ids = batch.inputs["input_ids"][0].tolist()
    return [place for place, token in enumerate(ids) if token not in {ids[0], ids[-1]}]


def _by_definition(model, data):
    """From transformers' own attention maps, one example and one token at a time."""
    model.set_attn_implementation("eager")
    found = []
    for batch in in_order(data, 1):
        ordinary = _ordinary(batch)
        with torch.no_grad():
            maps = torch.stack(model(**batch.inputs, output_attentions=True).attentions)[:, 0]
        found += [maps[:, :, query, ordinary].amax(-1) for query in ordinary]
    model.set_attn_implementation("sdpa")
    return torch.stack(found).double().mean(0).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_confidence_is_the_mean_largest_probability_of_ordinary_tokens(kind):
    model, data = encoder(kind), examples(encoder(kind), 12)
    expected = _by_definition(model, data)
    for size in (12, 5, 1):
        np.testing.assert_allclose(_confidence(model, data, size), expected, rtol=1e-5)
    assert ((expected > 0) & (expected < 1)).all()


def test_confidence_of_a_mobilebert_is_made_of_probabilities():
    """Its attention returns scores beside the context."""
    model = encoder("bottleneck-bert")
    data = examples(model, 12)
    found = []
    for batch in in_order(data, 1):
        ordinary = _ordinary(batch)
        with torch.no_grad():
            scores = torch.stack([scores[0] for _, scores in model.mobilebert.features(**batch.inputs)])
        found += [scores.softmax(-1)[:, :, query, ordinary].amax(-1) for query in ordinary]
    expected = torch.stack(found).double().mean(0).numpy()
    np.testing.assert_allclose(_confidence(model, data), expected, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_confidence_is_without_dropout_hooks_or_lasting_change(kind):
    model, data = encoder(kind), examples(encoder(kind), 12)
    scores, chosen = _confidence(model, data), model.config._attn_implementation
    model.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(_confidence(model, data), scores)
    assert model.config._attn_implementation == chosen
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_always_looks_at_one_place_is_the_most_confident(kind):
    model = encoder(kind)
    data = examples(model, 12)
    with torch.no_grad():
        layer = encoders.layers(model)[1]
        layer.query.weight[HEAD_SIZE : 2 * HEAD_SIZE] *= 1000
    assert _confidence(model, data)[1].argmax() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_confidence_of_a_pruned_model_keeps_the_original_numbering(kind):
    model, data = encoder(kind), examples(encoder(kind), 12)
    scores = _confidence(model, data)
    prune_heads(model, {2: [0, 2]})
    pruned = _confidence(model, data)
    np.testing.assert_allclose(pruned[:2], scores[:2], rtol=1e-5)
    np.testing.assert_allclose(pruned[2], scores[2] * [0, 1, 0, 1], rtol=1e-5)
    prune_heads(model, {0: range(HEADS)})
    assert (_confidence(model, data)[0] == 0).all()


def test_confidence_of_a_shared_layer_is_the_mean_over_its_positions():
    model, data = encoder("bert"), examples(encoder("bert"), 6)
    share_layers(model, [0, 1, 0])
    whole = _by_definition(model, data)
    expected = np.stack([(whole[0] + whole[2]) / 2, whole[1]])
    np.testing.assert_allclose(_confidence(model, data), expected, rtol=1e-5)


def test_confidence_needs_an_ordinary_token():
    model = encoder("bert")
    with pytest.raises(ValueError, match="no token that is neither padding nor special"):
        head_confidence(model, [])


def test_confidence_costs_one_pass(tmp_path):
    run = head_pruning_run(tmp_path)
    ConfidenceHeads(examples=10).compress(run)
    sample = run.train.sample(10, run.seeds.order)
    assert run.cost == head_confidence(run.start(), in_order(sample, 32)).cost
    assert run.cost.flops > 0 and (run.cost.steps, run.cost.examples, run.cost.tokens) == (0, 0, 0)
    assert np.shape(run.notes["confidence"]) == (LAYERS, HEADS)


@pytest.mark.parametrize("kind", KINDS)
def test_magnitude_is_the_sum_of_squares_that_pruning_removes(kind):
    def squares(model):
        return sum(parameter.double().square().sum().item() for parameter in model.parameters())

    whole = encoder(kind)
    scores = head_magnitude(whole)
    for layer, head in ((0, 0), (1, 2), (2, 3)):
        pruned = encoder(kind)
        prune_heads(pruned, {layer: [head]})
        assert scores[layer, head] == pytest.approx(squares(whole) - squares(pruned))
    prune_heads(whole, {1: [0, 2], 2: range(HEADS)})
    expected = scores * [[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]]
    np.testing.assert_allclose(head_magnitude(whole), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", [ConfidenceHeads, MagnitudeHeads])
def test_the_least_go_first(kind, method, tmp_path):
    run = head_pruning_run(tmp_path, kind)
    model = method(heads=0.5).compress(run)
    start = run.start()
    scores = head_magnitude(start) if method is MagnitudeHeads else _confidence(start, run.train, 32)
    gone = {(layer, head) for layer, heads in enumerate(run.notes["removed_heads"]) for head in heads}
    assert gone == set(ascending(start, scores)[:6])
    assert encoders.parameters(start).total - encoders.parameters(model).total == 6 * PER_HEAD
