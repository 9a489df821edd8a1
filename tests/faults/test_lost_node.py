"""A cluster of two nodes: what it cannot run is refused, what a lost node had is run again."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

import pytest
from small_world import World, await_records, board, cells, end, records

CLUSTER = """
import sys, time
from ray.cluster_utils import Cluster
facts = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=facts)
second = cluster.add_node(**facts)
print(cluster.address, flush=True)
for line in sys.stdin:
    if second:
        cluster.remove_node(second, allow_graceful=False)
        second = None
        # Ray calls it alive until it has missed its heartbeats.
        patience = time.monotonic() + 120
        while sum(node["Alive"] for node in cluster.global_state.node_table()) > 1:
            assert time.monotonic() < patience, "the killed node is still called alive"
            time.sleep(0.5)
    print("killed", flush=True)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World.make(tmp_path_factory.mktemp("world"))
    yield made
    made.clear()


@pytest.fixture(scope="module")
def bare_python(world) -> Path:
    """A Python with all we depend on and without the project."""
    folder = world.folder
    venv.create(folder / "bare", with_pip=False)
    (site,) = (folder / "bare" / "lib").glob("python*/site-packages")
    # Of the folder only what lies in it is found: its own .pth files, the project's among them, are not read.
    (site / "dependencies.pth").write_text(str(Path(pytest.__file__).parents[1]) + "\n")
    python = folder / "bare" / "bin" / "python"
    look = [str(python), "-c", "import ray, torch; import benchmark"]
    done = subprocess.run(look, cwd=folder, capture_output=True, text=True, check=False)
    if "No module named 'benchmark'" not in done.stderr:
        pytest.skip("the project is installed beside its dependencies, so a Python without it cannot be made")
    return python


@pytest.fixture(scope="module")
def cluster(world, bare_python):
    """Two Ray nodes of one CPU each, whose workers know nothing of the project."""
    (world.folder / "node").mkdir()
    facts = {**world.variables(), "PYTHONPATH": "", "RAY_USAGE_STATS_ENABLED": "0"}
    process = subprocess.Popen(
        [str(bare_python), "-c", CLUSTER],
        cwd=world.folder / "node",
        env=facts,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    address = process.stdout.readline().strip()
    assert address, "no cluster"
    yield process, address
    process.stdin.close()
    process.kill()
    process.wait()


def kill_the_second(process: subprocess.Popen[str]) -> None:
    """Kill the second node, if that has not been done, and wait until Ray knows."""
    process.stdin.write("kill\n")
    process.stdin.flush()
    assert process.stdout.readline() == "killed\n"


def test_a_store_that_other_nodes_cannot_see_is_refused(world, cluster):
    _, address = cluster
    done = world.call("run", world.sweep("blind"), "--address", address, "-o", "memory://nowhere")
    assert done.code == 2, done.text
    assert "memory://nowhere: not visible from node" in done.err
    assert "use a folder that all nodes share or an object store" in done.err


def test_too_many_cpus_are_refused_at_once(world, cluster):
    _, address = cluster
    sweep = world.sweep("greedy", resources={"cpu": 999}, methods=["finetune"])
    done = world.call("run", sweep, "--address", address)
    assert done.code == 2, done.text
    assert "999 CPUs" in done.err
    assert "resources.cpu" in done.err
    assert not (world.folder / "runs" / "greedy" / "records").exists()


def test_a_node_of_a_cluster_is_lost_in_mid_sweep(world, cluster):
    process, address = cluster
    heads = [{"sixteen-heads": {"heads": share / 100}} for share in range(30, 75, 5)]
    sweep = world.sweep("nodes", tasks=["sst2"], methods=["finetune", *heads], seeds=2, latency=None)
    output = world.folder / "runs" / "nodes"
    driver = world.start("run", sweep, "--address", address)
    await_records(output, 5, driver)
    kill_the_second(process)
    done = end(driver)
    assert done.code == 0, done.text
    assert board(output)["complete"] is True
    assert len(records(output)) == 20
    assert all(len(scores) == 2 for scores in cells(output).values())
    # Our code came with the run, not from where the node was started.
    assert not (world.folder / "node" / "runs").exists()


def test_an_output_that_a_workers_node_does_not_see_ends_the_run(world, cluster):
    """Each process has a `memory://` of its own, as each node its own disk; a single node is not asked."""
    process, address = cluster
    kill_the_second(process)
    sweep = world.sweep("unseen", tasks=["rte"], methods=["finetune"], seeds=3, latency=None)
    driver = world.start("run", sweep, "--address", address, "-o", "memory://unseen")
    # Tune asks for trials for ten minutes where none runs; a record has a minute and a half to appear.
    done = end(driver, timeout=300)
    assert done.code == 2, done.text
    assert "the worker of finetune.rte.1 says it is done, but its record is not there" in done.err
    assert "use a folder that all nodes share or an object store" in done.err
