"""Sweeps through the real command line on real Ray, with a tiny random encoder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from small_world import (
    COMMAND,
    Done,
    attempts,
    board,
    cells,
    end,
    failures,
    records,
)


@pytest.fixture(scope="module")
def finished(world) -> Done:
    """A sweep of three methods, two tasks and two seeds, run to its end."""
    return world.call("run", world.sweep())


@pytest.fixture(scope="module")
def output(world, finished) -> Path:
    assert finished.code == 0, finished.text
    return world.folder / "runs" / "tiny"


def leaderboard_files(output: Path) -> dict[str, bytes]:
    folder = output / "leaderboard"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- the first run ---------------------------------------------------------------------------------------


def test_the_first_run_does_everything_once(finished, output):
    assert set(records(output)) == {
        f"{label}.{task}.{seed}"
        for label in ("finetune", "sixteen-heads:heads=0.5", "kd:layers=1", "teacher-outputs")
        for task in ("rte", "sst2")
        for seed in (1, 2)
    }
    assert set(attempts(output).values()) == {1}
    assert failures(output) == {}
    assert "16 run now, 0 cached, 0 without a result" in finished.out


def test_output_that_is_no_terminal_has_a_line_for_every_node(finished, output):
    lines = [line for line in finished.out.splitlines() if "/16 done" in line]
    assert [int(line.split("/")[0]) for line in lines] == list(range(1, 17))
    assert {line.split()[2] for line in lines} == set(records(output))
    assert "\x1b" not in finished.out


def test_the_command_ends_with_the_leaderboard_and_its_places(finished, output):
    for fragment in (
        "finetune",
        "kd:layers=1",
        str(output / "leaderboard" / "leaderboard.html"),
        "mlflow.db",
    ):
        assert fragment in finished.out
    assert {"leaderboard.html", "leaderboard.md", "leaderboard.csv", "leaderboard.json"} <= {
        path.name for path in (output / "leaderboard").iterdir()
    }
    assert board(output)["complete"] is True


def test_every_label_and_task_has_its_scores_in_the_order_of_seeds(output):
    found, left = cells(output), records(output)
    assert len(found) == 6
    for (label, task), scores in found.items():
        expected = [100 * left[f"{label}.{task}.{seed}"]["scores"]["accuracy"] for seed in (1, 2)]
        assert scores == pytest.approx(expected)


def test_a_record_says_all_it_must(output):
    for name, one in records(output).items():
        assert one["ended"] > one["started"]
        assert one["digest"]
        assert one["environment"]["libraries"]["torch"]
        assert one["environment"]["precision"] == "cpu-fp32"
        assert one["environment"]["threads"] == 1
        assert one["peak_memory_bytes"] > 2**20
        assert one["data"]["rows"]["validation"] == 80
        if not name.startswith("teacher-outputs"):
            assert one["model"]["parameters"]["encoder"] > 0
            assert one["model"]["flops"] > 0
            assert one["model"]["signature"]
            assert one["files"]["predictions.parquet"]["size"] > 0
        if name.startswith(("finetune", "kd")):
            assert one["cost"]["steps"] == 12
            assert one["cost"]["tokens"] > 0


def test_methods_share_split_and_order_by_seed(output):
    found = records(output)
    for seed in (1, 2):
        rows = {
            json.dumps(one["data"], sort_keys=True)
            for name, one in found.items()
            if name.endswith(f"rte.{seed}")
        }
        assert len(rows) == 1


def test_only_what_others_start_from_keeps_its_result(output):
    for name, one in records(output).items():
        has_result = any(role.startswith("result/") for role in one["files"])
        assert has_result == name.startswith(("finetune", "teacher-outputs")), name


def test_compression_is_real(output):
    found = records(output)
    size = {
        label: found[f"{label}.rte.1"]["model"]["parameters"]["encoder"]
        for label in ("finetune", "sixteen-heads:heads=0.5", "kd:layers=1")
    }
    assert size["kd:layers=1"] == size["finetune"] // 2
    assert size["kd:layers=1"] < size["sixteen-heads:heads=0.5"] < size["finetune"]
    assert sum(found["sixteen-heads:heads=0.5.rte.1"]["model"]["heads"]) == 4


def test_latency_is_measured_once_for_every_architecture(output):
    signatures = {
        one["model"]["signature"] for one in records(output).values() if one["model"] and one["seed"] == 1
    }
    assert len(list((output / "latency").glob("*.json"))) == len(signatures)
    rows = board(output)["rows"]
    assert all(row["latency_ms"]["1"] > 0 for row in rows)


def test_every_trial_has_a_log(world, output):
    assert {path.stem for path in (output / "logs").glob("*.log")} == set(records(output))
    done = world.call("logs", "kd:layers=1.rte.1", "-o", output)
    assert done.code == 0
    assert "kd:layers=1.rte.1" in done.out


def test_status_counts_what_is_done(world, output):
    content = json.loads(world.call("status", "tiny.yaml", "--json").out)
    assert (content["trials"], content["done"], content["failed"], content["not_run"]) == (12, 12, [], [])


def test_the_plan_of_a_finished_sweep_is_empty(world, output):
    content = json.loads(world.call("plan", "tiny.yaml", "--json").out)
    assert (content["to_run"], content["cached"], content["missing"]) == (0, 16, [])
    assert content["worker_seconds"] == 0


def test_report_writes_the_same_files_again(world, output):
    before = leaderboard_files(output)
    done = world.call("report", "tiny.yaml")
    assert done.code == 0, done.text
    assert leaderboard_files(output) == before


# -- the same command again ------------------------------------------------------------------------------


def test_the_second_run_does_nothing_and_imports_nothing_heavy(world, output):
    before = leaderboard_files(output)
    written = {path: path.stat().st_mtime_ns for path in (output / "records").rglob("*")}
    # To the letter: the page shows the command it was made with.
    command = [COMMAND[0], "-X", "importtime", *COMMAND[1:], "run", str(world.folder / "tiny.yaml")]
    done = subprocess.run(
        command, cwd=world.folder, env=world.variables(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout
    assert "0 run now, 12 cached, 0 without a result" in done.stdout
    imported = {
        line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line
    }
    assert "benchmark.engine" in imported
    heavy = {"torch", "ray", "mlflow", "transformers", "datasets", "pandas", "scipy", "matplotlib", "sklearn"}
    assert not imported & heavy
    assert leaderboard_files(output) == before
    assert {path: path.stat().st_mtime_ns for path in (output / "records").rglob("*")} == written


@pytest.fixture(scope="module")
def mended(world, output) -> tuple[Done, Path, dict, dict]:
    """One more grid value, one damaged record and one label to rerun, over the finished sweep."""
    copy = world.folder / "runs" / "grown"
    shutil.copytree(output, copy)
    before = records(copy)
    damaged = before["finetune.sst2.2"]
    file = copy / "records" / damaged["fingerprint"] / damaged["files"]["predictions.parquet"]["path"]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    heads = {"sixteen-heads": {"heads": {"grid": [0.25, 0.5]}}}
    world.sweep("grown", methods=["finetune", heads, {"kd": {"layers": 1}}])
    again = ("--rerun", "kd:layers=1", "--keep", "kd:layers=1", "--keep", "sixteen-heads:heads=0.5")
    done = world.call("run", "grown.yaml", *again, "--set", "timeout=200", "--cpus", "1")
    return done, copy, before, records(copy)


KEPT = ("kd:layers=1", "sixteen-heads:heads=0.5")


def made_again(before: dict, after: dict) -> set[str]:
    return {name for name in after if name not in before or after[name]["started"] != before[name]["started"]}


def test_a_damaged_record_is_reported_and_made_again_with_the_same_result(mended):
    done, _, before, after = mended
    assert done.code == 0, done.text
    (line,) = [line for line in done.out.splitlines() if "damaged" in line]
    assert "finetune.sst2.2" in line
    assert "has changed since it was written; it is made again" in line
    assert after["finetune.sst2.2"]["scores"] == before["finetune.sst2.2"]["scores"]


def test_only_what_must_be_is_made_again(mended):
    _, copy, before, after = mended
    pairs = [(task, seed) for task in ("rte", "sst2") for seed in (1, 2)]
    new = {f"sixteen-heads:heads=0.25.{task}.{seed}" for task, seed in pairs}
    again = {f"{label}.{task}.{seed}" for label in KEPT for task, seed in pairs}
    assert made_again(before, after) == new | again | {"finetune.sst2.2"}
    twice = {after[name]["fingerprint"] for name in again | {"finetune.sst2.2"}}
    assert {key for key, count in attempts(copy).items() if count > 1} == twice


def test_trials_made_again_give_the_same_scores_whatever_ran_before(mended):
    _, _, before, after = mended
    for name in made_again(before, after) & before.keys():
        assert after[name]["scores"] == before[name]["scores"]
        assert after[name]["notes"] == before[name]["notes"]
        assert after[name]["cost"] == before[name]["cost"]


def test_the_models_that_were_asked_for_are_kept_and_can_be_loaded(mended):
    from methods import checkpoint, encoders

    done, _, _, after = mended
    for label in KEPT:
        line = next(line for line in done.out.splitlines() if line.startswith(f"Model of {label}.rte.1: "))
        model = checkpoint.load(Path(line.split(": ", 1)[1]))
        record = after[f"{label}.rte.1"]
        assert encoders.parameters(model).total == record["model"]["parameters"]["total"]
    others = [one for name, one in after.items() if name.startswith("sixteen-heads:heads=0.25")]
    assert not any(role.startswith("result/") for one in others for role in one["files"])


def test_a_grid_is_rows_of_their_own(mended):
    _, copy, *_ = mended
    assert {label for label, _ in cells(copy)} == {
        "finetune",
        "sixteen-heads:heads=0.25",
        "sixteen-heads:heads=0.5",
        "kd:layers=1",
    }
    assert all(len(scores) == 2 for scores in cells(copy).values())


def test_the_mlflow_ui_shows_the_runs_of_the_sweep(world, output):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    process = world.start("ui", output, "--port", port)
    try:
        assert process.stdout.readline() == f"MLflow at http://127.0.0.1:{port} (Ctrl-C ends it)\n"
        page = await_page(f"http://127.0.0.1:{port}/", process)
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search",
            data=json.dumps({"max_results": 100}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            names = {each["name"] for each in json.load(answer)["experiments"]}
    finally:
        os.killpg(process.pid, signal.SIGINT)
        done = end(process, timeout=60)
    assert "<title>MLflow</title>" in page
    assert "tiny" in names
    assert done.code == 0, done.text


def await_page(address: str, process: subprocess.Popen[str], seconds: float = 120) -> str:
    """The page at an address, as soon as somebody answers there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.3)
    raise AssertionError(end(process, timeout=1).text)
