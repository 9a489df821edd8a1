"""Factorised word tables and paired heads: what they may not change, and what they bring."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from methods import checkpoint, encoders
from methods.sharing.factorised import FactorisedEmbedding, factorise, factorise_words
from methods.sharing.matching import match_heads
from methods.sharing.ties import share_layers
from tasks.batches import collate
from tasks.errors import BadInput


def logits(model, data):
    with torch.no_grad():
        return model.eval()(**collate(data, np.arange(len(data))).inputs).logits


def test_the_product_is_the_nearest_of_its_rank():
    table = torch.randn(40, 12, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(table)
    for narrow in (1, 5, 12):
        rows, columns = factorise(table, narrow)
        assert rows.shape == (40, narrow) and columns.shape == (narrow, 12)
        error = (rows @ columns - table).square().sum()
        torch.testing.assert_close(error, values[narrow:].square().sum(), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(rows.norm(), columns.norm())


def test_full_width_keeps_the_logits_and_less_saves_parameters(tiny_bert, examples):
    model = tiny_bert(initializer_range=0.2)
    before, expected = encoders.parameters(model), logits(model, examples())
    full = factorise_words(copy.deepcopy(model), 32)
    torch.testing.assert_close(logits(full, examples()), expected, atol=1e-4, rtol=1e-4)
    narrow = factorise_words(copy.deepcopy(model), 4)
    assert before.embeddings - encoders.parameters(narrow).embeddings == 50 * 32 - (50 * 4 + 4 * 32)
    assert not torch.allclose(logits(narrow, examples()), expected, atol=1e-3)


def test_a_factorised_table_survives_saving(tiny_bert, examples, tmp_path):
    model = share_layers(factorise_words(tiny_bert(), 8), 1, "mean")
    loaded = checkpoint.load(checkpoint.save(model, tmp_path))
    assert torch.equal(logits(loaded, examples()), logits(model, examples()))
    assert isinstance(loaded.get_input_embeddings(), FactorisedEmbedding)
    assert checkpoint.signature(loaded) != checkpoint.signature(tiny_bert())


def test_a_table_is_never_widened(tiny_bert):
    with pytest.raises(BadInput, match="33 is more than the 32"):
        factorise_words(tiny_bert(), 33)


def test_permuted_heads_are_found_again_and_nothing_changes(tiny_bert, examples):
    model = tiny_bert(initializer_range=0.2)
    first, second = encoders.layers(model)
    second.module.load_state_dict(first.module.state_dict())
    order = [2, 0, 3, 1]
    rows = torch.cat([torch.arange(8) + 8 * head for head in order])
    with torch.no_grad():
        for linear in (second.query, second.key, second.value):
            linear.weight.copy_(linear.weight[rows])
            linear.bias.copy_(linear.bias[rows])
        second.output.weight.copy_(second.output.weight[:, rows])
    expected = logits(model, examples())
    match_heads(second, first)
    torch.testing.assert_close(logits(model, examples()), expected, atol=1e-5, rtol=1e-5)
    for mine, other in zip(second.module.parameters(), first.module.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_the_mean_of_paired_heads_is_nearer_than_the_plain_mean(tiny_bert):
    model = tiny_bert(num_hidden_layers=4, initializer_range=0.2)
    matched, plain = (share_layers(copy.deepcopy(model), 1, init) for init in ("matched-mean", "mean"))

    def size(shared):
        return float(encoders.layers(shared)[0].query.weight.norm())

    # Independent heads cancel each other in a mean; paired ones less so.
    assert size(matched) > size(plain)
    assert matched.config.layer_groups == [0, 0, 0, 0]


def test_one_layer_may_become_all(tiny_bert):
    model = tiny_bert(num_hidden_layers=3)
    wanted = copy.deepcopy(encoders.stack(model)[2].state_dict())
    stack = encoders.stack(share_layers(model, 1, "layer", layer=2))
    assert len({id(layer) for layer in stack}) == 1
    assert all(torch.equal(stack[0].state_dict()[name], tensor) for name, tensor in wanted.items())
    with pytest.raises(BadInput, match="layers 0 to 2"):
        share_layers(tiny_bert(num_hidden_layers=3), 1, "layer", layer=3)
