"""ALBERT's encoder: parameter counts of the paper, sharing in part, gradients, and transformers' own."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AlbertConfig, AlbertForPreTraining, AlbertForSequenceClassification, BertModel

from methods import checkpoint, encoders, pretrained
from methods.fit import make_optimizer
from methods.flops import forward_flops
from methods.pretrained import Source
from methods.settings import Training
from methods.sharing.albert.model import (
    CompactAlbertConfig,
    CompactAlbertForSequenceClassification,
    CompactAlbertModel,
)
from methods.sharing.albert.released import convert
from methods.sharing.albert.warm_start import from_encoder
from tasks.errors import BadInput

IDS = torch.tensor([[2, 5, 9, 11, 3, 0], [2, 8, 8, 3, 0, 0]])
INPUTS = {"input_ids": IDS, "attention_mask": (IDS > 0).long(), "token_type_ids": torch.zeros_like(IDS)}
MODES = ("all", "attention", "ffn", "none")


def config(**changes):
    sizes = {
        "vocab_size": 50,
        "embedding_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "initializer_range": 0.1,
    }
    return CompactAlbertConfig(**{**sizes, **changes})


def model(seed=0, kind=CompactAlbertModel, **changes):
    torch.manual_seed(seed)
    made = kind(config(**changes)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return made


def output(made):
    with torch.no_grad():
        return made(**INPUTS).last_hidden_state


def count(layers, hidden, embedding, share="all", vocabulary=30000, heads=None, groups=1):
    shape = CompactAlbertConfig(
        vocab_size=vocabulary,
        embedding_size=embedding,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads or hidden // 64,
        intermediate_size=4 * hidden,
        share=share,
        num_hidden_groups=groups,
    )
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in CompactAlbertModel(shape).parameters())


def formula(layers, hidden, embedding, share, vocabulary, groups=1):
    """Tables, projection, units by how often they are there, pooler."""
    attention = 4 * (hidden * hidden + hidden) + 2 * hidden
    ffn = hidden * 4 * hidden * 2 + 4 * hidden + hidden + 2 * hidden
    tables = (vocabulary + 512 + 2) * embedding + 2 * embedding
    projection = (embedding + 1) * hidden if embedding != hidden else 0
    attentions = groups if share in ("all", "attention") else layers
    ffns = groups if share in ("all", "ffn") else layers
    return tables + projection + attentions * attention + ffns * ffn + hidden * hidden + hidden


@pytest.mark.parametrize(
    ("layers", "hidden", "embedding", "share", "vocabulary", "expected"),
    [
        (12, 768, 128, "all", 30000, 11_683_584),
        (24, 1024, 128, "all", 30000, 17_683_968),
        (24, 2048, 128, "all", 30000, 58_724_864),
        (12, 4096, 128, "all", 30000, 222_595_584),
        (12, 768, 768, "none", 30000, 109_081_344),
        (24, 1024, 1024, "none", 30000, 334_607_360),
        (12, 768, 64, "ffn", 30000, 35_684_352),
        (12, 768, 768, "all", 30000, 31_114_752),
        (12, 768, 128, "attention", 30522, 63_714_048),
    ],
)
def test_models_of_the_paper_have_its_parameters(layers, hidden, embedding, share, vocabulary, expected):
    assert count(layers, hidden, embedding, share, vocabulary) == expected


# In order of MODES; ALBERT's vocabulary, then BERT's.
@pytest.mark.parametrize(
    ("vocabulary", "embedding", "expected"),
    [
        (30000, 64, (9_681_408, 61_645_056, 35_684_352, 87_648_000)),
        (30000, 128, (11_683_584, 63_647_232, 37_686_528, 89_650_176)),
        (30000, 256, (15_687_936, 67_651_584, 41_690_880, 93_654_528)),
        (30000, 768, (31_114_752, 83_078_400, 57_117_696, 109_081_344)),
        (30522, 768, (31_515_648, 83_479_296, 57_518_592, 109_482_240)),
        (30522, 128, (11_750_400, 63_714_048, 37_753_344, 89_716_992)),
    ],
)
def test_the_ablation_s_table_by_formula(vocabulary, embedding, expected):
    assert tuple(formula(12, 768, embedding, share, vocabulary) for share in MODES) == expected


@pytest.mark.parametrize("embedding", [16, 64])
@pytest.mark.parametrize("share", MODES)
@pytest.mark.parametrize("groups", [1, 3, 6])
def test_small_models_follow_the_formula(share, embedding, groups):
    assert count(6, 64, embedding, share, 100, heads=2, groups=groups) == formula(
        6, 64, embedding, share, 100, groups
    )


@pytest.mark.parametrize("share", MODES)
def test_the_number_of_tensors_does_not_depend_on_depth_where_shared(share):
    def tensors(depth):
        return len(
            {p.data_ptr() for p in encoders.stack(model(share=share, num_hidden_layers=depth)).parameters()}
        )

    grown = {"all": 0, "attention": 6, "ffn": 10, "none": 16}[share]
    assert tensors(4) - tensors(2) == 2 * grown
    held = [
        p.data_ptr() for g in make_optimizer(model(share=share), Training()).param_groups for p in g["params"]
    ]
    assert len(held) == len(set(held))


@pytest.mark.parametrize("share", ["all", "attention", "ffn"])
def test_the_gradient_of_a_shared_tensor_is_the_sum_over_its_layers(share):
    shared, clone = model(share=share, num_hidden_groups=2), model(seed=1, share="none")
    clone.load_state_dict(shared.state_dict())
    for each in (shared, clone):
        each(**INPUTS).last_hidden_state.square().sum().backward()
    separate = [dict(layer.named_parameters()) for layer in encoders.stack(clone)]
    for group in (0, 1):
        for name, parameter in encoders.stack(shared)[2 * group].named_parameters():
            attention = name.startswith("attention.")
            if share == "all" or attention == (share == "attention"):
                expected = separate[2 * group][name].grad + separate[2 * group + 1][name].grad
            else:
                expected = separate[2 * group][name].grad
            torch.testing.assert_close(parameter.grad, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("share", MODES)
def test_as_many_groups_as_layers_is_the_unshared_model_bit_by_bit(share):
    grouped, unshared = model(share=share, num_hidden_groups=4), model(seed=1, share="none")
    unshared.load_state_dict(grouped.state_dict())
    assert torch.equal(output(grouped), output(unshared))


def test_equal_layers_are_the_shared_model_and_cost_the_same():
    shared, unshared = model(share="all"), model(seed=1, share="none")
    unshared.load_state_dict(shared.state_dict())
    assert torch.equal(output(shared), output(unshared))
    assert forward_flops(shared, 8) == forward_flops(unshared, 8)
    signatures = {
        checkpoint.signature(model(kind=CompactAlbertForSequenceClassification, share=s)) for s in MODES
    }
    assert len(signatures) == 1


def test_equal_widths_skip_the_projection_and_are_bert():
    ours = model(embedding_size=32, share="none")
    assert ours.embeddings.projection is None
    bert = BertModel(config(embedding_size=32)).eval()
    bert.load_state_dict(ours.state_dict())
    assert torch.equal(output(bert), output(ours))


@pytest.mark.parametrize("share", MODES)
def test_a_checkpoint_keeps_what_is_shared(share, tmp_path):
    made = model(kind=CompactAlbertForSequenceClassification, share=share, num_hidden_groups=2)
    loaded = checkpoint.load(checkpoint.save(made, tmp_path))
    with torch.no_grad():
        assert torch.equal(made(**INPUTS).logits, loaded(**INPUTS).logits)
    assert encoders.parameters(loaded) == encoders.parameters(made)
    stack = encoders.stack(loaded)
    assert (stack[0].attention is stack[1].attention) == (share in ("all", "attention"))
    assert (stack[0].output is stack[1].output) == (share in ("all", "ffn"))
    assert stack[0].attention is not stack[2].attention


def test_embeddings_count_with_their_projection():
    found = encoders.parameters(model())
    assert found.embeddings == (50 + 64 + 2) * 16 + 32 + 17 * 32
    assert [layer.positions for layer in encoders.layers(model())] == [(0, 1, 2, 3)]


def theirs(**changes):
    torch.manual_seed(0)
    shape = config(**changes).to_dict()
    names = AlbertConfig().to_dict().keys() & shape.keys() - {
        "model_type",
        "architectures",
        "transformers_version",
    }
    made = AlbertForSequenceClassification(
        AlbertConfig(**{name: shape[name] for name in names}, classifier_dropout_prob=0.1)
    ).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return made


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
def test_transformers_albert_becomes_ours_without_a_change(groups, activation):
    original = theirs(num_hidden_groups=groups, hidden_act=activation)
    ours = convert(original)
    with torch.no_grad():
        torch.testing.assert_close(ours(**INPUTS).logits, original(**INPUTS).logits, atol=1e-6, rtol=1e-5)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in original.parameters())
    assert ours.dropout.p == 0.1


def test_what_cannot_be_converted_is_refused():
    with pytest.raises(BadInput, match="projection between equal widths"):
        convert(theirs(embedding_size=32))


def test_a_released_checkpoint_starts_a_classifier(run, tmp_path):
    original = theirs()
    original.albert.save_pretrained(tmp_path)
    made = pretrained.classifier(pretrained.Source("a", None, str(tmp_path)), run().task, seed=1)
    assert isinstance(made, CompactAlbertForSequenceClassification)
    assert made.config.id2label == {0: "no", 1: "yes"}
    with torch.no_grad():
        torch.testing.assert_close(
            made.bert(**INPUTS).last_hidden_state, original.albert(**INPUTS).last_hidden_state
        )


OTHER_MODEL = "weights and configuration belong to two models"


def reconfigured(folder, changes):
    """The source in `folder` once its configuration says something else."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return pretrained.Source("a", None, str(folder))


