"""Budgets on every axis, floors, curves, and what is refused."""

from __future__ import annotations

from copy import deepcopy

import pytest
from head_pruning_runs import head_pruning_run
from pydantic import ValidationError
from tiny_encoders import HEADS, KINDS, LAYERS, PER_HEAD, encoder
from transformers import AlbertConfig, AlbertForSequenceClassification

from methods import checkpoint, encoders, registry
from methods.flops import flops_by_length
from methods.pruning import goal
from methods.pruning.confidence_heads import ConfidenceHeads
from methods.pruning.ffn_neurons import FfnNeurons
from methods.pruning.importance import head_importance
from methods.pruning.l0_heads import L0Heads
from methods.pruning.magnitude_heads import MagnitudeHeads
from methods.pruning.order import removable
from methods.pruning.random_heads import RandomHeads
from methods.pruning.sixteen_heads import SixteenHeads
from methods.run import Run
from tasks.batches import in_order
from tasks.errors import BadInput

ORDERED = (RandomHeads, SixteenHeads, ConfidenceHeads, MagnitudeHeads)


@pytest.mark.parametrize(
    ("method", "label"),
    [
        (RandomHeads(budget={"flops": 0.25}), "random-heads:budget=flops:0.25"),
        (RandomHeads(budget={"like": "auber"}, steps=60), "random-heads:budget=like:auber,steps=60"),
        (RandomHeads(budget={"heads": 0.25}), "random-heads:budget=heads:0.25"),
        (SixteenHeads(heads=[0.25, 0.5], floor=1), "sixteen-heads:heads=0.25+0.5,floor=1"),
        (SixteenHeads(heads=0.5, epochs=1, examples=8), "sixteen-heads:heads=0.5,epochs=1,examples=8"),
        (FfnNeurons(neurons=0.5), "ffn-neurons:neurons=0.5"),
        (FfnNeurons(budget={"encoder_parameters": 0.1}), "ffn-neurons:budget=encoder_parameters:0.1"),
        (RandomHeads(), "random-heads"),
    ],
    ids=str,
)
def test_labels_are_short_and_fields_survive_their_record(method, label):
    assert method.label == label
    again = type(method)(**method.model_dump(mode="json"))
    assert again == method
    assert again.label == label


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("random-heads", {"heads": 0.3, "budget": {"flops": 0.1}}),
        ("random-heads", {"heads": None}),
        ("random-heads", {"budget": {}}),
        ("random-heads", {"budget": {"flops": 0.1, "heads": 0.1}}),
        ("random-heads", {"budget": {"neurons": 0.1}}),
        ("random-heads", {"budget": {"latency": 1.0}}),
        ("random-heads", {"budget": {"like": ""}, "steps": 5}),
        ("random-heads", {"budget": {"like": "auber"}}),
        ("random-heads", {"heads": []}),
        ("random-heads", {"heads": [0.5, 0.2]}),
        ("random-heads", {"heads": [0.5, 1.5]}),
        ("random-heads", {"floor": -1}),
        ("random-heads", {"epochs": 1, "steps": 5}),
        ("random-heads", {"steps": 0}),
        ("sixteen-heads", {"unit": "word"}),
        ("sixteen-heads", {"step": 0}),
        ("l0-heads", {"heads": [0.1, 0.2]}),
        ("l0-heads", {"budget": {"like": "auber"}, "steps": 5}),
        ("l0-heads", {"penalty": 0}),
        ("ffn-neurons", {"neurons": [0.1, 0.2]}),
        ("ffn-neurons", {"budget": {"heads": 0.1}}),
        ("ffn-neurons", {"budget": {"like": "auber"}, "steps": 5}),
        ("greedy-heads", {"reward_examples": 0}),
    ],
)
def test_bad_fields_are_refused(name, fields):
    with pytest.raises(ValidationError) as error:
        registry.find(name)(**fields)
    assert error.value.error_count() == 1


