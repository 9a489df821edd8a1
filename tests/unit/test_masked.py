from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_encoders import HEADS, KINDS, LAYERS, encoder, examples, share_layers
from transformers import BertForSequenceClassification

from methods import encoders, forward
from methods.flops import flops_by_length
from methods.inference import predict
from methods.pruning.masked import MaskedEvaluator, WholeEvaluator, evaluator, why_not_by_parts
from methods.pruning.surgery import prune_heads
from methods.sharing.passes import run_in_order
from reports.record import Cost
from tasks.batches import in_order
from tasks.errors import BadInput

MASKS = np.random.default_rng(0).random((11, HEADS)) < 0.6
MASKS[0], MASKS[1] = True, False


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_plain_path_in_every_layer(kind):
    model = encoder(kind)
    data = examples(model, 70)
    fast, plain = MaskedEvaluator(model, data), WholeEvaluator(model, data)
    for row in range(LAYERS):
        mine, theirs = fast.logits(row, MASKS), plain.logits(row, MASKS)
        assert mine.shape == (len(MASKS), 70, 2)
        assert np.abs(mine - theirs).max() <= 1e-4
        assert np.abs(theirs[0] - theirs[1]).max() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_a_masked_head_is_a_pruned_head(kind):
    model = encoder(kind)
    data = examples(model)
    for row in range(LAYERS):
        fast = MaskedEvaluator(model, data).logits(row, MASKS[2:4])
        for mask, logits in zip(MASKS[2:4], fast, strict=True):
            pruned = encoder(kind)
            prune_heads(pruned, {row: np.flatnonzero(~mask).tolist()})
            assert np.abs(predict(pruned, data) - logits).max() <= 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_a_pruned_encoder_is_masked_further_in_the_numbering_before_pruning(kind):
    model = encoder(kind)
    prune_heads(model, {0: {0, 2}, 1: set(range(HEADS)), 2: {1}})
    data = examples(model)
    fast, plain = MaskedEvaluator(model, data), WholeEvaluator(model, data)
    for row in range(LAYERS):
        assert np.abs(fast.logits(row, MASKS) - plain.logits(row, MASKS)).max() <= 1e-4
    gone = np.array([[False, True, False, True], [True, True, True, True]])
    one, other = fast.logits(0, gone)
    assert np.array_equal(one, other)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_logits_do_not_depend_on_what_else_is_asked_for(kind, bf16):
    model = encoder(kind)
    data = examples(model, 50)
    together = MaskedEvaluator(model, data, bf16=bf16)
    for row in (1, 0, 2):
        alone = [MaskedEvaluator(model, data, bf16=bf16).logits(row, mask[None])[0] for mask in MASKS]
        assert np.array_equal(together.logits(row, MASKS), alone)
        assert np.array_equal(together.logits(row, MASKS[::-1])[::-1], alone)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_near_and_is_bfloat16(kind):
    model = encoder(kind)
    data = examples(model)
    exact, rounded = (MaskedEvaluator(model, data, bf16=bf16).logits(1, MASKS) for bf16 in (False, True))
    difference = np.abs(exact - rounded).max()
    assert 1e-5 < difference < 0.1 * np.abs(exact).max()


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_computed_for_the_first_token_is_the_layer_at_the_first_token(kind):
    model = encoder(kind)
    for batch in in_order(examples(model), 10):
        added = forward.additive_mask(batch.inputs)
        hidden = forward.embed(model, batch.inputs)
        for layer in encoders.layers(model):
            first, whole = (
                run(layer, hidden, added) for run in (forward.run_layer_at_first, forward.run_layer)
            )
            assert (first[:, 0] - whole[:, 0]).abs().max() <= 1e-5
            (theirs) = layer.module(hidden, attention_mask=added)
            assert (theirs - whole).abs().max() <= 1e-5
            hidden = whole
        logits = model(**batch.inputs).logits
        assert (forward.classify(model, hidden) - logits).abs().max() <= 1e-5


def test_the_model_is_left_as_it_was():
    model = encoder("bert")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    MaskedEvaluator(model, examples(model)).logits(0, MASKS)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_what_does_not_fit_is_run_as_a_whole_and_says_why():
    class Other(BertForSequenceClassification):
        pass

    shared, other = encoder("bert"), Other(encoder("bert").config)
    paired = run_in_order(encoder("bert"), [0, 1, 2, 0, 1, 2])
    share_layers(shared, [0, 0, 2])
    for model, reason in (
        (shared, "shares layers"),
        (other, "Other is none of the classifiers"),
        (paired, "runs its layers in an order of its own"),
    ):
        data = examples(model, 6)
        assert reason in why_not_by_parts(model)
        assert evaluator(model, data).path == "whole"
        with pytest.raises(ValueError, match=reason):
            MaskedEvaluator(model, data)
    assert evaluator(encoder("bert"), data).path == "shared"
    gated = evaluator(shared, data).logits(0, MASKS[2:3])
    prune_heads(shared, {0: np.flatnonzero(~MASKS[2]).tolist()})
    assert np.abs(gated[0] - predict(shared, data)).max() <= 1e-5


def test_evaluations_are_counted_and_sharing_saves_flops():
    model = encoder("bert")
    data = examples(model)
    fast, plain = MaskedEvaluator(model, data), WholeEvaluator(model, data)
    for one in (fast, plain):
        one.logits(0, MASKS)
        one.logits(1, MASKS)
    once = sum(map(flops_by_length(model), data.lengths.tolist()))
    assert plain.cost.flops == pytest.approx(2 * len(MASKS) * once)
    assert 0 < fast.cost.flops < plain.cost.flops / 2
    for one in (fast, plain):
        assert one.cost == Cost(flops=one.cost.flops), "nothing is trained: neither examples nor tokens"


def test_no_examples_and_unknown_encoders_are_refused():
    model = encoder("bert")
    data = examples(model)
    with pytest.raises(BadInput, match="no examples"):
        evaluator(model, data.subset([]))
    model.config.model_type = "gpt2"
    with pytest.raises(BadInput, match="no known layers and attention heads in a 'gpt2'"):
        evaluator(model, replace(data))