@pytest.mark.parametrize("heads", [False, True])
@pytest.mark.parametrize(
    ("saved", "changes", "message"),
    [
        ({"num_hidden_groups": 2}, {"num_hidden_groups": 1}, OTHER_MODEL),
        ({"inner_group_num": 2}, {"inner_group_num": 1}, OTHER_MODEL),
        ({}, {"hidden_size": 40}, OTHER_MODEL),
        ({}, {"embedding_size": 12}, OTHER_MODEL),
        ({}, {"num_hidden_groups": 2}, "no weights for 16 tensors"),
        ({}, {"inner_group_num": 2}, "no weights for 16 tensors"),
    ],
)
def test_a_released_checkpoint_of_another_configuration_is_refused(
    heads, saved, changes, message, run, tmp_path
):
    sizes = theirs().config.to_dict() | saved
    whole = AlbertForPreTraining(AlbertConfig(**sizes))
    (whole if heads else whole.albert).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match=message):
        pretrained.classifier(reconfigured(tmp_path, changes), run().task, seed=1)


def test_heads_of_pretraining_are_no_part_of_another_model(run, tmp_path):
    AlbertForPreTraining(theirs().config).save_pretrained(tmp_path)
    source = pretrained.Source("a", None, str(tmp_path))
    assert isinstance(
        pretrained.classifier(source, run().task, seed=1), CompactAlbertForSequenceClassification
    )