# What a kind of encoder loses does not depend on the order in which it loses it.
@pytest.mark.parametrize(
    ("kind", "method"),
    [*((kind, ORDERED[0]) for kind in KINDS), *(("bert", method) for method in ORDERED[1:])],
)
def test_parameters_and_flops_fall_by_the_share_and_by_no_head_more(kind, method, tmp_path):
    run = head_pruning_run(tmp_path, kind)
    start = run.start()
    for axis, measure in (
        ("encoder_parameters", lambda model: encoders.parameters(model).encoder),
        ("flops", lambda model: flops_by_length(model)(128)),
    ):
        model = method(budget={axis: 0.2}).compress(run)
        removed = 1 - measure(model) / measure(start)
        one = removed / sum(map(len, run.notes["removed_heads"]))
        assert removed - one < 0.2 <= removed
        assert run.notes["budget"] == {axis: pytest.approx(removed, abs=1e-4)}


def test_a_share_that_is_met_exactly_takes_no_further_head(tmp_path):
    run = head_pruning_run(tmp_path)
    share = 3 * PER_HEAD / encoders.parameters(run.start()).encoder
    RandomHeads(budget={"encoder_parameters": share}).compress(run)
    assert sum(map(len, run.notes["removed_heads"])) == 3


def test_heads_as_a_budget_are_heads_as_a_share(tmp_path):
    kept = []
    for fields in ({"heads": 0.5}, {"budget": {"heads": 0.5}}):
        run = head_pruning_run(tmp_path)
        RandomHeads(**fields).compress(run)
        kept.append(run.notes["kept_heads"])
    assert kept[0] == kept[1]


def test_latency_is_what_the_clock_says(tmp_path, monkeypatch):
    """With a clock that counts heads, the budget is the share of heads, rounded up."""

    def relative(model, start):
        return sum(encoders.head_counts(model)) / sum(encoders.head_counts(start))

    monkeypatch.setattr(goal, "_relative_time", relative)
    run = head_pruning_run(tmp_path)
    RandomHeads(budget={"latency": 0.3}).compress(run)
    assert sum(map(len, run.notes["removed_heads"])) == 4
    assert run.notes["budget"] == {"latency": pytest.approx(4 / 12, abs=1e-4)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_clock_runs_on_every_kind_and_leaves_the_models_alone(kind):
    model = encoder(kind)
    before = checkpoint.architecture(model)
    assert 0.1 < goal._relative_time(model, deepcopy(model)) < 10
    assert checkpoint.architecture(model) == before


@pytest.mark.parametrize("method", ORDERED)
def test_a_floor_keeps_heads_in_every_layer(method, tmp_path):
    run = head_pruning_run(tmp_path)
    model = method(heads=0.75, floor=1).compress(run)
    assert encoders.head_counts(model) == [1] * LAYERS


def test_with_a_floor_the_rest_of_the_order_stands():
    order = [(0, 1), (0, 0), (1, 2), (0, 2), (1, 0), (1, 1)]
    left = {0: 3, 1: 3}
    assert removable(order, left) == order
    assert removable(order, left, 1) == [(0, 1), (0, 0), (1, 2), (1, 0)]
    assert removable(order, left, 2) == [(0, 1), (1, 2)]
    assert removable(order, left, 5) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 0.9, "floor": 1}, r"sixteen-heads: heads: 0.9 .* only 9 may go.*lower the floor"),
        ({"heads": 0.3, "floor": 4}, r"only 0 may go"),
        ({"budget": {"encoder_parameters": 0.9}}, r"encoder_parameters: 0.9 .* all 12 units .* make up 0\.5"),
        ({"budget": {"flops": 0.9}, "floor": 1}, r"flops: 0.9 .* all 9 units"),
        ({"heads": (0.5, 0.95), "floor": 1}, r"heads: 0.95"),
    ],
)
def test_more_than_the_model_allows_is_refused_before_importance_is_computed(fields, message, tmp_path):
    run = head_pruning_run(tmp_path)
    with pytest.raises(BadInput, match=message):
        SixteenHeads(**fields).compress(run)
    assert run.cost.flops == 0


