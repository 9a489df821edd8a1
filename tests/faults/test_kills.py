"""Drivers and workers killed at random moments; every trial counts once in the end."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from small_world import World, attempts, await_records, board, cells, end, records

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
    """Twice three workers and then the driver, and two more workers; what was whole stays as it was."""
    rng = random.Random(20)
    sweep = world.sweep("killed", tasks=["sst2"], methods=METHODS, seeds=5, latency=None)
    output = world.folder / "runs" / "killed"
    whole: dict[Path, tuple[int, bytes]] = {}
    before: dict[str, int] = {}
    for least in range(2):
        driver = world.start("run", sweep, "--cpus", "1")
        await_records(output, len(before) + rng.randint(least, 4), driver)
        for _ in range(3):
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
    driver = world.start("run", sweep, "--cpus", "1")
    for _ in range(2):
        kill_a_worker(world, driver, rng)
    done = end(driver)
    assert done.code == 0, done.text
    assert "damaged" not in done.out
    assert whole.items() <= contents(output).items(), "a whole record was touched"
    assert before.items() <= begun(output).items(), "a finished trial was begun again"
    check_complete(output, tasks=1, seeds=5)
    again = world.call("run", sweep, "--cpus", "1")
    assert "0 run now, 45 cached, 0 without a result" in again.out
