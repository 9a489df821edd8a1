"""`leanboard join`: tasks that were run apart, on one leaderboard."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
from published_sweep import Output
from typer.testing import CliRunner

from benchmark import cli
from benchmark.plan.plan import NO_TASK
from benchmark.store.archive import pack
from benchmark.store.manifest import ManifestNode, open_output
from reports import leaderboard
from tasks.errors import BadInput

METHODS = ["finetune", {"kd": {"layers": 3, "learning_rate": {"rte": 1e-4, "sst2": 2e-4}}}]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch, tmp_path):
    monkeypatch.setenv("LEANBOARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(leaderboard, "build", functools.partial(leaderboard.build, replicates=200))


def part(folder: Path, *tasks: str, precision: str = "fp32", **changes) -> Output:
    """A finished output of some tasks."""
    folder.mkdir(exist_ok=True)
    changes = {"methods": METHODS, "train": {"precision": precision}, **changes}
    output = Output(str(folder / "out"), folder, tasks=list(tasks), **changes)
    for key in output.job.plan.rows:
        output.leave(key, environment={"precision": f"cpu-{precision}"})
    output.manifest.write(output.store)
    return output


def join(*words: object) -> str:
    done = CliRunner().invoke(cli.app, ["join", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def board(target: object) -> dict:
    done = CliRunner().invoke(cli.app, ["report", str(target), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_parts_joined_are_what_one_run_of_all_tasks_is(tmp_path):
    whole = part(tmp_path / "whole", "rte", "sst2")
    one, two = part(tmp_path / "one", "rte"), part(tmp_path / "two", "sst2")
    assert "12 records of rte, sst2" in join(one.store.url, two.store.url, "-o", tmp_path / "both")
    joined, once = board(tmp_path / "both"), board(whole.store.url)
    assert all(row["median"] for row in once["overall"])
    assert (joined["rows"], joined["overall"]) == (once["rows"], once["overall"])


def test_an_archive_and_a_folder_in_another_precision_are_joined_and_the_page_says_so(tmp_path):
    one, two = part(tmp_path / "one", "rte"), part(tmp_path / "two", "sst2", precision="bf16")
    pack(one.store, one.manifest, tmp_path / "one.zip")
    join(tmp_path / "one.zip", two.store.url, "-o", tmp_path / "both")
    notes = board(tmp_path / "both")["notes"]
    assert any("rte in cpu-fp32; sst2 in cpu-bf16" in note for note in notes), notes


def test_rates_by_task_are_those_each_task_was_run_with(tmp_path):
    rates = {"rte": 5e-5, "sst2": 3e-5}
    one = part(tmp_path / "one", "rte")
    two = part(tmp_path / "two", "sst2", methods=["finetune", {"kd": {"layers": 3, "learning_rate": rates}}])
    join(one.store.url, two.store.url, "-o", tmp_path / "both")
    _, manifest = open_output(str(tmp_path / "both"))
    assert manifest.sweep.methods[1].params["learning_rate"] == {"rte": 1e-4, "sst2": 3e-5}


def test_a_row_that_one_part_has_not_is_there_without_an_average(tmp_path):
    one, two = part(tmp_path / "one", "rte"), part(tmp_path / "two", "sst2", methods=["finetune"])
    join(one.store.url, two.store.url, "-o", tmp_path / "both")
    shown = board(tmp_path / "both")
    rows = {(row["label"], row["task"]): row for row in (*shown["rows"], *shown["overall"])}
    assert rows["kd:layers=3,learning_rate=by-task", "rte"]["median"]
    assert rows["kd:layers=3,learning_rate=by-task", "overall"]["median"] is None
    assert rows["finetune", "overall"]["median"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"epochs": 2}}, "train.epochs: 3.0 in .* and 2.0 in"),
        ({"seeds": 2}, r"seeds: \[1, 2, 3\] in .* and \[1, 2\] in"),
        ({"methods": ["finetune-more"], "baseline": "finetune-more"}, "baseline: finetune in"),
        ({"selection": 0.3}, "selection: 0.2 in"),
    ],
)
def test_parts_of_different_sweeps_are_refused(tmp_path, changes, message):
    one, two = part(tmp_path / "one", "rte"), part(tmp_path / "two", "sst2", **changes)
    with pytest.raises(BadInput, match=message):
        join(one.store.url, two.store.url, "-o", tmp_path / "both")
    assert not (tmp_path / "both" / "manifest.json").exists()


def test_a_task_in_two_parts_is_refused(tmp_path):
    one, two = part(tmp_path / "one", "rte", "sst2"), part(tmp_path / "two", "sst2")
    with pytest.raises(BadInput, match=r"sst2: is in .* with -t"):
        join(one.store.url, two.store.url, "-o", tmp_path / "both")


def test_one_part_and_a_folder_in_use_are_refused(tmp_path):
    one, two = part(tmp_path / "one", "rte"), part(tmp_path / "two", "sst2")
    with pytest.raises(BadInput, match="is one part only"):
        join(one.store.url, "-o", tmp_path / "both")
    with pytest.raises(BadInput, match="holds a sweep already"):
        join(one.store.url, two.store.url, "-o", two.store.url)


def with_encoder(output: Output, fingerprint: str) -> None:
    node = ManifestNode(fingerprint=fingerprint, label="albert-pretraining", task=NO_TASK, seed=0, row=False)
    changed = output.manifest.model_copy(update={"nodes": (*output.manifest.nodes, node)})
    changed.write(output.store)


def test_encoders_that_each_part_pretrained_for_itself_are_refused(tmp_path):
    """Its row would be one encoder on one task and another on the next."""
    one, two = part(tmp_path / "one", "rte"), part(tmp_path / "two", "sst2")
    with_encoder(one, "a" * 64)
    with_encoder(two, "b" * 64)
    with pytest.raises(BadInput, match=r"albert-pretraining: .* have different ones"):
        join(one.store.url, two.store.url, "-o", tmp_path / "both")
    with_encoder(two, "a" * 64)
    assert "12 records" in join(one.store.url, two.store.url, "-o", tmp_path / "both")


def test_rows_of_one_label_with_other_fields_are_refused(tmp_path):
    """As where a default has changed between versions: the label does not show it."""
    one, two = part(tmp_path / "one", "rte"), part(tmp_path / "two", "sst2")
    first, second = two.manifest.sweep.methods
    changed = second.model_copy(update={"params": second.params | {"temperature": 3.0}})
    sweep = two.manifest.sweep.model_copy(update={"methods": (first, changed)})
    two.manifest.model_copy(update={"sweep": sweep}).write(two.store)
    with pytest.raises(BadInput, match=r"temperature is .* in one part and 3.0 in another"):
        join(one.store.url, two.store.url, "-o", tmp_path / "both")
