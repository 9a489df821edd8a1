"""Forward selection on AUBER's reward, within AUBER's evaluations."""

from __future__ import annotations

import pytest
from head_pruning_runs import head_pruning_run
from pydantic import ValidationError
from tiny_encoders import HEADS, KINDS, LAYERS

from methods import encoders
from methods.pruning import masked
from methods.pruning.auber import rewards
from methods.pruning.greedy_heads import GreedyHeads, forward_selection
from tasks.errors import BadInput

STILL = {"steps": 1, "learning_rate": 1e-12}
"""Training that changes nothing: gains add up."""


def counted(metric):
    calls = []

    def measure(sets):
        calls.extend(sets)
        return [metric(removed) for removed in sets]

    return measure, calls


def additive(values):
    return lambda removed: sum(values[head] for head in removed)


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ([0.1, -0.2, 0.3, -0.1], {0, 2}),
        ([-1, -1, -1, -1], set()),
        ([0.1, 0.1, 0.1, 0.1], {0, 1, 2}),
        ([0, 0, 0, 0], {0, 1, 2}),
        ([0, -1, 0, -1], {0, 2}),
    ],
)
def test_finds_the_best_set_of_independent_heads_and_keeps_one(values, chosen):
    measure, calls = counted(additive(values))
    assert forward_selection(range(4), measure, 1000) == chosen
    assert len(calls) == len(set(calls)) == 1 + 4 + 3 + 2


def test_the_length_it_takes_where_nothing_is_said_is_in_its_cost():
    assert GreedyHeads().cost() == pytest.approx(GreedyHeads(epochs=3).cost())
    assert GreedyHeads(steps=60).cost() < GreedyHeads().cost() < GreedyHeads(epochs=5).cost()


def test_no_training_at_all_is_refused_since_zero_epochs_used_to_mean_three():
    with pytest.raises(ValidationError, match="epochs\n  Input should be greater than 0"):
        GreedyHeads(epochs=0)
    assert GreedyHeads(**GreedyHeads().model_dump(mode="json")) == GreedyHeads(), "what a worker gets"
    # Records made when the default was 0 stay those of the default.
    default, three = GreedyHeads(), GreedyHeads(epochs=3)
    assert (default.label, default.deciding()["epochs"]) == ("greedy-heads", 0.0)
    assert (three.label, three.deciding()["epochs"]) == ("greedy-heads:epochs=3", 3.0)


def test_passes_through_a_fall_to_a_rise():
    metric = {frozenset(): 0, frozenset({2}): -0.5, frozenset({2, 1}): 1}
    measure, _ = counted(lambda removed: metric.get(removed, -1))
    assert forward_selection(range(3), measure, 1000) == {1, 2}


@pytest.mark.parametrize("most", range(1, 12))
def test_takes_no_more_evaluations_than_allowed(most):
    measure, calls = counted(additive([0.1, 0.2, 0.3, 0.4]))
    chosen = forward_selection(range(4), measure, most)
    assert len(calls) == min(most, 10)
    # A round that is cut short has seen the first heads only; a whole one finds the best.
    first = [set(), {0}, {1}, {2}, {3}, {3, 0}, {3, 1}, {3, 2}, {3, 2, 0}, {3, 2, 1}]
    assert chosen == first[min(most, 10) - 1]


def run_after_auber(folder, limits, **options):
    run = head_pruning_run(folder, **options)
    run.reward = run.train
    run.notes_of = {"auber": {"layers": [{"evaluations": limit} for limit in limits]}}
    return run


@pytest.mark.parametrize("kind", KINDS)
def test_goes_layer_by_layer_on_the_reward_split(kind, tmp_path):
    run = run_after_auber(tmp_path, [100, 3, 1], kind=kind)
    model = GreedyHeads(**STILL).compress(run)
    notes = run.notes["layers"]
    assert GreedyHeads(**STILL).reads() == ("auber",)
    assert [layer["evaluations"] for layer in notes] == [10, 3, 1]
    assert [layer["removed"] for layer in notes] == run.notes["removed_heads"]
    assert run.notes["kept_heads"] == encoders.kept_heads(model)
    assert all(1 <= count <= HEADS for count in encoders.head_counts(model))
    assert notes[2]["removed"] == []
    assert list(run.stages) == ["layer-0", "layer-1", "layer-2"]
    # With as good as no training in between, gains add up to the change of the score.
    before, after = run.score(run.start(), run.reward), run.score(model, run.reward)
    assert all(layer["gain"] >= 0 for layer in notes)
    gains = sum(layer["gain"] for layer in notes)
    assert gains == pytest.approx(100 * (after["accuracy"] - before["accuracy"]))


def test_trains_after_each_layer_that_lost_heads(tmp_path):
    run = run_after_auber(tmp_path, [100, 1, 100])
    GreedyHeads(steps=2).compress(run)
    assert run.fits == sum(map(bool, run.notes["removed_heads"])) <= 2


def test_a_layer_at_several_positions_is_searched_and_trained_for_once(tmp_path):
    """AUBER has one entry for each distinct layer."""
    run = run_after_auber(tmp_path, [100, 100], groups=[0, 1, 0])
    GreedyHeads(steps=2).compress(run)
    assert list(run.stages) == ["layer-0", "layer-1"]
    first, second, third = run.notes["removed_heads"]
    assert first == third
    assert run.fits == sum(map(bool, (first, second))) > 0


def test_where_nothing_is_said_it_trains_as_long_as_auber(tmp_path, monkeypatch):
    run, asked = run_after_auber(tmp_path, [100, 1, 1]), []
    monkeypatch.setattr(run, "fit", lambda model, *, steps, training: asked.append((steps, training.epochs)))
    GreedyHeads().compress(run)
    assert set(asked) == {(None, 3.0)}


def test_reward_examples_are_drawn_by_seed(tmp_path, monkeypatch):
    seen = []
    run = run_after_auber(tmp_path, [2, 1, 1])

    def spy(model, examples, **options):
        seen.append(examples.rows.tolist())
        return masked.WholeEvaluator(model, examples, **options)

    monkeypatch.setattr(rewards, "evaluator", spy)
    GreedyHeads(**STILL, reward_examples=10).compress(run)
    assert seen == [run.reward.sample(10, run.seeds.order).rows.tolist()] * LAYERS


def test_what_it_cannot_be_limited_by_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"greedy-heads: 'auber' noted evaluations of 2 layers, .* has 3"):
        GreedyHeads(**STILL).compress(run_after_auber(tmp_path, [5, 5]))
    run = run_after_auber(tmp_path, [5, 5, 5])
    run.reward = run.reward.subset([])
    with pytest.raises(BadInput, match="no examples to judge"):
        GreedyHeads(**STILL).compress(run)
