import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from head_pruning_runs import head_pruning_run
from tiny_encoders import HEADS, KINDS, LAYERS
from transformers import BertConfig, BertForSequenceClassification

from methods import encoders
from methods.pruning.gates import head_gates
from methods.pruning.importance import head_importance
from methods.pruning.order import ascending, by_layer, surviving_heads
from methods.pruning.random_heads import RandomHeads
from methods.pruning.sixteen_heads import SixteenHeads
from methods.pruning.surgery import prune_heads
from tasks.batches import in_order
from tasks.errors import BadInput


@pytest.mark.parametrize("kind", KINDS)
def test_removes_the_heads_of_least_normalised_importance(kind, tmp_path):
    run = head_pruning_run(tmp_path, kind)
    model = SixteenHeads(heads=0.5).compress(run)
    scores = head_importance(run.start(), in_order(run.train, 24)).scores
    normalised = scores / np.linalg.norm(scores, axis=1, keepdims=True)
    least = {divmod(cell, HEADS) for cell in np.argsort(normalised.ravel())[:6]}
    gone = {(layer, head) for layer, heads in enumerate(run.notes["removed_heads"]) for head in heads}
    assert gone == {(int(layer), int(head)) for layer, head in least}
    assert run.notes["kept_heads"] == encoders.kept_heads(model)
    np.testing.assert_allclose(run.notes["importance"], normalised, rtol=1e-3)
    json.dumps(run.notes)


def test_without_normalisation_raw_scores_decide(tmp_path):
    run = head_pruning_run(tmp_path)
    SixteenHeads(heads=0.5, normalise=False).compress(run)
    scores = head_importance(run.start(), in_order(run.train, 24)).scores
    np.testing.assert_allclose(run.notes["importance"], scores, rtol=1e-3)
    removed = run.notes["removed_heads"]
    threshold = np.sort(scores.ravel())[5]
    assert removed == [np.flatnonzero(row <= threshold).tolist() for row in scores]


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_is_the_start_model_with_those_heads_masked(kind, tmp_path):
    run = head_pruning_run(tmp_path, kind)
    model = SixteenHeads(heads=0.6).compress(run)
    gates = torch.ones(LAYERS, HEADS)
    for layer, heads in enumerate(run.notes["removed_heads"]):
        gates[layer, heads] = 0
    (batch,) = in_order(run.train, 24)
    start = run.start()
    with head_gates(start, gates), torch.no_grad():
        masked = start(**batch.inputs).logits
        assert (masked - model(**batch.inputs).logits).abs().max() <= 1e-5


def test_cost_without_recovery_is_that_of_importance(tmp_path):
    run = head_pruning_run(tmp_path)
    SixteenHeads().compress(run)
    importance = head_importance(run.start(), in_order(run.train, 32))
    assert run.cost == importance.cost and run.cost.flops > 0


@pytest.mark.parametrize("method", [SixteenHeads, RandomHeads])
@pytest.mark.parametrize("kind", KINDS)
def test_recovery_trains_the_pruned_model_and_brings_no_head_back(kind, method, tmp_path):
    plain, recovered = head_pruning_run(tmp_path, kind), head_pruning_run(tmp_path, kind)
    pruned = method(heads=0.6).compress(plain)
    trained = method(heads=0.6, epochs=2).compress(recovered)
    assert recovered.cost.steps == 6
    assert (recovered.cost.examples, plain.cost.examples) == (48, 0)
    assert encoders.kept_heads(pruned) == encoders.kept_heads(trained)
    before, after = pruned.state_dict(), trained.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    # The key bias cancels in the softmax; Adam may still move it. Everything else has to learn.
    assert {name for name in before if "key.bias" not in name and "k_lin.bias" not in name} <= {
        *changed,
        *(name for name in before if "position_embeddings" in name),
    }


