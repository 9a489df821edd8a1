"""MobileBERT and IB-BERT: sizes, equality with transformers, and what each part is given."""

from __future__ import annotations

import pytest
import torch
from bottleneck_berts import (
    HEADS,
    INNER,
    SHAPE,
    VOCABULARY,
    WIDTH,
    classifier,
    inputs,
    randomised,
    student,
    teacher,
)
from torch import nn
from transformers import (
    MobileBertConfig,
    MobileBertForPreTraining,
    MobileBertForSequenceClassification,
)

from methods import checkpoint, encoders
from methods.compact.mobilebert import configuration, released, stored
from methods.compact.mobilebert.layer import NoNorm
from methods.compact.mobilebert.mobilebert_transfer import MobileBertTransfer
from methods.compact.mobilebert.model import (
    BottleneckBertForPreTraining,
    BottleneckBertForSequenceClassification,
    BottleneckBertModel,
)
from methods.flops import flops_by_length, forward_flops
from methods.pruning.surgery import prune_heads
from tasks.errors import BadInput


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def on_meta(config):
    with torch.device("meta"):
        return BottleneckBertModel(config)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (configuration.mobilebert(), 24_581_888),
        (configuration.mobilebert(classifier_activation=True), 24_844_544),
        (configuration.mobilebert_tiny(), 15_485_696),
        (configuration.ib_bert(), 294_467_840),
    ],
)
def test_parameters_are_those_of_the_released_models(config, expected):
    assert count(on_meta(config)) == expected


def test_what_no_count_shows_is_as_published():
    """Norm, activation, dropout, heads and feed-forward networks (table 1), also of what a sweep makes."""

    def facts(config):
        names = ("normalization_type", "hidden_act", "num_attention_heads", "num_feedforward_networks")
        dropout = (config.hidden_dropout_prob, config.attention_probs_dropout_prob)
        return (*(getattr(config, name) for name in names), *dropout)

    made = MobileBertTransfer()
    for config in (configuration.mobilebert(), made.configuration(1000)):
        assert facts(config) == ("no_norm", "relu", 4, 4, 0.0, 0.1)
    for config in (configuration.ib_bert(), made.teacher.configuration(1000)):
        assert facts(config) == ("layer_norm", "gelu", 4, 1, 0.1, 0.1)


def test_a_layer_is_made_up_as_in_the_paper():
    model = on_meta(configuration.mobilebert(num_hidden_layers=1))
    (layer,) = encoders.stack(model)
    heads = layer.attention.self
    assert count(model.embeddings) == 4_368_128
    assert count(layer) == 842_240
    assert count(layer.bottleneck.input) == count(layer.bottleneck.attention) == 65_920
    assert count(heads) == 98_688
    assert (count(heads.query), count(heads.key), count(heads.value)) == (16_512, 16_512, 65_664)
    assert count(layer.attention.output) == 16_768
    assert len(layer.ffn) == 3
    assert {count(one) for one in layer.ffn} == {131_968}
    assert count(layer.output.bottleneck) == 67_072
    assert count(layer.intermediate) + count(layer.output) - 67_072 == 131_968
    assert sum(isinstance(module, NoNorm) for module in layer.modules()) == 8
    assert not any(isinstance(module, nn.LayerNorm) for module in model.modules())


def transformers_twin(cls, **changes):
    """transformers' model of the released configuration, by default two layers of it, all weights random."""
    config = MobileBertConfig(**{"num_hidden_layers": 2, "classifier_activation": False, **changes})
    return randomised(cls, config, spread=0.05)


def ours(theirs, cls, *, zero_padding=True):
    fields = {name: value for name, value in theirs.config.to_dict().items() if name != "model_type"}
    model = cls(configuration.BottleneckBertConfig(**fields | {"zero_padding": zero_padding}))
    weights = {name: tensor for name, tensor in theirs.state_dict().items() if ".decoder." not in name}
    model.load_state_dict(weights)
    return model.eval()


