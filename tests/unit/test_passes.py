"""SPS: k stored layers, 2k applications, query and key exchanged in the second; nothing is copied."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tiny_encoders import STACKS, encoder, examples
from transformers import BertConfig, BertForSequenceClassification

from methods import checkpoint, encoders
from methods.distillation.scores import raw_scores
from methods.fit import cross_entropy, fit, make_optimizer
from methods.flops import flops_by_length, forward_flops
from methods.settings import Training
from methods.sharing.paired import paired_order, share_in_pairs
from methods.sharing.passes import run_in_order
from tasks.batches import collate
from tasks.errors import BadInput
from tasks.seeds import Seeds


def batch_for(model, count=8):
    return collate(examples(model, count), np.arange(count))


def logits(model):
    with torch.no_grad():
        return model.eval()(**batch_for(model).inputs).logits


def twice_as_deep(tiny_bert, shared):
    """An unshared model of 2k layers that starts with the weights each application uses."""
    order, exchanges = shared.config.layer_order, shared.config.layer_exchanges
    dropout = {n: getattr(shared.config, n) for n in ("hidden_dropout_prob", "attention_probs_dropout_prob")}
    unshared = tiny_bert(vocab_size=60, num_hidden_layers=len(order), **dropout)
    rest = {n: t for n, t in shared.state_dict().items() if ".layer." not in n}
    unshared.load_state_dict(rest, strict=False)
    for own, position, exchanged in zip(encoders.stack(unshared), order, exchanges, strict=True):
        weights = encoders.stack(shared)[position].state_dict()
        if exchanged:
            weights = {_other_role(name): tensor for name, tensor in weights.items()}
        own.load_state_dict(weights)
    return unshared


def _other_role(name):
    roles = {"self.query": "self.key", "self.key": "self.query"}
    for one, other in roles.items():
        if one in name:
            return name.replace(one, other)
    return name


@pytest.mark.parametrize(
    ("layers", "order"),
    [(1, [0, 0]), (2, [0, 1, 0, 1]), (3, [0, 1, 2, 0, 1, 2]), (6, [0, 1, 2, 3, 4, 5, 3, 4, 5])],
)
def test_small_students_are_doubled_and_six_layers_repeat_their_upper_half(layers, order):
    assert paired_order(layers) == order


@pytest.mark.parametrize("kind", STACKS)
def test_parameters_and_their_names_are_those_of_k_layers(kind):
    plain = encoder(kind)
    shared = share_in_pairs(copy.deepcopy(plain), "upper")
    assert encoders.parameters(shared) == encoders.parameters(plain)
    logits(shared)
    assert list(shared.state_dict()) == list(plain.state_dict())
    held = [p for group in make_optimizer(shared, Training()).param_groups for p in group["params"]]
    assert len(held) == len(list(plain.parameters()))
    assert len({p.data_ptr() for p in held}) == len(held)
    assert (len(encoders.stack(shared)), encoders.applications(shared)) == (3, 6)


@pytest.mark.parametrize(
    ("layers", "applied", "parameters"),
    [(1, 2, 31_517_186), (2, 4, 38_605_058), (3, 6, 45_692_930), (6, 9, 66_956_546)],
)
def test_students_of_bert_base_have_the_published_sizes(layers, applied, parameters):
    with torch.device("meta"):
        model = BertForSequenceClassification(BertConfig(num_hidden_layers=layers))
    share_in_pairs(model, "upper")
    assert (encoders.parameters(model).total, encoders.applications(model)) == (parameters, applied)


@pytest.mark.parametrize("layers", [2, 4])
@pytest.mark.parametrize("shuffle", ["none", "upper", "both", "lower"])
def test_it_computes_what_an_unshared_model_of_all_applications_does(tiny_bert, shuffle, layers):
    """Of four layers the lower two run once, and are never exchanged."""
    shape = {"vocab_size": 60, "num_hidden_layers": layers, "initializer_range": 0.3}
    shared = share_in_pairs(tiny_bert(**shape), shuffle)
    lower = shared.config.layer_exchanges[: layers // 2] if layers == 4 else []
    assert not any(lower)
    unshared = twice_as_deep(tiny_bert, shared)
    assert torch.equal(logits(shared), logits(unshared))
    with torch.no_grad():
        ids = torch.arange(2, 9)[None]
        own = shared(input_ids=ids, output_hidden_states=True).hidden_states
        expected = unshared(input_ids=ids, output_hidden_states=True).hidden_states
    assert len(own) == {2: 5, 4: 7}[layers]
    for one, other in zip(own, expected, strict=True):
        assert torch.equal(one, other)


def test_each_shuffle_is_another_function():
    found = [
        logits(share_in_pairs(encoder("bert"), shuffle)) for shuffle in ("none", "upper", "both", "lower")
    ]
    for i, one in enumerate(found):
        for other in found[:i]:
            assert not torch.allclose(one, other)


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize(
    ("shuffle", "roles"),
    [("none", "QQQ QQQ"), ("upper", "QQQ KKK"), ("lower", "KKK QQQ"), ("both", "KKK KKK")],
)
def test_which_weight_makes_the_queries(kind, shuffle, roles):
    """The first of the two projections to run makes the queries."""
    model = share_in_pairs(encoder(kind), shuffle)
    calls = []
    for layer in encoders.layers(model):
        for role, linear in (("Q", layer.query), ("K", layer.key)):
            linear.register_forward_hook(lambda *_, role=role: calls.append(role))
    logits(model)
    assert "".join(calls[::2]) == roles.replace(" ", "")
    assert all({one, other} == {"Q", "K"} for one, other in zip(calls[::2], calls[1::2], strict=True))


@pytest.mark.parametrize("kind", STACKS)
def test_scores_of_the_second_pass_are_transposed_for_the_same_input(kind):
    model = encoder(kind)
    run_in_order(model, [0, 0], [False, True])
    layer = encoders.layers(model)[0]
    # Let the layer return its input, so that both applications see the same hidden states.
    layer.module.register_forward_hook(
        lambda _, inputs, output: (inputs[0], *output[1:]) if isinstance(output, tuple) else inputs[0]
    )
    with raw_scores(model) as scores, torch.no_grad():
        model(**batch_for(model).inputs)
    first, second = scores
    assert first.shape[-1] == first.shape[-2]
    torch.testing.assert_close(second, first.transpose(-1, -2))
    assert not torch.allclose(first, second)


def test_with_equal_query_and_key_weights_the_exchange_changes_no_bit():
    def equal(model):
        for layer in encoders.layers(model):
            layer.key.load_state_dict(layer.query.state_dict())
        return model

    found = [logits(share_in_pairs(equal(encoder("bert")), shuffle)) for shuffle in ("none", "upper")]
    assert torch.equal(*found)


@pytest.mark.parametrize("training", [False, True])
def test_gradient_of_a_query_weight_is_the_sum_of_its_two_roles(tiny_bert, training):
    shape = {"vocab_size": 60, "num_hidden_layers": 2, "initializer_range": 0.3}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    shared = share_in_pairs(tiny_bert(**shape, **dropout), "upper")
    unshared = twice_as_deep(tiny_bert, shared)
    for model in (shared, unshared):
        cross_entropy(model.train(training), batch_for(model)).backward()
    own, clone = encoders.layers(shared), encoders.layers(unshared)
    for position in range(2):
        for role, other in (("query", "key"), ("key", "query"), ("value", "value"), ("ffn_in", "ffn_in")):
            lower, upper = getattr(clone[position], role), getattr(clone[position + 2], other)
            for tensor in ("weight", "bias"):
                found = getattr(getattr(own[position], role), tensor).grad
                expected = getattr(lower, tensor).grad + getattr(upper, tensor).grad
                torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
        lower = clone[position].query.weight.grad
        assert not torch.allclose(own[position].query.weight.grad, lower), "both roles contribute"


@pytest.mark.parametrize("kind", STACKS)
def test_all_applications_are_counted_in_flops(kind):
    whole = forward_flops(encoder(kind), 16)
    per_layer = (whole - forward_flops(run_in_order(encoder(kind), [0]), 16)) / 2
    shared = share_in_pairs(encoder(kind), "upper")
    assert forward_flops(shared, 16) == whole + 3 * per_layer
    assert flops_by_length(shared)(16) == pytest.approx(whole + 3 * per_layer)


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize("shuffle", ["none", "upper"])
def test_order_and_exchange_survive_saving_and_loading(kind, shuffle, tmp_path):
    model = share_in_pairs(encoder(kind), shuffle)
    loaded = checkpoint.load(checkpoint.save(model, tmp_path / "model"))
    assert torch.equal(logits(loaded), logits(model))
    assert encoders.parameters(loaded) == encoders.parameters(model)
    assert checkpoint.architecture(loaded) == checkpoint.architecture(model)
    assert torch.equal(logits(copy.deepcopy(model)), logits(model))


def test_latency_depends_on_the_passes_and_not_on_the_exchange():
    signatures = [
        checkpoint.signature(share_in_pairs(encoder("bert"), shuffle))
        for shuffle in ("none", "upper", "both")
    ]
    assert len(set(signatures)) == 1
    assert signatures[0] != checkpoint.signature(encoder("bert"))


def test_training_keeps_one_set_of_weights(tiny_bert):
    shared = share_in_pairs(tiny_bert(vocab_size=60, num_hidden_layers=2), "upper")
    before = {name: tensor.clone() for name, tensor in shared.state_dict().items()}
    settings = Training(batch_size=4, learning_rate=1e-3, precision="fp32", device="cpu")
    fit(shared, examples(shared, 12), settings, steps=3, seeds=Seeds.derive(1))
    after = shared.state_dict()
    assert list(after) == list(before)
    assert not torch.equal(after["bert.encoder.layer.0.attention.self.query.weight"],
                           before["bert.encoder.layer.0.attention.self.query.weight"])  # fmt: skip


def test_a_failing_pass_leaves_the_model_as_it_was():
    model = share_in_pairs(encoder("bert"), "upper")
    names = list(model.state_dict())
    layer = encoders.layers(model)[1]
    query = layer.query
    handle = layer.ffn_in.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        logits(model)
    handle.remove()
    assert list(model.state_dict()) == names
    assert layer.query is query
    assert torch.equal(logits(model), logits(share_in_pairs(encoder("bert"), "upper")))


def test_running_layers_again_for_the_backward_pass_is_refused():
    model = share_in_pairs(encoder("bert"), "upper")
    model.gradient_checkpointing_enable()
    logits(model)
    with pytest.raises(BadInput, match="gradient checkpointing runs a layer again without its query"):
        model.train()(**batch_for(model).inputs)
    model.gradient_checkpointing_disable()
    model(**batch_for(model).inputs)


@pytest.mark.parametrize(("order", "exchanged"), [([0, 3], None), ([], None), ([0, 1], [True])])
def test_positions_the_model_does_not_have_are_refused(order, exchanged):
    with pytest.raises(BadInput, match="the model has 3 layers"):
        run_in_order(encoder("bert"), order, exchanged)