@pytest.mark.parametrize(
    ("saved", "changes"),
    [
        ({"share": "all"}, {"share": "none"}),
        ({"share": "none"}, {"share": "all"}),
        ({"share": "ffn"}, {"share": "attention"}),
        ({}, {"hidden_size": 40}),
        ({}, {"embedding_size": 12}),
        ({}, {"embedding_size": 32}),
        ({"num_hidden_groups": 2}, {"num_hidden_groups": 1}),
        ({"share": "none"}, {"num_hidden_layers": 3}),
    ],
)
def test_our_encoder_of_another_configuration_is_refused(saved, changes, run, tmp_path):
    checkpoint.save(model(**saved), tmp_path / "ours")
    with pytest.raises(BadInput, match=f"ours: .*{OTHER_MODEL}; put back"):
        pretrained.classifier(reconfigured(tmp_path / "ours", changes), run().task, seed=1)


def test_our_encoder_starts_a_classifier_drawn_from_its_seed(run, tmp_path):
    encoder = model(share="ffn")
    checkpoint.save(encoder, tmp_path)
    source = pretrained.Source("a", None, str(tmp_path))
    first, again, other = (pretrained.classifier(source, run().task, seed=seed) for seed in (1, 1, 2))
    with torch.no_grad():
        assert torch.equal(first.bert(**INPUTS).last_hidden_state, output(encoder))
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)