TINY = {"use_bottleneck_attention": True, "key_query_shared_bottleneck": False, "num_feedforward_networks": 2}
SMALL = {
    "hidden_size": 128,
    "intra_bottleneck_size": 32,
    "intermediate_size": 64,
    "embedding_size": 32,
    "vocab_size": 100,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        SMALL | TINY,
        SMALL | {"num_feedforward_networks": 1, "num_attention_heads": 8, "hidden_act": "gelu"},
        SMALL | {"use_bottleneck": False},
        SMALL | {"classifier_activation": True},
    ],
)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_logits_equal_those_of_transformers_without_padding(changes, attention):
    theirs = transformers_twin(MobileBertForSequenceClassification, **changes)
    mine = ours(theirs, BottleneckBertForSequenceClassification)
    mine.set_attn_implementation(attention)
    batch = inputs((14, 14))
    with torch.no_grad():
        expected = theirs(**batch).logits
        assert (expected[0] - expected[1]).abs().max() > 1e-3
        assert torch.allclose(mine(**batch).logits, expected, atol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_logits_equal_those_of_transformers_on_the_whole_released_configuration(attention):
    # In double precision: what nothing normalises is some 1e5 after 24 layers of random weights.
    theirs = transformers_twin(MobileBertForSequenceClassification, num_hidden_layers=24).double()
    mine = ours(theirs, BottleneckBertForSequenceClassification).double()
    assert count(mine.mobilebert) == 24_581_888 and len(encoders.stack(mine)) == 24
    mine.set_attn_implementation(attention)
    batch = inputs((14, 14))
    with torch.no_grad():
        expected = theirs(**batch).logits
        assert (expected[0] - expected[1]).abs().max() > 1
        assert torch.allclose(mine(**batch).logits, expected, rtol=0, atol=1e-5)


def test_released_weights_see_one_pad_behind_every_text():
    theirs = transformers_twin(MobileBertForSequenceClassification)
    mine = released.convert(theirs)
    with torch.no_grad():
        expected = theirs(**inputs((11, 6), width=12)).logits
        assert torch.allclose(mine(**inputs((11, 6))).logits, expected, atol=1e-5)
        assert not torch.allclose(theirs(**inputs((11, 6))).logits[0], expected[0], atol=1e-4)


def test_pre_training_heads_equal_those_of_transformers():
    theirs = transformers_twin(MobileBertForPreTraining, **SMALL)
    mine = ours(theirs, BottleneckBertForPreTraining)
    with torch.no_grad():
        expected = theirs(**inputs((9, 9)))
        hidden = mine.mobilebert(**inputs((9, 9))).last_hidden_state
        assert torch.allclose(mine.words(hidden), expected.prediction_logits, atol=1e-5)
        assert torch.allclose(mine.sentences(hidden), expected.seq_relationship_logits, atol=1e-5)


@pytest.mark.parametrize("zero_padding", [True, False])
def test_logits_do_not_depend_on_batch_mates(zero_padding):
    # In double precision: without normalisation activations are large, and how fp32 rounds their sums depends
    # on the processor and on the shape of a batch.
    model = classifier(zero_padding=zero_padding).double()
    with torch.no_grad():
        model.mobilebert.embeddings.word_embeddings.weight[0] = 3.0
        alone = model(**inputs((7,))).logits
        for mates in ((7, 8), (7, 20), (7, 3)):
            assert torch.allclose(model(**inputs(mates)).logits[:1], alone, rtol=0, atol=1e-9)
        assert torch.allclose(model(**inputs((7,), width=24)).logits, alone, rtol=0, atol=1e-9)
        without_mask = inputs((7,))
        del without_mask["attention_mask"]
        assert torch.allclose(model(**without_mask).logits, alone, rtol=0, atol=1e-9)


def test_a_trigram_embedding_is_a_convolution_with_zeros_at_both_ends():
    embeddings = classifier().mobilebert.embeddings
    linear = embeddings.embedding_transformation
    convolution = nn.Conv1d(12, WIDTH, kernel_size=3, padding=1)
    with torch.no_grad():
        following, current, previous = linear.weight.split(12, dim=1)
        convolution.weight.copy_(torch.stack([previous, current, following], dim=-1))
        convolution.bias.copy_(linear.bias)
        ids = inputs((10, 10))["input_ids"]
        expected = convolution(embeddings.word_embeddings(ids).transpose(1, 2)).transpose(1, 2)
        trigrams = embeddings.trigrams(ids)
        assert torch.allclose(linear(trigrams), expected, atol=1e-5)
    assert not trigrams[:, -1, :12].any()
    assert not trigrams[:, 0, 24:].any()
    assert torch.equal(trigrams[:, 3, :12], embeddings.word_embeddings(ids[:, 4]))


def test_no_norm_is_an_affine_map_without_statistics():
    norm = randomised(NoNorm, 6)
    one, other = torch.randn(2, 6), torch.randn(2, 6)
    assert torch.equal(norm(one), norm.weight * one + norm.bias)
    assert torch.allclose(norm(one + other) + norm.bias, norm(one) + norm(other), atol=1e-6)
    assert torch.equal(norm(torch.cat([one, 100 * other]))[:2], norm(one))
    assert not list(norm.buffers())


def seen_by(model, name):
    """The input of a module in one forward pass."""
    found = []
    module = encoders.stack(model)[1].get_submodule(name)
    handle = module.register_forward_pre_hook(lambda module, args: found.append(args[0]))
    model(**inputs((8,)))
    handle.remove()
    return found[0]


def test_queries_and_keys_share_the_bottleneck_and_values_do_not_pass_it():
    model = classifier()
    query, key, value = (seen_by(model, f"attention.self.{name}") for name in ("query", "key", "value"))
    assert query.shape == (1, 8, INNER)
    assert torch.equal(query, key)
    assert value.shape == (1, 8, WIDTH)
    assert torch.equal(value, seen_by(model, "bottleneck.input"))


def test_the_teacher_makes_all_three_from_the_block_input_and_the_tiny_student_from_inside():
    for model, width in ((teacher(), WIDTH), (classifier(**TINY), INNER)):
        model = BottleneckBertForSequenceClassification(model.config).eval()
        query, key, value = (seen_by(model, f"attention.self.{name}") for name in ("query", "key", "value"))
        assert torch.equal(query, key)
        assert torch.equal(query, value)
        assert query.shape[-1] == width


def test_attention_maps_of_teacher_and_student_have_one_shape():
    maps = [model.mobilebert.features(**inputs((9, 4)))[0] for model in (student(), teacher())]
    assert maps[0][0].shape == maps[1][0].shape == (2, 9, WIDTH)
    assert maps[0][1].shape == maps[1][1].shape == (2, HEADS, 9, 9)


def test_features_are_what_the_forward_pass_goes_through():
    model = student().mobilebert
    features = model.features(**inputs((9, 4)))
    assert torch.allclose(features[-1][0], model(**inputs((9, 4))).last_hidden_state, atol=1e-5)
    first = model.features(**inputs((9, 4)), layers=1)
    assert len(first) == 1
    assert torch.equal(first[0][0], features[0][0])


def test_no_released_checkpoint_gets_a_pooler():
    assert classifier().mobilebert.pooler is None
    assert teacher().mobilebert.pooler is not None


@pytest.mark.parametrize("heads", [{}, {0: [1], 2: [0, 1, 2, 3]}])
@pytest.mark.parametrize("changes", [{}, TINY, {"normalization_type": "layer_norm", "zero_padding": False}])
def test_a_saved_classifier_is_read_again(changes, heads, tmp_path):
    model = classifier(**changes)
    prune_heads(model, heads)
    read = checkpoint.load(checkpoint.save(model, tmp_path))
    assert type(read) is type(model)
    assert read.config.zero_padding == model.config.zero_padding
    assert torch.equal(read(**inputs((9, 4))).logits, model(**inputs((9, 4))).logits)
    assert encoders.head_counts(read) == [HEADS - len(heads.get(layer, ())) for layer in range(3)]
    assert checkpoint.signature(read) == checkpoint.signature(model)


def test_a_saved_pre_training_model_is_read_again_and_ties_no_parameter_twice(tmp_path):
    model = teacher()
    stored.save(model, {"steps": 1}, tmp_path)
    state = torch.get_rng_state()
    read = stored.load(tmp_path)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(tensor, read.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert count(model) == count(model.mobilebert) + count(model.cls)
    assert count(model.cls) == WIDTH * (WIDTH + 1) + 2 * WIDTH + VOCABULARY * (WIDTH - 12 + 1) + 2 * (
        WIDTH + 1
    )


def test_heads_of_another_configuration_are_refused(tmp_path):
    stored.save(teacher(), {}, tmp_path)
    stored.save(teacher(embedding_size=16), {}, tmp_path / "other")
    (tmp_path / "other" / "heads.safetensors").replace(tmp_path / "heads.safetensors")
    with pytest.raises(BadInput, match="does not belong to the encoder"):
        stored.load(tmp_path)


def test_flops_are_those_of_the_shapes():
    model, length = classifier(), 10
    keys = 2 * WIDTH * INNER + 2 * INNER * INNER + WIDTH * INNER
    products = keys + INNER * INNER + 4 * 2 * INNER * 32 + INNER * WIDTH
    expected = 3 * (2 * length * products + 2 * 2 * length * length * INNER)
    expected += 2 * length * 3 * 12 * WIDTH + 2 * WIDTH * 2
    assert forward_flops(model, length) == expected
    assert flops_by_length(model)(length) == pytest.approx(expected)
    assert encoders.parameters(model).total == count(model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 5}, "16 inside the block cannot be divided among 5 heads"),
        ({"embedding_size": 64}, "more than the hidden size"),
        ({"trigram_input": False}, "only trigram"),
        ({"normalization_type": "batch_norm"}, "not known"),
        ({"num_feedforward_networks": 0}, "at least one"),
    ],
)
def test_what_cannot_be_built_is_refused(changes, message):
    with pytest.raises(BadInput, match=message):
        BottleneckBertModel(configuration.mobilebert(**{**SHAPE, **changes}))
