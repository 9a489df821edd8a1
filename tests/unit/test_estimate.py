from __future__ import annotations

import pytest
from small_plans import METHODS, node_record, plan

from benchmark.estimate import estimate
from tasks.glue import RTE


def took(built, seconds: dict[str, float]):
    return [
        node_record(built, node, seconds={"total": seconds[node.label]})
        for node in built.nodes.values()
        if node.label in seconds
    ]


def test_nothing_measured_nothing_known():
    built = plan()
    assert estimate(built.nodes, [], built.kept, 10).seconds is None


def test_nodes_take_what_their_like_took():
    built = plan(METHODS, [RTE], range(1, 6))
    records = took(built, {"finetune": 10.0, "teacher-outputs": 1.0, "sixteen-heads:heads=0.5": 2.0})
    missing = {key: node for key, node in built.nodes.items() if node.label.startswith("sixteen")}
    assert estimate(missing, records, built.kept, 0).seconds == 10.0


def test_others_are_guessed_by_their_cost():
    built = plan(METHODS, [RTE], [1])
    missing = {key: node for key, node in built.nodes.items() if node.label == "kd:layers=3"}
    found = estimate(missing, took(built, {"finetune": 10.0}), built.kept, 0)
    assert found.seconds == pytest.approx(10 * METHODS[2].cost())


def test_another_task_is_a_guide_too():
    both = plan(METHODS, seeds=[1])
    records = [record for record in took(both, {"finetune": 10.0}) if record.task == "rte"]
    missing = {key: node for key, node in both.nodes.items() if node.task == "sst2"}
    expected = sum(10 * node.work.cost() for node in missing.values())
    assert estimate(missing, records, both.kept, 0).seconds == pytest.approx(expected)


def test_a_slow_outlier_does_not_count():
    built = plan(METHODS[:1], [RTE], range(1, 6))
    records = took(built, {"finetune": 10.0})
    records[0] = records[0].model_copy(update={"seconds": {"total": 1e6}})
    assert estimate(built.nodes, records, set(), 0).seconds == pytest.approx(50.0)


def test_disk_is_for_weights_that_are_kept_and_not_there():
    built = plan(METHODS, [RTE], [1, 2])
    starts = {key for key, node in built.nodes.items() if node.label == "finetune"}
    assert estimate(built.nodes, [], starts, 100).disk_bytes == 200
    assert estimate({}, [], starts, 100).disk_bytes == 0


def test_nothing_to_do_takes_no_time():
    built = plan()
    found = estimate({}, took(built, {"finetune": 10.0}), built.kept, 10)
    assert (found.seconds, found.disk_bytes) == (0.0, 0)
