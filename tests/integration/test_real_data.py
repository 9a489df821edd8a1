"""A small sweep of real tasks and a real encoder, through the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from small_world import World, attempts, board, records

from tasks.registry import task

SWEEP = {
    "name": "real",
    "model": "minilm",
    "tasks": ["SST-2", "rte"],
    "methods": ["finetune", {"sixteen-heads": {"heads": 0.3, "examples": 32}}],
    "seeds": 1,
    "latency": None,
    "train": {"epochs": 1, "max_length": 64, "learning_rate": 1e-4},
}


@pytest.mark.skipif("LEANBOARD_GLUE" not in os.environ, reason="LEANBOARD_GLUE names no folder of GLUE data")
def test_real_tasks_and_weights_go_the_same_way(tmp_path):
    world = World(tmp_path)
    (tmp_path / "real.yaml").write_text(yaml.safe_dump(SWEEP | {"data": os.environ["LEANBOARD_GLUE"]}))
    done = world.call("run", "real.yaml", "--limit", "160", "--cpus", "1")
    assert done.code == 0, done.text
    output = Path(tmp_path / "runs/real")
    assert len(records(output)) == 2 * 2
    for record in records(output).values():
        assert record["data"]["rows"]["validation"] == task(record["task"]).rows["validation"]
    assert set(attempts(output).values()) == {1}
    assert all(row["seeds"] == [1] for row in board(output)["rows"])
    again = world.call("run", "real.yaml", "--limit", "160")
    assert again.code == 0 and "0 run now, 4 cached" in again.out, again.text
    assert set(attempts(output).values()) == {1}