def text(seed=0, length=16):
    """Sequences of two segments and of two lengths, padded on the right."""
    ids = torch.randint(5, 45, (64, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[::2, length // 2 :] = 0
    types = (torch.arange(length) >= length // 4).long().expand_as(ids)
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": types * mask}


def warm(source, inputs=None, **changes):
    fields = {"layers": 2, "embedding": 16, "share": "none", "groups": 1, "dropout": 0.0}
    return from_encoder(source, inputs or [text()], **{**fields, **changes})


def test_a_warm_start_takes_over_layers_and_nearly_the_embeddings(run):
    trial = run(layers=4)
    bert = BertModel.from_pretrained(trial.model.path).eval()
    assert torch.equal(output(warm(trial.model, layers=4, embedding=32)), output(bert))
    narrow = warm(trial.model)
    for position, origin in enumerate((0, 2)):
        for name, tensor in encoders.stack(narrow)[position].state_dict().items():
            assert torch.equal(tensor, encoders.stack(bert)[origin].state_dict()[name])
    errors, seen = [], text()
    real = seen.pop("attention_mask").bool()
    with torch.no_grad():
        wanted = bert.embeddings(**seen)[real]
        for width in (4, 12, 24):
            made = warm(trial.model, embedding=width).embeddings(**seen)[real]
            errors.append(float((made - wanted).square().mean() / wanted.var()))
        # The norm's output sums to nothing but rounding: a weight along that sum is noise, and was about 10^5.
        projection = narrow.embeddings.projection.weight
        assert projection.sum(1).abs().max() < 1e-3 and torch.linalg.matrix_norm(projection, 2) < 10
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.5
    shared = warm(trial.model, share="all")
    assert float(shared.embeddings.word_embeddings.weight.norm(dim=1).mean()) == pytest.approx(1)
    assert torch.equal(
        encoders.stack(shared)[1].output.dense.weight, encoders.stack(bert)[0].output.dense.weight
    )


def test_the_tables_of_a_warm_start_see_each_real_token_of_enough_text(run, monkeypatch):
    def tables(*inputs):
        return warm(source, list(inputs)).embeddings.state_dict()

    def same(left, right):
        return all(torch.equal(left[name], right[name]) for name in left)

    source, first, second = run().model, text(), text(seed=1)
    padded = {**first, "input_ids": first["input_ids"] + 7 * (1 - first["attention_mask"])}
    untyped = {name: tensor for name, tensor in first.items() if name != "token_type_ids"}
    assert same(tables(first), tables(padded))
    assert not same(tables(first), tables(untyped))
    assert same(tables(untyped), tables({**first, "token_type_ids": torch.zeros_like(first["input_ids"])}))
    assert not same(tables(first), tables(first, second))
    monkeypatch.setattr("methods.sharing.albert.warm_start._TOKENS", int(first["attention_mask"].sum()))
    assert same(tables(first), tables(first, second))


def test_a_warm_start_keeps_positions_that_lie_across_the_words(run, tmp_path):
    """A word table alone would give them up, and the encoder would see a bag of words."""
    bert = BertModel.from_pretrained(run().model.path).eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for table in (bert.embeddings.word_embeddings, bert.embeddings.position_embeddings):
            table.weight.normal_(generator=draw)
        # Words fill 28 directions thinly; positions lie in the other 4.
        bert.embeddings.word_embeddings.weight[:, 28:] = 0
        bert.embeddings.position_embeddings.weight[:, :28] = 0
        bert.embeddings.position_embeddings.weight.mul_(2)
    bert.save_pretrained(tmp_path)
    ids = torch.randint(5, 45, (64, 16), generator=draw)
    seen = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    made = from_encoder(
        Source("bert", None, str(tmp_path)),
        [seen],
        layers=2,
        embedding=16,
        share="all",
        groups=1,
        dropout=0.0,
    )
    with torch.no_grad():
        ours, theirs = made.eval().embeddings(ids), bert.embeddings(ids)
    # How one word at different positions differs.
    moved, wanted = (rows[:, 1:, 28:] - rows[:, :1, 28:] for rows in (ours, theirs))
    assert float((moved - wanted).square().sum() / wanted.square().sum()) < 0.3


def test_a_warm_start_that_cannot_be_is_refused(run):
    trial = run()
    with pytest.raises(BadInput, match="64 is more than the 32"):
        warm(trial.model, embedding=64)
