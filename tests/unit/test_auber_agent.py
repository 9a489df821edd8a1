import copy
import math
from itertools import combinations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from methods.pruning.auber.agent import BATCH, Agent, epsilon
from methods.pruning.auber.environment import Environment, play
from methods.pruning.auber.q_network import REMOVED_Q, QNetwork
from methods.pruning.auber.replay import CAPACITY, Replay

HEADS = 4
WIDTH = 64  # What is learnt does not need 512, and the tests' time does.
STATE = torch.tensor([0.4, 0.3, 0.2, 0.1])


def _agent(stop=0.2, heads=HEADS, seed=0, width=WIDTH):
    return Agent(heads, stop=stop, seed=[seed], width=width)


def _fill(agent, count=BATCH):
    rng = np.random.default_rng(1)
    while len(agent.replay) < count:
        action = int(rng.integers(HEADS + 1))
        after = STATE.clone()
        if action < HEADS:
            after[action] = 0
        agent.replay.push(STATE, action, float(rng.normal()), None if action == HEADS else after)


def _vector(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_epsilon_follows_its_schedule():
    assert epsilon(0) == 1.0
    assert epsilon(256) == pytest.approx(0.3995, abs=5e-5)
    assert epsilon(1000) == pytest.approx(0.0691, abs=5e-5)


def test_every_action_moves_epsilon_on_and_greedy_ones_do_not():
    agent = _agent()
    for _ in range(5):
        agent.act(STATE)
        agent.greedy(STATE)
    assert agent.actions == 5


def test_the_network_has_the_published_shape():
    network = QNetwork(12, stop=0.2)
    assert [tuple(p.shape) for p in network.parameters() if p.ndim == 2] == [
        (512, 12),
        (512, 512),
        (512, 512),
        (13, 512),
    ]
    assert {m.negative_slope for m in network.modules() if isinstance(m, torch.nn.LeakyReLU)} == {0.01}


@pytest.mark.parametrize("stop", [0.2, -1.0, None])
def test_values_of_removed_heads_and_of_stopping_are_constants_without_gradient(stop):
    torch.manual_seed(0)
    network = QNetwork(HEADS, stop=stop, width=8)
    state = torch.tensor([[0.4, 0.0, 0.2, 0.0], [0.4, 0.3, 0.2, 0.1]])
    values = network(state)
    assert values[0, 1] == values[0, 3] == REMOVED_Q == -5
    assert (values[1, :4] != REMOVED_Q).all()
    last = list(network.parameters())[-1]
    values.sum().backward()
    assert last.grad.tolist() == [2, 1, 2, 1, 0 if stop is not None else 2]
    if stop is not None:
        assert (values[:, 4] == stop).all()
    else:
        assert values[0, 4] != values[1, 4]


def test_random_actions_are_uniform_over_what_is_left():
    agent = _agent()
    agent.rng = np.random.default_rng(3)
    state = torch.tensor([0.4, 0.0, 0.2, 0.1])
    counts = np.zeros(HEADS + 1)
    for _ in range(2000):
        agent.actions = 0
        counts[agent.act(state)] += 1
    assert counts[1] == 0
    assert (np.abs(counts[[0, 2, 3, 4]] - 500) < 100).all()


def test_removed_heads_are_never_chosen_again_and_the_last_head_stays():
    agent = _agent(stop=-100.0)
    for seed in range(20):
        agent.rng, agent.actions = np.random.default_rng(seed), 0 if seed % 2 else 10**6
        for choose in (agent.act, agent.greedy):
            steps = Environment(STATE, None).rollout(choose)
            chosen = [step.action for step in steps[:-1]]
            assert len(set(chosen)) == len(chosen) <= HEADS - 1
            assert steps[-1].action == HEADS
    assert len(Environment(STATE, None).rollout(agent.greedy)) == HEADS


def test_replay_keeps_the_last_transitions_and_draws_none_twice():
    replay = Replay(1)
    for number in range(CAPACITY + 10):
        replay.push(torch.tensor([1.0]), 0, float(number), None)
    assert len(replay) == CAPACITY == 5000
    everything = replay.sample(CAPACITY, np.random.default_rng(0))
    assert sorted(everything.rewards.tolist()) == [float(number) for number in range(10, CAPACITY + 10)]
    few = Replay(1, capacity=8)
    for number in range(3):
        few.push(torch.tensor([1.0]), 0, float(number), torch.tensor([2.0]))
    assert sorted(few.sample(3, np.random.default_rng(0)).rewards.tolist()) == [0, 1, 2]
    other = Replay(1, capacity=8)
    other.load_state_dict(copy.deepcopy(few.state_dict()))
    assert len(other) == 3
    assert all(torch.equal(one, two) for one, two in zip(few.kept, other.kept, strict=True))


def test_nothing_is_learnt_before_128_transitions():
    agent = _agent()
    _fill(agent, BATCH - 1)
    before = _vector(agent.policy)
    agent.learn()
    assert agent.updates == 0 and torch.equal(_vector(agent.policy), before)
    _fill(agent)
    agent.learn()
    assert agent.updates == 1 and not torch.equal(_vector(agent.policy), before)


def test_an_update_is_sgd_on_the_huber_loss_to_bootstrapped_targets_with_clamped_gradients():
    agent = _agent()
    _fill(agent)
    agent.replay.kept.rewards[:60] *= 50  # Gradients that the clamp cuts.
    with torch.no_grad():
        for parameter in agent.policy.parameters():
            parameter.mul_(1.7)
    expected = copy.deepcopy(agent.policy)
    rng = copy.deepcopy(agent.rng)
    momentum = [torch.zeros_like(parameter) for parameter in expected.parameters()]
    cut = 0
    for _ in range(3):
        batch = agent.replay.sample(BATCH, rng)
        targets = torch.stack([
            reward if done else reward + agent.target(after).max()
            for reward, after, done in zip(batch.rewards, batch.next_states, batch.done, strict=True)
        ]).detach()  # fmt: skip
        values = expected(batch.states)[torch.arange(BATCH), batch.actions]
        error = (values - targets).abs()
        loss = torch.where(error < 1, error**2 / 2, error - 0.5).mean()
        assert loss.item() == pytest.approx(F.smooth_l1_loss(values, targets).item(), rel=1e-5)
        gradients = torch.autograd.grad(loss, list(expected.parameters()))
        cut += sum(int((gradient.abs() > 1).sum()) for gradient in gradients)
        with torch.no_grad():
            for parameter, gradient, speed in zip(expected.parameters(), gradients, momentum, strict=True):
                speed.mul_(0.9).add_(gradient.clamp(-1, 1))
                parameter.sub_(0.03 * speed)
        agent.learn()
    torch.testing.assert_close(_vector(agent.policy), _vector(expected), atol=1e-5, rtol=1e-4)


def test_the_target_network_changes_every_35th_episode_only():
    environment = Environment(STATE, lambda sets: [len(removed) / 100 for removed in sets])
    agent = _agent()
    _fill(agent)
    synced = []
    for episode in range(71):
        before = _vector(agent.target)
        play(agent, environment, episode)
        if not torch.equal(_vector(agent.target), before):
            synced.append(episode)
            assert torch.equal(_vector(agent.target), _vector(agent.policy))
    assert synced == [0, 35, 70]
    assert agent.updates == 71


def _converged(metric, heads=HEADS):
    """An agent after 3,000 updates on a table of metrics, and its environment."""
    state = torch.softmax(torch.linspace(-1.5, 1.5, heads), 0)
    environment = Environment(state, lambda sets: [metric(removed) for removed in sets])
    agent = _agent(heads=heads)
    episode = 0
    while agent.updates < 3000:
        play(agent, environment, episode)
        agent.learn()  # A second update, since playing takes longer than learning here.
        episode += 1
    return agent, environment


@pytest.mark.parametrize("seed", [1, 2])
def test_converged_the_greedy_policy_is_the_optimum_of_the_total_metric(seed):
    def draw(*key):
        return np.random.default_rng([seed, *key])

    alone = draw().normal(size=HEADS) / 100
    subsets = [frozenset(s) for count in range(HEADS) for s in combinations(range(HEADS), count)]
    table = {s: sum(alone[sorted(s)]) + draw(*sorted(s), 9).normal() / 200 for s in subsets}
    agent, environment = _converged(table.__getitem__)
    assert environment.rollout(agent.greedy)[-1].removed == max(table, key=table.__getitem__)


def test_converged_it_stops_at_once_where_every_removal_costs_a_point():
    agent, environment = _converged(lambda removed: -len(removed) / 100, heads=12)
    assert environment.rollout(agent.greedy)[-1].removed == frozenset()


def test_converged_it_removes_eleven_where_every_removal_gains_a_tenth():
    agent, environment = _converged(lambda removed: len(removed) / 1000, heads=12)
    assert len(environment.rollout(agent.greedy)[-1].removed) == 11


def test_an_agent_goes_on_as_the_one_it_was_saved_from():
    def environment():
        return Environment(STATE, lambda sets: [math.sin(sum(removed)) / 50 for removed in sets])

    def seen(agent, first, last):
        steps = [play(agent, place, episode)[-1].removed for episode in range(first, last)]
        return steps, _vector(agent.policy), _vector(agent.target), agent.actions, agent.updates

    place = environment()
    agent, other = _agent(), _agent(seed=5)
    _fill(agent)
    seen(agent, 0, 40)
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    (steps, *mine), (again, *theirs) = seen(agent, 40, 80), seen(other, 40, 80)
    assert steps == again
    assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(mine, theirs, strict=True))


def test_global_random_state_is_neither_read_nor_changed():
    torch.manual_seed(1)
    before, first = torch.random.get_rng_state(), _vector(_agent().policy)
    torch.testing.assert_close(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(_vector(_agent().policy), first)
    assert not torch.equal(_vector(_agent(seed=1).policy), first)
