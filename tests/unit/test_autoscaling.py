from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from benchmark.cluster import cluster
from benchmark.config.sweep import Resources
from tasks.errors import BadInput

WANTED = {"resources": Resources(cpu=2, gpu=0.5)}


@pytest.fixture
def asked(monkeypatch):
    """What was asked of the autoscaler, in order."""
    calls: list[list[dict]] = []
    monkeypatch.setattr(cluster, "request_resources", lambda bundles: calls.append(bundles))
    monkeypatch.setattr(cluster.time, "sleep", lambda seconds: None)
    return calls


@pytest.fixture
def grow(monkeypatch):
    """Let the cluster have room for so many trials, one number for each look at it."""

    def pretend(*slots: int) -> None:
        sizes = iter(slots)

        def look(wanted):
            size = next(sizes)
            return size, {} if size else wanted

        monkeypatch.setattr(cluster, "_room", look)

    return pretend


def test_a_cluster_with_room_is_asked_for_nothing(grow, asked):
    grow(3)
    assert cluster.wait_for(WANTED, 60, print) == 3
    assert asked == []


def test_an_empty_cluster_is_asked_for_one_trial_and_released(grow, asked):
    grow(0, 0, 0, 2)
    said: list[str] = []
    assert cluster.wait_for(WANTED, 60, said.append) == 2
    assert asked == [[{"CPU": 2, "GPU": 0.5}], []]
    assert said == ["waiting for the cluster to grow"]


def test_waiting_ends_with_advice(grow, asked):
    grow(*[0] * 9)
    with pytest.raises(BadInput, match="raise --wait"):
        cluster.wait_for(WANTED, 0, print)
    assert asked[-1] == []


@pytest.mark.parametrize(
    ("first", "second", "there"),
    [
        ([], ["node_0a1b"], False),
        (["node_0a1b"], ["node_0a1b"], False),
        (["head"], ["node_0a1b"], True),
        ([], ["headgroup"], True),
    ],
)
def test_an_autoscaler_is_known_by_its_node_types(monkeypatch, first, second, there):
    report = {"autoscaler_report": {"active_nodes": dict.fromkeys(first, 1)}} if first else {}
    status = SimpleNamespace(
        active_nodes=[SimpleNamespace(ray_node_type_name=name) for name in second], idle_nodes=[]
    )
    monkeypatch.setattr(cluster, "_internal_kv_get", lambda key: json.dumps(report).encode())
    monkeypatch.setattr(cluster, "get_cluster_status", lambda address: status)
    monkeypatch.setattr(cluster.ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address=""))
    assert cluster._has_autoscaler() is there


def test_ray_client_is_refused():
    with pytest.raises(BadInput, match="Ray Client"), cluster.connected("ray://head:10001", offline=True):
        pass
