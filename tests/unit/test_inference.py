"""Predictions: in the examples' order, whatever the batches, in eval mode."""

from __future__ import annotations

import numpy as np
import torch

from methods.inference import predict
from tasks.batches import collate


def one_by_one(model, data):
    model.eval()
    with torch.no_grad():
        rows = [model(**collate(data, np.array([i])).inputs).logits[0].numpy() for i in range(len(data))]
    return np.stack(rows)


def test_rows_are_in_order_and_independent_of_batch_size(tiny_bert, examples):
    model, data = tiny_bert(num_labels=3), examples(n=31)
    expected = one_by_one(model, data)
    for batch_size in (1, 7, 64):
        logits = predict(model, data, batch_size=batch_size)
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected, atol=1e-6)


def test_a_subset_gives_its_rows(tiny_bert, examples):
    model, data = tiny_bert(), examples(n=20)
    chosen = [13, 2, 7]
    np.testing.assert_allclose(predict(model, data.subset(chosen)), predict(model, data)[chosen], atol=1e-6)


def test_dropout_is_off_and_the_model_stays_in_eval_mode_and_as_it_was(tiny_bert, examples):
    model, data = tiny_bert(), examples()
    expected = predict(model, data)
    attention = model.config._attn_implementation
    model.train()
    np.testing.assert_array_equal(predict(model, data), expected)
    assert not model.training
    assert model.config._attn_implementation == attention
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_bf16_is_close_but_not_fp32(tiny_bert, examples):
    model, data = tiny_bert(), examples()
    fp32, bf16 = predict(model, data), predict(model, data, bf16=True)
    assert bf16.dtype == np.float32
    np.testing.assert_allclose(bf16, fp32, atol=0.02)
    assert not np.array_equal(bf16, fp32)


def test_attention_kernels_agree(tiny_bert, examples):
    model, data = tiny_bert(), examples()
    batch = collate(data, np.arange(len(data)))
    model.set_attn_implementation("sdpa")
    with torch.no_grad():
        fused = model(**batch.inputs).logits.numpy()
    np.testing.assert_allclose(predict(model, data), fused, atol=1e-5)
