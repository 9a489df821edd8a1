"""`leanboard prefetch` fetches from a Hub what the sweep then needs no network for."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tiny_hub import Repository, serve

from tasks.glue import RTE

COMMIT = "0123456789" * 4
MODEL = "someone/tiny-bert"
LOAD = (
    "import sys; from pathlib import Path; from methods import pretrained; from tasks.glue import RTE\n"
    f"source = pretrained.resolve({MODEL!r}, folder=Path('.'), offline=True)\n"
    "print(source.revision, pretrained.classifier(source, RTE, 1).config.num_hidden_layers)"
)


@pytest.fixture(scope="module")
def sweep(world):
    return world.sweep("fetched", model=MODEL, data=RTE.path, tasks=["rte"], methods=["finetune"])


@pytest.fixture(scope="module")
def prefetched(world, sweep):
    """The command with the Hub up; afterwards the Hub is gone."""
    hub = (
        Repository(world.folder / "model", MODEL, COMMIT, "models"),
        Repository(world.folder / "data", RTE.path, RTE.revision),
    )
    with serve(*hub) as url:
        world.environment["HF_ENDPOINT"] = url
        return world.call("prefetch", sweep)


def test_what_is_missing_is_named_before(world, sweep):
    done = world.call("plan", sweep, "--offline")
    assert done.code == 2
    assert MODEL in done.err
    assert "leanboard prefetch" in done.err


def test_it_says_what_is_there_now(prefetched):
    assert prefetched.code == 0, prefetched.text
    assert f"{MODEL} and 1 tasks are on this machine; run with --offline" in prefetched.out


def test_the_sweep_is_planned_without_a_network(world, sweep, prefetched):
    done = world.call("plan", sweep, "--offline", "--json")
    assert done.code == 0, done.text
    assert json.loads(done.out)["to_run"] == 2


def test_doctor_starts_what_a_run_needs_and_finds_the_sweeps_model_and_data(world, sweep, prefetched):
    done = world.call("doctor", sweep, "--offline", "--json")
    found = {finding["what"]: finding for finding in json.loads(done.out)}
    assert done.code == 0, done.text
    assert {"leanboard", "torch", "Ray", "MLflow", "data bundled"} <= set(found)
    assert found["Ray"]["ok"] and found["MLflow"]["ok"]
    assert found["model"]["found"].startswith(MODEL)
    assert found["data rte"]["found"] == "320 train, 80 validation"


def test_the_model_loads_without_a_network(world, prefetched):
    command = [sys.executable, "-c", LOAD]
    offline = {**world.variables(), "HF_HUB_OFFLINE": "1"}  # as `--offline` tells the workers
    done = subprocess.run(command, env=offline, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [COMMIT, "2"], done.stderr