@pytest.mark.parametrize("recompute", [False, True])
def test_a_list_of_shares_is_a_curve_of_nested_models(recompute, tmp_path):
    run = head_pruning_run(tmp_path)
    model = SixteenHeads(heads=[0.25, 0.5, 0.75], recompute=recompute, step=0.25).compress(run)
    assert list(run.stages) == ["heads-0.25", "heads-0.5", "heads-0.75"]
    staged = [checkpoint.load(folder) for folder in run.stages.values()]
    kept = [encoders.kept_heads(each) for each in staged]
    assert [sum(map(len, heads)) for heads in kept] == [9, 6, 3]
    assert kept[-1] == encoders.kept_heads(model) == run.notes["kept_heads"]
    for more, less in ((kept[0], kept[1]), (kept[1], kept[2])):
        assert all(set(few) <= set(many) for many, few in zip(more, less, strict=True))
    ranked = [run.start(), *(staged[:2] if recompute else ())]
    batches = list(in_order(run.train, 32))
    assert run.cost.flops == pytest.approx(sum(head_importance(each, batches).cost.flops for each in ranked))


def test_a_point_of_a_curve_is_the_trial_of_its_share(tmp_path):
    curve, single = head_pruning_run(tmp_path), head_pruning_run(tmp_path)
    SixteenHeads(heads=[0.25, 0.5]).compress(curve)
    SixteenHeads(heads=0.5).compress(single)
    assert curve.notes["kept_heads"] == single.notes["kept_heads"]
    assert single.stages == {}


def test_every_point_of_a_curve_is_trained(tmp_path):
    run = head_pruning_run(tmp_path)
    RandomHeads(heads=[0.25, 0.5], steps=2).compress(run)
    assert (run.cost.steps, run.fits) == (4, 2)


def test_steps_and_rate_are_those_of_the_training(tmp_path, monkeypatch):
    seen = []
    fit = Run.fit

    def spy(self, model, **settings):
        seen.append((settings["steps"], settings["training"].learning_rate))
        return fit(self, model, **settings)

    monkeypatch.setattr(Run, "fit", spy)
    RandomHeads(steps=2, learning_rate=5e-4).compress(head_pruning_run(tmp_path))
    RandomHeads(epochs=1).compress(head_pruning_run(tmp_path))
    assert seen == [(2, 5e-4), (None, 1e-3)]


def test_the_gap_between_train_and_choice_is_noted_before_and_after(tmp_path):
    run = head_pruning_run(tmp_path)
    model = RandomHeads(heads=0.5, steps=8).compress(run)
    noted = run.notes["train_choice_gap"]
    for which, scored in (("before", run.start()), ("after", model)):
        train = run.train.sample(4, run.seeds.split)
        expected = (run.score(scored, train)["accuracy"], run.score(scored, run.choice)["accuracy"])
        assert (noted[which]["train"], noted[which]["choice"]) == expected
        assert noted[which]["gap"] == expected[0] - expected[1]


def test_without_selection_examples_there_is_nothing_to_judge_by(tmp_path):
    run = head_pruning_run(tmp_path)
    run.choice = run.choice.subset([])
    with pytest.raises(BadInput, match=r"no examples to score on.*selection"):
        RandomHeads().compress(run)


@pytest.mark.parametrize("method", [*ORDERED, L0Heads, FfnNeurons])
def test_an_encoder_of_an_unknown_kind_is_refused_with_those_that_work(method, tmp_path, monkeypatch):
    shape = {"hidden_size": 32, "num_attention_heads": HEADS, "intermediate_size": 48, "vocab_size": 60}
    albert = AlbertForSequenceClassification(AlbertConfig(**shape, embedding_size=16, num_hidden_layers=2))
    monkeypatch.setattr(Run, "start", lambda run: albert)
    with pytest.raises(BadInput, match=r"'albert'.*bert, roberta, electra, distilbert"):
        method().compress(head_pruning_run(tmp_path))
