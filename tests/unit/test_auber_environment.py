import numpy as np
import pytest
import torch
from head_pruning_runs import head_pruning_run
from tiny_encoders import HEADS, KINDS, encoder, examples

from methods.inference import predict
from methods.pruning.auber.environment import Environment
from methods.pruning.auber.rewards import Rewards, official_metric
from methods.pruning.surgery import prune_heads
from reports.metrics import score
from reports.record import Cost
from tasks.registry import task

STATE = torch.tensor([0.4, 0.3, 0.2, 0.1])


class Table:
    """Metrics by set, and what was asked for."""

    def __init__(self):
        self.calls = []

    def __call__(self, sets):
        self.calls.append(list(sets))
        return [self.value(removed) for removed in sets]

    @staticmethod
    def value(removed):
        return 0.5 + 0.01 * sum((-1) ** head * head for head in removed)


def _script(*actions):
    left = iter(actions)
    return lambda state: next(left)


def test_an_episode_removes_heads_in_turn_and_ends_with_stopping():
    steps = Environment(STATE, Table()).rollout(_script(2, 0, 4))
    assert [step.action for step in steps] == [2, 0, 4]
    assert [step.state.tolist() for step in steps] == [
        pytest.approx([0.4, 0.3, 0.2, 0.1]),
        pytest.approx([0.4, 0.3, 0.0, 0.1]),
        pytest.approx([0.0, 0.3, 0.0, 0.1]),
    ]
    assert [step.next_state is None for step in steps] == [False, False, True]
    assert torch.equal(steps[0].next_state, steps[1].state)
    assert [sorted(step.removed) for step in steps] == [[2], [0, 2], [0, 2]]
    assert STATE.tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_rewards_are_hundredfold_changes_and_add_up_to_the_gain():
    table = Table()
    environment = Environment(STATE, table)
    steps = environment.rollout(_script(3, 1, 2, 4))
    rewards = environment.rewards(steps)
    assert rewards == pytest.approx([-3, -1, 2, 0])
    total = 100 * (table.value({1, 2, 3}) - table.value(set()))
    assert sum(rewards) == pytest.approx(total, abs=1e-9)
    assert environment.gain(frozenset({1, 2, 3})) == pytest.approx(total, abs=1e-9)


def test_a_set_is_measured_once_in_whatever_order_it_came_and_new_ones_together():
    table = Table()
    environment = Environment(STATE, table)
    for script in ((0, 1, 4), (1, 0, 4), (1, 0, 2, 4)):
        environment.rewards(environment.rollout(_script(*script)))
    assert [[sorted(removed) for removed in call] for call in table.calls] == [
        [[], [0], [0, 1]],
        [[1]],
        [[0, 1, 2]],
    ]
    assert environment.best() == {0, 1, 2}
    again = Environment(STATE, table)
    again.load_state_dict(environment.state_dict())
    assert again.metrics == environment.metrics and list(again.metrics) == list(environment.metrics)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reward_is_the_metric_of_the_pruned_model_and_cached_ones_equal_fresh_ones(kind):
    model = encoder(kind)
    prune_heads(model, {1: {1}})
    data = examples(model, 40)
    environment = Environment(STATE[:3], Rewards(model, 1, data, "accuracy", bf16=False))
    environment.rewards(environment.rollout(_script(2, 0, 3)))
    assert len(environment.metrics) == 3
    for removed, metric in environment.metrics.items():
        assert Rewards(model, 1, data, "accuracy", bf16=False)([removed]) == [metric]
        pruned = encoder(kind)
        # Places among the heads left, 0, 2 and 3, are not their numbers.
        prune_heads(pruned, {1: {1} | {[0, 2, 3][place] for place in removed}})
        assert score(data.labels, predict(pruned, data), ["accuracy"])["accuracy"] == pytest.approx(metric)


def test_the_official_metric_is_accuracy_or_matthews():
    assert official_metric(task("mrpc")) == "accuracy" != task("mrpc").primary
    assert official_metric(task("cola")) == "matthews"


def test_measuring_costs_operations_and_is_no_training(tmp_path):
    run = head_pruning_run(tmp_path)
    rewards = Rewards(run.start(), 0, run.train, "accuracy", bf16=False)
    rewards([frozenset({head}) for head in range(HEADS)])
    assert np.isfinite(rewards.cost.flops) and rewards.cost.flops > 0
    assert rewards.cost == Cost(flops=rewards.cost.flops)
