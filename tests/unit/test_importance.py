from itertools import pairwise

import numpy as np
import pytest
import torch
from tiny_encoders import HEAD_SIZE, HEADS, KINDS, LAYERS, encoder, examples, share_layers
from torch.nn import functional as F

from methods import encoders
from methods.flops import forward_flops
from methods.pruning import importance
from methods.pruning.budget import units_to_remove
from methods.pruning.importance import head_importance, layer_normalised
from methods.pruning.order import ascending
from methods.pruning.surgery import prune_heads
from tasks.batches import Batch, in_order


def _scores(model, data, batch_size=8, **options):
    return head_importance(model, in_order(data, batch_size), **options).scores


def _padded(batch, length, pad_id):
    def widen(tensor, value):
        return F.pad(tensor, (0, length - tensor.shape[1]), value=value)

    inputs = {name: widen(tensor, 0) for name, tensor in batch.inputs.items()}
    inputs["input_ids"] = widen(batch.inputs["input_ids"], pad_id)
    return Batch(inputs, batch.labels, batch.positions)


def _products_by_token(model, batch):
    """<C, dL/dC> by head and token, of shape (layers, batch, tokens, heads), without any gate."""
    contexts = []

    def keep(module, inputs):
        inputs[0].retain_grad()
        contexts.append(inputs[0])

    handles = [layer.output.register_forward_pre_hook(keep) for layer in encoders.layers(model)]
    F.cross_entropy(model(**batch.inputs).logits, batch.labels, reduction="sum").backward()
    for handle in handles:
        handle.remove()
    products = [(c * c.grad).detach().unflatten(-1, (HEADS, HEAD_SIZE)).sum(-1) for c in contexts]
    return torch.stack(products)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_equation_2_one_example_at_a_time(kind):
    model, data = encoder(kind), examples(encoder(kind), 12)
    expected = sum(_products_by_token(model, one).sum((1, 2)).abs() for one in in_order(data, 1)) / 12
    np.testing.assert_allclose(_scores(model, data), expected.numpy(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_token_variant_takes_the_absolute_value_at_every_token(kind):
    model, data = encoder(kind), examples(encoder(kind), 12)
    total = sum(_products_by_token(model, batch).abs().sum((1, 2)) for batch in in_order(data, 5)).numpy()
    expected = np.concatenate([total[:-1] / data.lengths.sum(), total[-1:] / 12])
    np.testing.assert_allclose(_scores(model, data, unit="token"), expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_batch_variant_lets_signs_cancel(kind):
    model, data = encoder(kind), examples(encoder(kind), 12)
    expected = sum(_products_by_token(model, batch).sum((1, 2)).abs() for batch in in_order(data, 6)) / 12
    found = _scores(model, data, 6, unit="batch")
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-7)
    assert (found <= _scores(model, data) + 1e-7).all()
    np.testing.assert_allclose(_scores(model, data, 1, unit="batch"), _scores(model, data), rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_is_not_negative_and_layers_have_norm_one(kind):
    model = encoder(kind)
    scores = _scores(model, examples(model))
    assert scores.shape == (LAYERS, HEADS)
    assert (scores > 0).all()
    np.testing.assert_allclose(np.linalg.norm(layer_normalised(scores), axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("unit", ["example", "token"])
@pytest.mark.parametrize("kind", KINDS)
def test_does_not_depend_on_order_batch_size_or_padding(kind, unit):
    model, data = encoder(kind), examples(encoder(kind), 20)
    scores = _scores(model, data, 20, unit=unit)
    shuffled = data.subset(np.random.default_rng(1).permutation(20))
    padded = (_padded(batch, 30, data.pad_id) for batch in in_order(data, 6))
    variants = [
        _scores(model, data, 1, unit=unit),
        _scores(model, shuffled, 7, unit=unit),
        head_importance(model, padded, unit=unit).scores,
    ]
    for variant in variants:
        np.testing.assert_allclose(variant, scores, rtol=1e-5, atol=1e-8)
        assert ascending(model, layer_normalised(variant)) == ascending(model, layer_normalised(scores))


@pytest.mark.parametrize("kind", KINDS)
def test_doubling_the_loss_doubles_raw_scores_only(kind, monkeypatch):
    model, data = encoder(kind), examples(encoder(kind))
    scores = _scores(model, data)
    plain = F.cross_entropy
    monkeypatch.setattr(importance.F, "cross_entropy", lambda *args, **kwargs: 2 * plain(*args, **kwargs))
    doubled = _scores(model, data)
    np.testing.assert_allclose(doubled, 2 * scores, rtol=1e-6)
    np.testing.assert_allclose(layer_normalised(doubled), layer_normalised(scores), rtol=1e-6)


@pytest.mark.parametrize("unit", ["example", "token", "batch"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_writes_nothing_has_importance_zero(kind, unit):
    model = encoder(kind)
    with torch.no_grad():
        encoders.layers(model)[1].output.weight[:, 2 * HEAD_SIZE : 3 * HEAD_SIZE] = 0
    scores = _scores(model, examples(model), unit=unit)
    assert scores[1, 2] == 0
    assert (np.delete(scores.ravel(), HEADS + 2) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_is_the_same_in_train_mode_and_under_autocast_and_leaves_the_model_as_it_was(kind):
    model, data = encoder(kind), examples(encoder(kind))
    scores = _scores(model, data)
    model.train()
    frozen = next(model.parameters()).requires_grad_(False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again = _scores(model, data)
    np.testing.assert_array_equal(scores, again)
    assert model.training
    learning = [parameter.requires_grad for parameter in model.parameters()]
    assert learning == [parameter is not frozen for parameter in model.parameters()]
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_pruned_model_keeps_the_original_numbering(kind):
    model = encoder(kind)
    prune_heads(model, {0: range(HEADS), 1: [0, 2]})
    scores = _scores(model, examples(model))
    assert (scores[0] == 0).all()
    assert (scores[1, [0, 2]] == 0).all()
    assert (scores[1, [1, 3]] > 0).all()
    assert sorted(ascending(model, scores)) == [(1, 1), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3)]


def test_of_shared_layers_sums_over_positions_before_the_absolute_value():
    model = encoder("bert")
    share_layers(model, [0, 1, 0])
    data = examples(model, 6)
    scores = _scores(model, data)
    assert scores.shape == (2, HEADS)
    contexts = []

    def keep(module, inputs):
        inputs[0].retain_grad()
        contexts.append(inputs[0])

    expected = torch.zeros(HEADS)
    handle = encoders.layers(model)[0].output.register_forward_pre_hook(keep)
    for one in in_order(data, 1):
        contexts.clear()
        F.cross_entropy(model(**one.inputs).logits, one.labels).backward()
        parts = [(c * c.grad).detach().unflatten(-1, (HEADS, HEAD_SIZE)).sum((0, 1, 3)) for c in contexts]
        assert len(parts) == 2
        expected += sum(parts).abs() / 6
    handle.remove()
    np.testing.assert_allclose(scores[0], expected.numpy(), rtol=1e-4)


def test_pruned_sets_are_nested_across_budgets():
    model = encoder("bert")
    order = ascending(model, _scores(model, examples(model)))
    sets = [{*order[: units_to_remove(12, share / 10)]} for share in range(10)]
    assert [len(heads) for heads in sets] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert all(small <= large for small, large in pairwise(sets))


def test_cost_is_two_forward_passes_of_padded_tokens_and_no_training():
    model = encoder("bert")
    data = examples(model, 4)
    cost = head_importance(model, in_order(data, 4)).cost
    assert (cost.steps, cost.examples, cost.tokens) == (0, 0, 0)
    assert cost.flops == pytest.approx(2 * 4 * forward_flops(model, int(data.lengths.max())))


def test_nothing_to_average_over_is_an_error():
    model = encoder("bert")
    with pytest.raises(ValueError, match="no examples"):
        head_importance(model, [])
    prune_heads(model, {layer: range(HEADS) for layer in range(LAYERS)})
    with pytest.raises(ValueError, match="no head"):
        _scores(model, examples(model))


def test_a_rare_label_counts_by_its_examples_not_by_its_batch():
    """With a mean loss the lone example of the last batch would weigh as much as a full batch."""
    model = encoder("bert")
    data = examples(model, 9)
    halves = [_scores(model, data.subset(part)) for part in (np.arange(8), np.array([8]))]
    expected = (8 * halves[0] + halves[1]) / 9
    np.testing.assert_allclose(_scores(model, data, 8), expected, rtol=1e-5)