def test_a_sample_is_drawn_by_seed_and_no_larger_than_asked(tmp_path):
    def importance(examples, seed):
        run = head_pruning_run(tmp_path, seed=seed)
        SixteenHeads(examples=examples).compress(run)
        return run.cost.flops, run.notes["importance"]

    assert importance(10, 1)[0] < importance(24, 1)[0]
    assert importance(10, 1) == importance(10, 1)
    assert importance(10, 1) != importance(10, 2)
    assert importance(24, 1) == importance(1000, 2)


def test_does_not_depend_on_what_ran_before_in_the_process(tmp_path):
    def outcome():
        run = head_pruning_run(tmp_path)
        model = SixteenHeads(heads=0.5, epochs=1).compress(run)
        return run.notes, run.cost, model.state_dict()

    notes, cost, weights = outcome()
    RandomHeads(heads=0.5, epochs=1).compress(head_pruning_run(tmp_path, "distilbert", seed=3))
    torch.manual_seed(5)
    again = outcome()
    assert (notes, cost) == again[:2]
    assert all(torch.equal(weights[name], again[2][name]) for name in weights)


def test_a_share_of_less_than_one_head_is_refused_before_importance_is_computed(tmp_path):
    run = head_pruning_run(tmp_path)
    with pytest.raises(BadInput, match=r"sixteen-heads.*0.01 of 12 heads is less than one"):
        SixteenHeads(heads=0.01).compress(run)
    assert run.cost.flops == 0


@pytest.mark.parametrize("unit", ["token", "batch"])
def test_other_units_rank_by_their_own_statistic(unit, tmp_path):
    run = head_pruning_run(tmp_path)
    SixteenHeads(unit=unit, normalise=False).compress(run)
    scores = head_importance(run.start(), in_order(run.train, 32), unit=unit).scores
    np.testing.assert_allclose(run.notes["importance"], scores, rtol=1e-3)


@pytest.mark.parametrize(
    ("step", "counts"),
    [(0.1, [1, 2, 3, 4, 6, 7]), (0.25, [3, 6, 7]), (0.01, [1, 2, 3, 4, 5, 6, 7]), (0.9, [7])],
)
def test_recomputing_goes_in_steps_of_the_whole_and_ranks_what_is_left(step, counts, tmp_path, monkeypatch):
    run, seen = head_pruning_run(tmp_path), []
    order = SixteenHeads.order

    def ranked(self, run, model):
        seen.append(encoders.kept_heads(model))
        return order(self, run, model)

    monkeypatch.setattr(SixteenHeads, "order", ranked)
    model = SixteenHeads(heads=0.6, recompute=True, step=step).compress(run)
    gone = [12 - sum(map(len, kept)) for kept in [*seen, encoders.kept_heads(model)]]
    assert gone == [0, *counts]
    for before, after in pairwise([*seen, run.notes["kept_heads"]]):
        assert all(set(less) <= set(more) for more, less in zip(before, after, strict=True))


def test_each_step_removes_the_least_important_of_the_model_as_it_then_is(tmp_path):
    run = head_pruning_run(tmp_path)
    SixteenHeads(heads=0.5, recompute=True, step=0.25, normalise=False).compress(run)
    model, flops = run.start(), 0.0
    for _ in range(2):
        importance = head_importance(model, in_order(run.train, 32))
        flops += importance.cost.flops
        prune_heads(model, by_layer(ascending(model, importance.scores)[:3]))
    assert run.notes["kept_heads"] == encoders.kept_heads(model)
    assert run.cost.flops == pytest.approx(flops)


def test_a_step_of_bert_base_has_the_papers_counts():
    with torch.device("meta"):
        model = BertForSequenceClassification(BertConfig())
    heads, gone = surviving_heads(model), []
    for _ in range(9):
        now = 144 - len(surviving_heads(model))
        prune_heads(model, by_layer(heads[now : now + SixteenHeads()._stride(model)]))
        gone.append(144 - len(surviving_heads(model)))
    assert gone == [144 * 10 * k // 100 for k in range(1, 10)]


def test_methods_can_be_listed_without_torch():
    code = (
        "import sys; from methods.pruning import random_heads, sixteen_heads; "
        "assert not {'torch', 'transformers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
