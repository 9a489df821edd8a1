"""Runs from a folder of the user's own, without a network."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from small_world import (
    Done,
    records,
)

METHODS = ["finetune", {"kd": {"layers": 1}}]
ISOLATED = ("unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


@pytest.fixture(scope="module")
def elsewhere(world) -> tuple[Done, Path, bool]:
    """A run from a folder that holds modules called like ours, without a network where that is allowed."""
    folder = world.folder / "elsewhere"
    (folder / "methods").mkdir(parents=True)
    for name in ("tasks.py", "benchmark.py", "reports.py", "methods/__init__.py", "leanboard.py"):
        (folder / name).write_text("raise ImportError('this is the module of the user')\n")
    sweep = world.sweep("away", tasks=["rte"], methods=METHODS, seeds=1)
    allowed = subprocess.run([*ISOLATED, "true"], capture_output=True, check=False).returncode == 0
    done = world.call(
        "run", sweep, "--offline", "--cpus", "1", before=ISOLATED if allowed else (), cwd=folder
    )
    return done, folder / "runs" / "away", allowed


def test_the_users_own_modules_are_left_alone(elsewhere):
    done, output, _ = elsewhere
    assert done.code == 0, done.text
    assert set(records(output)) == {"finetune.rte.1", "kd:layers=1.rte.1", "teacher-outputs.rte.1"}


def test_offline_needs_no_network(elsewhere):
    done, output, allowed = elsewhere
    if not allowed:
        pytest.skip("`unshare -n` is not permitted here, so a machine without a network cannot be made")
    assert done.code == 0, done.text
    assert len(records(output)) == 3
