import pytest
import torch
from tiny_encoders import HEAD_SIZE, HEADS, HIDDEN, KINDS, LAYERS, encoder, share_layers
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
)

from methods import encoders
from methods.pruning.surgery import prune_heads
from tasks.errors import BadInput


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_taken_apart(kind):
    model = encoder(kind)
    layers = encoders.layers(model)
    assert [layer.positions for layer in layers] == [(0,), (1,), (2,)]
    parts = set()
    for layer in layers:
        assert layer.heads == tuple(range(HEADS))
        assert layer.head_size == HEAD_SIZE
        for linear in (layer.query, layer.key, layer.value, layer.output):
            assert linear.weight.shape == (HIDDEN, HIDDEN)
        assert layer.ffn_in.weight.shape == (48, HIDDEN)
        assert layer.ffn_out.weight.shape == (HIDDEN, 48)
        parts |= {layer.query, layer.key, layer.value, layer.output, layer.ffn_in, layer.ffn_out}
    assert len(parts) == 6 * LAYERS


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_by_part_leave_only_the_classifier_over(kind):
    model = encoder(kind)
    count = encoders.parameters(model)
    attention = 4 * (HIDDEN * HIDDEN + HIDDEN)
    ffn = 2 * 48 * HIDDEN + 48 + HIDDEN
    assert count.encoder == LAYERS * (attention + ffn + 2 * 2 * HIDDEN)
    head = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if not any(part in name for part in ("embeddings", "encoder.", "transformer."))
    )
    assert count.total == count.encoder + count.embeddings + head


def test_bert_base_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = BertForSequenceClassification(BertConfig())
    count = encoders.parameters(model)
    assert (count.total, count.encoder, count.embeddings) == (109_483_778, 12 * 7_087_872, 23_837_184)


@pytest.mark.parametrize("kind", KINDS)
def test_shared_layers_count_once_and_know_their_positions(kind):
    model = encoder(kind)
    whole = encoders.parameters(model).encoder
    share_layers(model, [0, 0, 1])
    assert [layer.positions for layer in encoders.layers(model)] == [(0, 1), (2,)]
    assert encoders.parameters(model).encoder * LAYERS == whole * 2


@pytest.mark.parametrize("kind", KINDS)
def test_layers_of_a_pruned_encoder_name_the_heads_left(kind):
    model = encoder(kind)
    prune_heads(model, {0: range(HEADS), 1: [1]})
    assert [layer.heads for layer in encoders.layers(model)] == [(), (0, 2, 3), (0, 1, 2, 3)]
    assert encoders.head_counts(model) == [0, 3, 4]
    assert encoders.parameters(model).encoder == sum(p.numel() for p in encoders.stack(model).parameters())


def test_other_architectures_are_refused_with_what_works():
    config = AlbertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=48, vocab_size=50
    )
    with pytest.raises(BadInput, match=r"'albert'.*bert, roberta, electra, distilbert"):
        encoders.layers(AlbertForSequenceClassification(config))
