"""`leanboard join`: tasks that were run apart, on one leaderboard."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
from published_sweep import Output, fail
from small_plans import leave
from typer.testing import CliRunner

from benchmark import cli
from benchmark.plan.fingerprint import fingerprint
from benchmark.plan.plan import NO_TASK
from benchmark.store.archive import pack
from benchmark.store.manifest import ManifestNode, open_output
from methods.distillation.kd import KnowledgeDistillation
from reports import leaderboard
from tasks.errors import BadInput

METHODS = ["finetune", {"kd": {"layers": 3, "learning_rate": {"rte": 1e-4, "sst2": 2e-4, "qnli": 1e-4}}}]


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
    rates = {"rte": 5e-5, "sst2": 3e-5, "qnli": 1e-5}
    one = part(tmp_path / "one", "rte")
    two = part(tmp_path / "two", "sst2", methods=["finetune", {"kd": {"layers": 3, "learning_rate": rates}}])
    join(one.store.url, two.store.url, "-o", tmp_path / "both")
    _, manifest = open_output(str(tmp_path / "both"))
    assert manifest.sweep.methods[1].params["learning_rate"] == {"rte": 1e-4, "sst2": 3e-5, "qnli": 1e-4}


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


def with_encoder(output: Output, ended: float) -> None:
    """Pre-train an encoder for the part; its fingerprint holds settings, which all parts have alike."""
    decides = {"method": "albert-pretraining"}
    key = fingerprint(decides)
    node = ManifestNode(fingerprint=key, label="albert-pretraining", task=NO_TASK, seed=0, row=False)
    changed = output.manifest.model_copy(update={"nodes": (*output.manifest.nodes, node)})
    changed.write(output.store)
    trial = output.leave(next(iter(output.job.plan.rows)))
    changes = {"fingerprint": key, "decides": decides, "label": node.label, "task": NO_TASK, "ended": ended}
    leave(output.store, trial.model_copy(update={**changes, "kind": "prerequisite"}), output.folder)


def test_encoders_that_each_part_pretrained_for_itself_are_refused(tmp_path):
    """Its row would be one encoder on one task and another on the next."""
    one, two = part(tmp_path / "one", "rte"), part(tmp_path / "two", "sst2")
    with_encoder(one, 5.0)
    with_encoder(two, 6.0)
    with pytest.raises(BadInput, match=r"albert-pretraining: .* each trained one"):
        join(one.store.url, two.store.url, "-o", tmp_path / "both")
    with_encoder(two, 5.0)
    assert "13 records" in join(one.store.url, two.store.url, "-o", tmp_path / "both")


def test_parts_are_all_compared_with_each_other_before_anything_is_written(tmp_path):
    one = part(tmp_path / "one", "rte", methods=["finetune"])
    two, three = part(tmp_path / "two", "sst2"), part(tmp_path / "three", "qnli")
    with_fields(three, temperature=3.0)
    with pytest.raises(BadInput, match="temperature"):
        join(one.store.url, two.store.url, three.store.url, "-o", tmp_path / "both")
    assert not (tmp_path / "both" / "records").exists()


def test_the_page_says_of_each_task_how_much_was_used(tmp_path):
    one = part(tmp_path / "one", "rte")
    two, three = (
        part(tmp_path / "two", "sst2", limit=100),
        part(tmp_path / "three", "qnli", limit={"qnli": 50}),
    )
    join(one.store.url, two.store.url, three.store.url, "-o", tmp_path / "all")
    used = [note for note in board(tmp_path / "all")["notes"] if "`limit`" in note]
    assert used == ["Only 100 training examples of sst2, 50 training examples of qnli were used (`limit`)."]


def test_a_failed_trial_is_failed_in_the_joined_output_too(tmp_path):
    one, two = part(tmp_path / "one", "rte"), part(tmp_path / "two", "sst2")
    fail(two)
    join(one.store.url, two.store.url, "-o", tmp_path / "both")
    assert [missing["kind"] for missing in board(tmp_path / "both")["missing"]] == ["timeout"]


def test_an_archive_as_the_output_is_refused(tmp_path):
    one, two = part(tmp_path / "one", "rte"), part(tmp_path / "two", "sst2")
    with pytest.raises(BadInput, match="`leanboard export` makes an archive"):
        join(one.store.url, two.store.url, "-o", tmp_path / "both.zip")


def with_fields(output: Output, **fields: object) -> None:
    first, second = output.manifest.sweep.methods
    changed = second.model_copy(update={"params": second.params | fields})
    sweep = output.manifest.sweep.model_copy(update={"methods": (first, changed)})
    output.manifest.model_copy(update={"sweep": sweep}).write(output.store)


@pytest.mark.parametrize("fields", [{"temperature": 3.0}, {"alpha": {"heads": 3}}])
def test_rows_of_one_label_with_other_fields_are_refused(tmp_path, fields):
    """As where a default has changed between versions: the label does not show it."""
    one, two = part(tmp_path / "one", "rte"), part(tmp_path / "two", "sst2")
    with_fields(two, **fields)
    with pytest.raises(BadInput, match=r"kd:layers=3,learning_rate=by-task: (temperature|alpha): "):
        join(one.store.url, two.store.url, "-o", tmp_path / "both")


def test_trials_by_another_version_of_a_method_are_refused(tmp_path, monkeypatch):
    one = part(tmp_path / "one", "rte")
    monkeypatch.setattr(KnowledgeDistillation, "version", 99)
    two = part(tmp_path / "two", "sst2")
    with pytest.raises(BadInput, match=r"version: 1 in .* and 99 in"):
        join(one.store.url, two.store.url, "-o", tmp_path / "both")
