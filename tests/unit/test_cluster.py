from __future__ import annotations

import json
import os
import socket
import threading
from types import SimpleNamespace

import pytest
from ray.exceptions import NodeDiedError, TaskUnschedulableError, WorkerCrashedError

from benchmark.cluster import cluster
from benchmark.config.load import make_sweep
from benchmark.config.sweep import Resources
from benchmark.plan import job
from benchmark.store.store import Store
from tasks.errors import BadInput


@pytest.fixture
def nodes(monkeypatch):
    """Pretend to be connected to a cluster of such nodes."""

    def pretend(*resources: dict[str, float], autoscaler: tuple[dict[str, float], ...] = ()) -> None:
        found = [{"Alive": True, "Resources": each} for each in resources]
        found.append({"Alive": False, "Resources": {"CPU": 10_000.0, "GPU": 10_000.0}})
        monkeypatch.setattr(cluster.ray, "nodes", lambda: found)
        monkeypatch.setattr(
            cluster,
            "_autoscaler_could",
            lambda wanted: any(cluster._fits(group, wanted) for group in autoscaler),
        )

    return pretend


@pytest.mark.parametrize(
    ("resources", "wanted", "expected"),
    [
        ([{"CPU": 2.0}], [{"cpu": 1}], 2),
        ([{"CPU": 2.0}, {"CPU": 3.0}], [{"cpu": 1}], 5),
        ([{"CPU": 2.0}, {"CPU": 3.0}], [{"cpu": 2}], 2),
        ([{"CPU": 1.0}], [{"cpu": 0.1}], 10),
        ([{"CPU": 8.0, "GPU": 1.0}], [{"cpu": 1, "gpu": 0.25}], 4),
        ([{"CPU": 2.0, "GPU": 1.0}], [{"cpu": 1, "gpu": 0.25}], 2),
        ([{"CPU": 8.0, "GPU": 1.0}], [{"cpu": 1, "gpu": 0.1}], 8),
        ([{"CPU": 4.0}, {"CPU": 4.0, "GPU": 2.0}], [{"cpu": 2, "gpu": 1}], 2),
        ([{"CPU": 4.0}], [{"cpu": 4}, {"cpu": 1}], 4),
    ],
)
def test_slots_at_the_smallest_request(nodes, resources, wanted, expected):
    nodes(*resources)
    requests = {f"resources.methods.{n}": Resources(**each) for n, each in enumerate(wanted)}
    assert cluster.wait_for(requests, 60, pytest.fail) == expected


@pytest.mark.parametrize(
    ("resources", "wanted", "fragments"),
    [
        (
            [{"CPU": 2.0}],
            {"cpu": 3},
            ["3 CPUs and 0 GPUs", "2 CPUs and 0 GPUs", "lower resources.methods.kd.cpu", "--address"],
        ),
        ([{"CPU": 2.0}, {"CPU": 2.0}], {"cpu": 4}, ["4 CPUs", "largest node has 2 CPUs"]),
        ([{"CPU": 2.0}], {"cpu": 1, "gpu": 0.5}, ["0.5 GPUs", "0 GPUs"]),
        ([{"CPU": 2.0, "GPU": 1.0}], {"cpu": 1, "gpu": 2}, ["2 GPUs", "2 CPUs and 1 GPUs"]),
        ([{"CPU": 8.0}, {"CPU": 1.0, "GPU": 4.0}], {"cpu": 2, "gpu": 1}, ["2 CPUs and 1 GPUs"]),
        ([], {"cpu": 1}, ["0 CPUs"]),
    ],
)
def test_what_no_node_could_hold_is_refused(nodes, resources, wanted, fragments):
    nodes(*resources)
    with pytest.raises(BadInput) as caught:
        cluster.wait_for({"resources.methods.kd": Resources(**wanted)}, 60, pytest.fail)
    for fragment in ["resources.methods.kd: a trial asks for", *fragments]:
        assert fragment in str(caught.value)


