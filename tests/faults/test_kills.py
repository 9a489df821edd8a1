"""Drivers, workers and a node of a cluster killed at random moments; every trial counts once in the end."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import time
import venv
from pathlib import Path

import psutil
import pytest
from small_world import World, attempts, await_records, board, cells, end, failures, records

METHODS = ["finetune", *({"sleeps": {"seconds": 0.5 + number / 100}} for number in range(8))]


@pytest.fixture
def world(tmp_path):
    made = World.make(tmp_path)
    yield made
    made.clear()


def contents(output: Path) -> dict[Path, tuple[int, bytes]]:
    """Time and content of every file of every whole record."""
    found = {}
    for path in (output / "records").glob("*/record.json"):
        named = json.loads(path.read_text())["files"].values()
        for file in (path, *(path.parent / one["path"] for one in named)):
            found[file] = (file.stat().st_mtime_ns, file.read_bytes())
    return found


def begun(output: Path) -> dict[str, int]:
    """How often the nodes that have a record were begun."""
    counts = attempts(output)
    return {key: counts[key] for key in counts if (output / "records" / key / "record.json").exists()}


def check_complete(output: Path, tasks: int, seeds: int) -> None:
    """Every trial stands exactly once on the leaderboard."""
    content = board(output)
    assert content["complete"] is True
    assert len(content["rows"]) == len(METHODS) * tasks
    for row in content["rows"]:
        assert row["seeds"] == list(range(1, seeds + 1))
        assert len(row["scores"]) == seeds
    assert len(cells(output)) == len(METHODS) * tasks
    assert len(records(output)) == len(METHODS) * tasks * seeds


def kill_a_worker(world: World, driver: subprocess.Popen[str], rng: random.Random) -> None:
    """Kill a worker at some moment of its life, once there is one."""
    while not (workers := world.workers()):
        assert driver.poll() is None, end(driver).text
        time.sleep(0.1)
    time.sleep(rng.uniform(0, 3))
    with contextlib.suppress(psutil.NoSuchProcess):
        rng.choice(workers).kill()


def test_ten_kills_of_drivers_and_workers(world):
    """Three times two workers and then the driver, and one more worker; what was whole stays as it was."""
    rng = random.Random(20)
    sweep = world.sweep("killed", tasks=["sst2"], methods=METHODS, seeds=5, latency=None)
    output = world.folder / "runs" / "killed"
    whole: dict[Path, tuple[int, bytes]] = {}
    before: dict[str, int] = {}
    for _ in range(3):
        driver = world.start("run", sweep)
        await_records(output, len(before) + rng.randint(0, 4), driver)
        for _ in range(2):
            kill_a_worker(world, driver, rng)
        time.sleep(rng.uniform(0, 6))
        driver.kill()
        end(driver)
        world.await_silence()
        now = contents(output)
        assert whole.items() <= now.items(), "a whole record was touched"
        assert before.items() <= begun(output).items(), "a finished trial was begun again"
        whole, before = now, begun(output)
    assert 0 < len(before) < 45, "the kills came too early or too late to say anything"
    driver = world.start("run", sweep)
    kill_a_worker(world, driver, rng)
    done = end(driver)
    assert done.code == 0, done.text
    assert "damaged" not in done.out
    assert whole.items() <= contents(output).items(), "a whole record was touched"
    assert before.items() <= begun(output).items(), "a finished trial was begun again"
    check_complete(output, tasks=1, seeds=5)
    again = world.call("run", sweep)
    assert "0 run now, 45 cached, 0 without a result" in again.out


def test_two_drivers_on_one_store_do_no_harm(world):
    sweep = world.sweep("shared", tasks=["sst2"], methods=METHODS, seeds=2, latency=None)
    output = world.folder / "runs" / "shared"
    drivers = [world.start("run", sweep, "--cpus", "1") for _ in range(2)]
    for driver in drivers:
        done = end(driver)
        assert done.code == 0, done.text
        assert "damaged" not in done.out
    check_complete(output, tasks=1, seeds=2)
    assert failures(output) == {}
    again = world.call("run", sweep)
    assert again.code == 0, again.text
    assert "0 run now, 18 cached, 0 without a result" in again.out


# -- a cluster -------------------------------------------------------------------------------------------

CLUSTER = """
import sys
from ray.cluster_utils import Cluster
facts = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=facts)
second = cluster.add_node(**facts)
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
    print("killed", flush=True)
"""


@pytest.fixture
def bare_python(tmp_path) -> Path:
    """A Python with all we depend on and without the project."""
    venv.create(tmp_path / "bare", with_pip=False)
    (site,) = (tmp_path / "bare" / "lib").glob("python*/site-packages")
    # Of the folder only what lies in it is found: its own .pth files, the project's among them, are not read.
    (site / "dependencies.pth").write_text(str(Path(pytest.__file__).parents[1]) + "\n")
    python = tmp_path / "bare" / "bin" / "python"
    look = [str(python), "-c", "import ray, torch; import benchmark"]
    done = subprocess.run(look, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "No module named 'benchmark'" not in done.stderr:
        pytest.skip("the project is installed beside its dependencies, so a Python without it cannot be made")
    return python


@pytest.fixture
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


def test_a_node_of_a_cluster_is_lost_in_mid_sweep(world, cluster):
    process, address = cluster
    heads = [{"sixteen-heads": {"heads": share / 100}} for share in range(30, 75, 5)]
    sweep = world.sweep("nodes", tasks=["sst2"], methods=["finetune", *heads], seeds=2, latency=None)
    output = world.folder / "runs" / "nodes"
    driver = world.start("run", sweep, "--address", address)
    await_records(output, 5, driver)
    process.stdin.write("kill\n")
    process.stdin.flush()
    assert process.stdout.readline() == "killed\n"
    done = end(driver)
    assert done.code == 0, done.text
    assert board(output)["complete"] is True
    assert len(records(output)) == 20
    assert all(len(scores) == 2 for scores in cells(output).values())
    # Our code came with the run, not from where the node was started.
    assert not (world.folder / "node" / "runs").exists()


def test_a_store_that_other_nodes_cannot_see_is_refused(world, cluster):
    _, address = cluster
    done = world.call("run", world.sweep("blind"), "--address", address, "-o", "memory://nowhere")
    assert done.code == 2, done.text
    assert "memory://nowhere: not visible from node" in done.err
    assert "use a folder that all nodes share or an object store" in done.err
