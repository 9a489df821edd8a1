from __future__ import annotations

import random

import pytest
from small_plans import graph

from benchmark.plan.queue import MAX_LOSSES, Queue


def take_all(queue: Queue) -> list[str]:
    found = []
    while node := queue.take():
        found.append(node.fingerprint)
    return found


def test_the_longest_chain_is_handed_out_first():
    queue = Queue(graph({0: [], 1: [], 2: [1], 3: []}, hours={3: 1.5}))
    assert take_all(queue) == ["1", "3", "0"]
    assert queue.running == {"0", "1", "3"}
    assert queue.waiting == 1


def test_equal_chains_go_in_the_order_of_the_plan():
    assert take_all(Queue(graph({number: [] for number in range(12)}))) == [str(n) for n in range(12)]


def test_a_node_waits_for_all_it_needs():
    queue = Queue(graph({0: [], 1: [], 2: [0, 1]}))
    assert take_all(queue) == ["0", "1"]
    queue.complete("0")
    assert queue.take() is None
    queue.complete("1")
    assert take_all(queue) == ["2"]
    assert not queue.finished
    queue.complete("2")
    assert queue.finished


def test_needs_that_are_in_the_store_are_not_waited_for():
    nodes = graph({0: [], 1: [0]})
    del nodes["0"]
    assert take_all(Queue(nodes)) == ["1"]


def test_a_failure_takes_what_hangs_on_it():
    queue = Queue(graph({0: [], 1: [0], 2: [1], 3: [], 4: [3, 2]}))
    assert set(take_all(queue)) == {"0", "3"}
    assert [node.fingerprint for node in queue.fail("0", "oom")] == ["1", "2", "4"]
    assert queue.failed == {"0": "oom", "1": "prerequisite", "2": "prerequisite", "4": "prerequisite"}
    queue.complete("3")
    assert queue.take() is None
    assert queue.finished


def test_two_failures_above_one_node_strand_it_once():
    queue = Queue(graph({0: [], 1: [], 2: [0, 1]}))
    take_all(queue)
    assert [node.fingerprint for node in queue.fail("0", "error")] == ["2"]
    assert queue.fail("1", "error") == []
    assert queue.finished


def test_a_lost_node_is_handed_out_again_at_most_twice():
    queue = Queue(graph({0: [], 1: [0]}))
    for _ in range(MAX_LOSSES):
        assert queue.take().fingerprint == "0"
        assert queue.lost("0")
        assert "0" not in queue.running
    assert MAX_LOSSES == 2
    assert queue.take().fingerprint == "0"
    assert not queue.lost("0")
    assert queue.take() is None
    assert [node.fingerprint for node in queue.fail("0", "node_lost")] == ["1"]
    assert queue.finished


def test_losses_are_counted_by_node():
    queue = Queue(graph({0: [], 1: []}))
    take_all(queue)
    assert [queue.lost(key) for key in ("0", "1", "0", "1")] == [True] * 4
    assert not queue.lost("0")


@pytest.mark.parametrize("end", ["complete", "fail"])
def test_what_has_ended_is_not_changed_by_what_is_told_of_it_later(end):
    queue = Queue(graph({0: [], 1: [0], 2: [], 3: [2]}))
    take_all(queue)
    if end == "complete":
        queue.complete("0")
    else:
        queue.fail("0", "error")
    seen = (set(queue.done), dict(queue.failed), queue.work_done, queue.work_left)
    assert queue.lost("0") is False
    queue.complete("0")
    assert queue.fail("0", "node_lost") == []
    assert (set(queue.done), dict(queue.failed), queue.work_done, queue.work_left) == seen
    assert take_all(queue) == (["1"] if end == "complete" else [])
    queue.complete("2")
    assert take_all(queue) == ["3"], "once"


def test_an_empty_queue_is_finished():
    assert Queue({}).finished


@pytest.mark.parametrize("seed", range(60))
def test_random_plans_with_random_accidents(seed):
    """Nothing starts before its needs, nothing runs twice at once, nothing is forgotten."""
    rng = random.Random(seed)
    size, slots = rng.randint(1, 30), rng.randint(1, 4)
    needs = {n: rng.sample(range(n), min(n, rng.choice([0, 0, 1, 2, 3]))) for n in range(size)}
    queue = Queue(graph(needs, {n: rng.uniform(0.1, 5) for n in range(size)}))
    running: set[str] = set()
    handed_out = dict.fromkeys(queue.nodes, 0)
    ended: set[str] = set()
    while not queue.finished:
        while len(running) < slots and (node := queue.take()):
            key = node.fingerprint
            assert key not in running | ended
            assert all(need in queue.done for _, need in node.needs)
            running.add(key)
            handed_out[key] += 1
        assert running, "nothing runs and the queue is not finished"
        assert queue.running == running
        key = rng.choice(sorted(running))
        running.discard(key)
        accident = rng.random()
        if accident < 0.75:
            queue.complete(key)
        elif accident < 0.9 and queue.lost(key):
            continue
        else:
            ended |= {node.fingerprint for node in queue.fail(key, "error")}
        ended.add(key)
        assert queue.waiting == size - len(running) - len(ended)
    assert queue.take() is None
    assert ended == set(queue.nodes) == queue.done | queue.failed.keys()
    assert not queue.done & queue.failed.keys()
    assert all(count <= 1 + MAX_LOSSES for count in handed_out.values())
    for key in queue.failed:
        if queue.failed[key] == "prerequisite":
            assert any(need in queue.failed for _, need in queue.nodes[key].needs)