def test_an_autoscaler_is_waited_for_and_not_for_ever(nodes, monkeypatch):
    nodes({"CPU": 0.0}, autoscaler=({"CPU": 4.0},))
    asked = []
    monkeypatch.setattr(cluster, "request_resources", lambda bundles: asked.append(bundles))
    monkeypatch.setattr(cluster.time, "sleep", lambda seconds: None)
    said = []
    with pytest.raises(
        BadInput, match=r"1 CPUs and 0 GPUs, and no node had room for it after 0\.05 s.*--wait"
    ):
        cluster.wait_for({"resources": Resources()}, 0.05, said.append)
    assert said
    assert asked == [[{"CPU": 1.0, "GPU": 0.0}], []]

    def grow(seconds: float) -> None:
        nodes({"CPU": 0.0}, {"CPU": 4.0})

    monkeypatch.setattr(cluster.time, "sleep", grow)
    assert cluster.wait_for({"resources": Resources()}, 600, said.append) == 4


def test_every_kind_of_trial_has_room_before_any_runs(nodes, monkeypatch):
    """What no node ever holds waits in Tune without a word, and keeps the others from being handed out."""
    nodes({"CPU": 4.0}, autoscaler=({"CPU": 8.0, "GPU": 1.0},))
    asked = []
    monkeypatch.setattr(cluster, "request_resources", lambda bundles: asked.append(bundles))
    monkeypatch.setattr(cluster.time, "sleep", lambda seconds: None)
    requests = {"resources": Resources(), "resources.methods.kd": Resources(cpu=2, gpu=1)}
    with pytest.raises(BadInput) as caught:
        cluster.wait_for(requests, 0.05, lambda line: None)
    for fragment in (
        "resources.methods.kd: a trial asks for 2 CPUs and 1 GPUs",
        "no node had room for it after 0.05 s",
        "lower resources.methods.kd.cpu or resources.methods.kd.gpu",
    ):
        assert fragment in str(caught.value)
    assert asked == [[{"CPU": 1.0, "GPU": 0.0}, {"CPU": 2.0, "GPU": 1.0}], []]


def test_a_node_that_goes_while_another_is_waited_for_is_waited_for_too(nodes, monkeypatch):
    large, with_gpu = {"CPU": 8.0}, {"CPU": 4.0, "GPU": 1.0}
    there = iter([[with_gpu], [with_gpu, large]])
    asked = []
    monkeypatch.setattr(cluster, "request_resources", lambda bundles: asked.append(bundles))
    monkeypatch.setattr(
        cluster.time, "sleep", lambda seconds: nodes(*next(there), autoscaler=(large, with_gpu))
    )
    nodes(large, autoscaler=(large, with_gpu))
    requests = {"resources": Resources(cpu=6), "resources.methods.kd": Resources(cpu=2, gpu=1)}
    assert cluster.wait_for(requests, 600, lambda line: None) == 1
    assert asked == [[{"CPU": 6.0, "GPU": 0.0}, {"CPU": 2.0, "GPU": 1.0}], []]


def test_a_request_is_named_by_the_key_that_makes_it(tmp_path):
    resources = {"cpu": 1, "methods": {"kd": {"cpu": 2}, "auber": {"gpu": 1}}}
    fields = {"name": "a", "model": "minilm", "data": "bundled", "tasks": ["rte"]}
    sweep = make_sweep({**fields, "methods": ["finetune", "kd"], "resources": resources}, folder=tmp_path)
    made = job.resolve(sweep, output=str(tmp_path / "out"))
    assert made.requests(made.plan.nodes.values()) == {
        "resources": Resources(cpu=1),
        "resources.methods.kd": Resources(cpu=2),
    }
    starts = [node for node in made.plan.nodes.values() if node.label == "finetune"]
    assert made.requests(starts) == {"resources": Resources(cpu=1)}


