"""A study through the real command line, on bundled data and the tiny encoder."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from small_world import Done, attempts, board, records

STUDY = ("study", "head-ablation", "--task", "cola", "--model", "./model", "--data", "bundled")
SMALL = ("--seeds", "1", "--limit", "96", "--set", "train.epochs=1", "--set", "train.max_length=32")


@pytest.fixture(scope="module")
def finished(world) -> Done:
    return world.call(*STUDY, "--task", "sst2", *SMALL)


@pytest.fixture(scope="module")
def output(world, finished) -> Path:
    assert finished.code == 0, finished.text
    return world.folder / "runs" / "studies"


def test_a_study_runs_its_start_model_and_its_trial_and_says_what_it_found(finished, output):
    found = records(output)
    assert set(found) == {
        f"{work}.{task}.1" for work in ("finetune", "head-ablation") for task in ("cola", "sst2")
    }
    assert found["head-ablation.cola.1"]["kind"] == "study"
    assert len(found["head-ablation.cola.1"]["variants"]) == 1 + 2 * 4
    assert "of 8 heads can each go alone" in finished.out
    assert "4 run now" in finished.out
    folder = output / "studies" / "head-ablation"
    assert {"index.md", "table.md", "table.csv", "figure.svg", "figure.png"} <= {
        f.name for f in folder.iterdir()
    }
    assert "Bundled sample data" in (folder / "index.md").read_text()
    assert str(folder / "index.md") in finished.out


def test_its_files_are_artifacts_in_mlflow(output):
    with sqlite3.connect(output / "mlflow.db") as database:
        kinds = {kind for (kind,) in database.execute("select value from tags where key = 'leanboard.kind'")}
    assert "study" in kinds
    shown = {
        path.relative_to(output / "mlartifacts").parts[-3:] for path in (output / "mlartifacts").rglob("*")
    }
    assert ("studies", "head-ablation", "figure.svg") in shown


def test_another_study_of_the_same_trials_runs_nothing(world, output):
    before = attempts(output)
    words = ["transfer" if word == "head-ablation" else word for word in STUDY]
    done = world.call(*words, *SMALL, "--option", "first=60")
    assert done.code == 0, done.text
    assert "0 run now, 1 cached" in done.out
    assert attempts(output) == before
    assert (output / "studies" / "transfer:first=60" / "table.csv").exists()


def test_a_sweep_with_the_study_finds_all_of_it_there(world, output):
    before = attempts(output)
    small = {"tasks": ["cola"], "data": "bundled", "seeds": 1, "limit": 96, "latency": None}
    train = {"epochs": 1, "max_length": 32}
    sweep = world.sweep("both", methods=["finetune"], studies=["head-ablation"], train=train, **small)
    plan = json.loads(world.call("plan", sweep, "-o", output, "--json").out)
    assert (plan["to_run"], plan["trials"], plan["studies"]) == (0, 1, 1)
    done = world.call("run", sweep, "-o", output)
    assert done.code == 0, done.text
    assert "0 run now, 2 cached, 0 without a result" in done.out
    assert str(output / "studies" / "head-ablation" / "index.md") in done.out
    done = world.call("study", "layerwise", "--sweep", sweep, "-o", output)
    assert done.code == 0, done.text
    assert "No method of this sweep has left a score after each layer" in done.out
    assert attempts(output) == before


def test_a_study_of_one_task_leaves_the_leaderboard_of_all_as_it_is(world, output):
    small = {"tasks": ["cola", "sst2"], "data": "bundled", "seeds": 1, "limit": 96, "latency": None}
    sweep = world.sweep("wide", methods=["finetune"], train={"epochs": 1, "max_length": 32}, **small)
    done = world.call("run", sweep, "-o", output)
    assert done.code == 0, done.text
    assert "0 run now, 2 cached" in done.out
    before = board(output)
    done = world.call("study", "head-ablation", "--sweep", sweep, "--task", "cola", "-o", output)
    assert done.code == 0, done.text
    assert board(output)["rows"] == before["rows"] and before["complete"]
    assert "1 / 0 / 0 │ 1 / 0 / 0" in world.call("status", str(output)).out
    assert str(output / "studies" / "head-ablation" / "index.md") in world.call("report", str(output)).out
