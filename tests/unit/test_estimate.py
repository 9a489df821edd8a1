"""What a plan will take: time from what its like took, bytes of weights and of teacher outputs."""

from __future__ import annotations

import json

import pytest
from small_plans import METHODS, node_record, plan

from benchmark.plan.estimate import estimate, sizes
from methods.baselines.finetune import Finetune
from methods.distillation.patient_kd import PatientKD
from methods.method import Size
from methods.pretrained import Source
from methods.pretraining.encoder import PretrainedEncoder
from methods.sharing.albert.albert import Albert
from tasks.glue import RTE


def weights(count: int):
    return lambda node: Size(examples=100, tokens=8, layers=6, hidden=32, heads=4, classes=2, weights=count)


def took(built, seconds: dict[str, float]):
    return [
        node_record(built, node, seconds={"total": seconds[node.label]})
        for node in built.nodes.values()
        if node.label in seconds
    ]


def test_nothing_measured_nothing_known():
    built = plan()
    assert estimate(built.nodes, [], built.kept, weights(10)).seconds is None


def test_nodes_take_what_their_like_took():
    built = plan(METHODS, [RTE], range(1, 6))
    records = took(built, {"finetune": 10.0, "teacher-outputs": 1.0, "sixteen-heads:heads=0.5": 2.0})
    missing = {key: node for key, node in built.nodes.items() if node.label.startswith("sixteen")}
    assert estimate(missing, records, built.kept, weights(0)).seconds == 10.0


def test_others_are_guessed_by_their_cost():
    built = plan(METHODS, [RTE], [1])
    missing = {key: node for key, node in built.nodes.items() if node.label == "kd:layers=3"}
    found = estimate(missing, took(built, {"finetune": 10.0}), built.kept, weights(0))
    assert found.seconds == pytest.approx(10 * METHODS[2].cost())


def test_another_task_is_a_guide_too():
    both = plan(METHODS, seeds=[1])
    records = [record for record in took(both, {"finetune": 10.0}) if record.task == "rte"]
    missing = {key: node for key, node in both.nodes.items() if node.task == "sst2"}
    expected = sum(10 * node.work.cost() for node in missing.values())
    assert estimate(missing, records, both.kept, weights(0)).seconds == pytest.approx(expected)


def test_a_slow_outlier_does_not_count():
    built = plan(METHODS[:1], [RTE], range(1, 6))
    records = took(built, {"finetune": 10.0})
    records[0] = records[0].model_copy(update={"seconds": {"total": 1e6}})
    assert estimate(built.nodes, records, set(), weights(0)).seconds == pytest.approx(50.0)


def test_disk_is_for_weights_that_are_kept_and_not_there():
    built = plan(METHODS, [RTE], [1, 2])
    starts = {key for key, node in built.nodes.items() if node.label == "finetune"}
    assert estimate(built.nodes, [], starts, weights(100)).disk_bytes == 200
    assert estimate({}, [], starts, weights(100)).disk_bytes == 0


def test_nothing_to_do_takes_no_time():
    built = plan()
    found = estimate({}, took(built, {"finetune": 10.0}), built.kept, weights(10))
    assert (found.seconds, found.disk_bytes, found.cache_bytes) == (0.0, 0, 0)


def test_teacher_outputs_and_states_are_counted_apart_from_weights():
    built = plan((*METHODS, PatientKD()), [RTE], [1, 2])
    found = estimate(built.nodes, [], built.kept, weights(1000))
    assert found.disk_bytes == 2 * 1000
    assert found.cache_bytes == 2 * (100 * 2 * 4 + 100 * 6 * 32 * 2)


def test_pretrained_encoders_are_weights_and_take_time_by_their_tokens():
    encoders = [PretrainedEncoder(), PretrainedEncoder(preset="smoke")]
    built = plan(
        [Finetune(), *(Albert(pretrained=encoder) for encoder in encoders)],
        [RTE],
        [1, 2],
        corpus={"sha256": "c" * 64},
    )
    found = estimate(built.nodes, took(built, {"finetune": 10.0}), built.kept, weights(1000))
    assert (found.disk_bytes, found.cache_bytes) == (2 * 1000, 0)
    assert found.seconds == pytest.approx(10 * (2 * 3 + 20 + 2), rel=0.01)


def test_sizes_come_from_the_declaration_and_the_config(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 12})
    )
    (tmp_path / "model.safetensors").write_bytes(b"1234")
    model = Source("m", None, str(tmp_path))
    for limit, examples in (
        (None, 2490 - 498),
        ({"rte": 1000}, 800),
        ({"sst2": 9}, 2490 - 498),
        (5000, 1992),
    ):
        built = plan(METHODS, [RTE], [1], limit=limit)
        size = sizes(built, model)(next(iter(built.nodes.values())))
        assert size == Size(examples, 128, layers=6, hidden=384, heads=12, classes=2, weights=4)