@pytest.fixture
def environment(monkeypatch) -> None:
    """Let what `connected` sets for Ray end with the test."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.mark.usefixtures("environment")
def test_a_job_that_was_submitted_with_a_working_directory_connects(monkeypatch):
    """Ray refuses two unless told otherwise, and without one the sweep's file does not reach the cluster."""
    from ray._private import services

    def stop(*address):
        raise ConnectionError("this is where it would look for the cluster")

    submitted = {"runtime_env": {"working_dir": "gcs://submitted.zip"}, "metadata": {}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(submitted))
    monkeypatch.setattr(services, "canonicalize_bootstrap_address", stop)
    with (
        pytest.raises(BadInput, match=r"no Ray cluster answers there \(this is where it would look"),
        cluster.connected("auto", offline=True),
    ):
        pass


@pytest.mark.usefixtures("environment")
def test_what_ray_refuses_is_not_called_a_missing_cluster(monkeypatch):
    def refuse(**options):
        raise ValueError("Failed to merge the Job's runtime env")

    monkeypatch.setattr(cluster.ray, "init", refuse)
    with (
        pytest.raises(BadInput, match="--address auto: Ray refuses to connect: Failed to merge"),
        cluster.connected("auto", offline=True),
    ):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:6379", "127.0.0.1:port"])
def test_an_address_where_nobody_answers_is_refused_at_once(address):
    with pytest.raises(BadInput, match=f"--address {address}: no Ray cluster answers there"):
        cluster._check_answers(address)


def test_an_address_where_somebody_answers_is_tried():
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=server.accept, daemon=True).start()
        cluster._check_answers(f"127.0.0.1:{server.getsockname()[1]}")


def test_workers_are_told_what_decides_where_they_look(monkeypatch):
    monkeypatch.setenv("HF_HOME", "/models")
    monkeypatch.setenv("LEANBOARD_CACHE", "/cache")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3")
    monkeypatch.setenv("SECRET_OF_THE_USER", "x")
    variables = cluster._worker_environment(offline=False)
    assert variables["HF_HOME"] == "/models"
    assert variables["LEANBOARD_CACHE"] == "/cache"
    assert variables["AWS_ENDPOINT_URL"] == "http://s3"
    assert "SECRET_OF_THE_USER" not in variables
    assert "HF_HUB_OFFLINE" not in variables
    offline = cluster._worker_environment(offline=True)
    assert offline["HF_HUB_OFFLINE"] == offline["TRANSFORMERS_OFFLINE"] == "1"


def test_the_code_that_is_shipped_is_ours_alone(tmp_path):
    cluster._stage_code(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "leanboard",
        "benchmark",
        "methods",
        "tasks",
        "reports",
    }
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (tmp_path / "benchmark" / "trial" / "execute.py") in files
    assert not [path for path in files if path.suffix == ".pyc"]
    # Ray refuses a working directory above 500 MiB, and sends it through its head.
    assert sum(path.stat().st_size for path in files) < 20 * 2**20


@pytest.mark.parametrize(
    "lost",
    [
        TaskUnschedulableError("the node does not exist any more"),
        NodeDiedError("it died"),
        WorkerCrashedError(),
    ],
)
def test_a_node_that_dies_while_it_is_asked_is_not_called_blind(monkeypatch, tmp_path, lost):
    """Ray calls a dead node alive until it has missed its heartbeats; then it refuses the task."""
    answers = {"5e" * 28: None, "de" * 28: lost}

    def remote(**options):
        node = options["scheduling_strategy"].node_id
        return lambda function: SimpleNamespace(remote=lambda *given: (node, function(*given)))

    def get(reference):
        node, found = reference
        if answers[node]:
            raise answers[node]
        return found

    nodes = [{"Alive": True, "NodeID": node, "NodeManagerHostname": node} for node in answers]
    monkeypatch.setattr(cluster, "ray", SimpleNamespace(nodes=lambda: nodes, remote=remote, get=get))
    cluster.check_store(Store(str(tmp_path)))
    monkeypatch.setattr(cluster, "_read_marker", lambda url, marker: None)
    with pytest.raises(BadInput, match="not visible from node 5e5e"):
        cluster.check_store(Store(str(tmp_path)))
