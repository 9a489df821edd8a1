"""A worker killed in the middle of a pre-training: the node goes on where it was and learns the same."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from small_world import WORDS, World, attempts, end, failures, records

from benchmark.config.load import load_sweep
from benchmark.plan.job import resolve
from benchmark.trial.execute import execute

TINY = {"length": 32, "batch_size": 8, "accumulation": 1, "vocabulary": 64}
PAIR = {
    **TINY,
    **{"steps": 500, "transfer_share": 0.2, "inner": 8},
    "teacher": {**TINY, "steps": 20, "layers": 2, "heads": 2, "hidden": 16, "inner": 16, "embedding": 16},
}
METHODS = ["finetune", {"mobilebert": {"start": "pair", "epochs": 1, "pair": PAIR}}]


@pytest.fixture
def world(tmp_path):
    made = World.make(tmp_path)
    write_corpus(tmp_path / "corpus")
    yield made
    made.clear()


def write_corpus(folder: Path) -> None:
    """Documents of four paragraphs of two sentences."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    documents = [
        "\n".join(
            " ".join(f"{' '.join(rng.choice(WORDS, 6)).capitalize()}." for _ in range(2)) for _ in range(4)
        )
        for _ in range(60)
    ]
    (folder / "text.txt").write_text("\n\n".join(documents))


def transfer(output: Path) -> dict:
    (one,) = (one for one in records(output).values() if one["method"] == "mobilebert-transfer")
    return one


def curves(output: Path) -> list[tuple[str, int, list]]:
    """Of each phase name, steps and every point."""
    phases = transfer(output)["notes"]["transfer"]["phases"]
    return [(phase["phase"], phase["steps"], phase["curve"]) for phase in phases]


def test_a_killed_pretraining_goes_on_with_the_same_curve(world, monkeypatch):
    sweep = world.sweep("taught", corpus="./corpus", tasks=["rte"], methods=METHODS, seeds=1, latency=None)
    output, whole = world.folder / "runs" / "taught", world.folder / "runs" / "whole"
    driver = world.start("run", sweep, "--cpus", "1")
    until = time.monotonic() + 400
    while not list(output.glob("resume/*/*/2-layer-2.pt")):
        assert driver.poll() is None and time.monotonic() < until, end(driver).text
        time.sleep(0.02)
    (worker,) = world.workers()
    worker.kill()
    done = end(driver)
    assert done.code == 0, done.text
    assert "its worker died; handed out again" in done.out
    assert failures(output) == {}
    assert attempts(output)[transfer(output)["fingerprint"]] == 2
    assert not list(output.glob("resume/*/*")), "what is done needs no checkpoint"

    monkeypatch.setenv("LEANBOARD_CACHE", str(world.folder / "cache"))
    unbroken = resolve(load_sweep(sweep), output=str(whole))
    for node in unbroken.plan.nodes.values():
        assert execute(unbroken.assignment(node, "unbroken")).status == "done"
    assert [(name, steps) for name, steps, _ in curves(output)] == [
        *(("layer-1", 50), ("layer-2", 50)),
        ("words", 400),
    ]
    assert curves(output) == curves(whole)
    assert transfer(output)["cost"] == transfer(whole)["cost"], "no step is counted twice"
    (killed, unharmed) = (
        [one["scores"] for one in records(path).values() if one["method"] == "mobilebert"]
        for path in (output, whole)
    )
    assert killed == unharmed
