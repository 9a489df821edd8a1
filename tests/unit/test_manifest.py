from __future__ import annotations

import re

import pytest

from benchmark.cli.tables import status_table
from benchmark.config.load import load_sweep, make_sweep
from benchmark.plan.job import Job, resolve
from benchmark.store.manifest import FILE, Manifest, describe, open_output
from benchmark.store.store import Store
from tasks.errors import BadInput

SWEEP = {
    "name": "first",
    "model": "minilm",
    "data": "bundled",
    "tasks": ["rte", "sst2"],
    "methods": ["finetune", {"kd": {"layers": 3}}],
    "seeds": 2,
    "limit": 64,
    "margins": {"sst2": 0.5, "overall": 2.5},
}


@pytest.fixture
def job(tmp_path) -> Job:
    return resolve(make_sweep(SWEEP), output=str(tmp_path / "out"))


def test_it_comes_back_as_it_was_written(job):
    manifest = describe(job, "leanboard run first.yaml", ("a machine",), "2026-07-30", "no node is idle")
    assert Manifest.read(job.store) is None
    manifest.write(job.store)
    assert Manifest.read(job.store) == manifest
    assert (manifest.machines, manifest.night) == (("a machine",), "2026-07-30")
    assert manifest.untimed == "no node is idle"


def test_it_tells_rows_from_prerequisites(job):
    manifest = describe(job, "")
    assert {node.fingerprint for node in manifest.nodes} == set(job.plan.nodes)
    assert set(manifest.rows()) == job.plan.rows
    assert {node.label for node in manifest.nodes} - {node.label for node in manifest.rows().values()} == {
        "teacher-outputs"
    }
    assert "kd:layers=3.rte.2" in {node.name for node in manifest.nodes}


def test_it_holds_what_the_page_must_say(job):
    facts = describe(job, "leanboard run x").sweep
    assert (facts.name, facts.model, facts.data, facts.baseline) == ("first", "minilm", "bundled", "finetune")
    assert {task.name: task.margin for task in facts.tasks}["sst2"] == 0.5
    assert facts.margin == 2.5
    assert facts.seeds == (1, 2)
    assert facts.config["train"]["epochs"] == 3


def test_a_study_of_a_part_of_the_sweep_leaves_its_rows_alone(job, tmp_path):
    """`leanboard study head-ablation --task rte` in the output of a sweep with two tasks."""
    wide = describe(job, "leanboard run first.yaml")
    part = make_sweep({**SWEEP, "tasks": ["rte"], "methods": ["finetune"], "studies": ["head-ablation"]})
    narrow = describe(resolve(part, output=str(tmp_path / "out")), "leanboard study")
    both = wide.with_studies(narrow)
    assert both.rows().keys() == wide.rows().keys() and both.sweep == wide.sweep
    assert [study.study for study in both.studies] == ["head-ablation"]
    assert {node.name for node in both.nodes} == {node.name for node in (*wide.nodes, *narrow.nodes)}
    assert both.reported(both.studies[0]).keys() == narrow.reported(narrow.studies[0]).keys() != set()
    assert both.with_studies(narrow) == both


def test_what_limits_the_numbers_is_said(job):
    notes = " ".join(describe(job, "").notes)
    assert "Bundled sample" in notes
    assert "MiniLM" in notes
    assert "Only 64 training examples of each task" in notes


def test_limits_of_tasks_that_are_not_run_are_not_spoken_of(tmp_path):
    for tasks, said in ((["rte"], False), (["sst2"], True)):
        sweep = make_sweep({**SWEEP, "tasks": tasks, "limit": {"sst2": 64}})
        notes = " ".join(describe(resolve(sweep, output=str(tmp_path)), "").notes)
        assert ("64 training examples of sst2" in notes) is said


def test_a_hub_id_is_shown_whole_and_a_folder_by_its_name(tmp_path):
    hub = resolve(make_sweep({**SWEEP, "data": "nyu-mll/glue"}), output=str(tmp_path))
    assert describe(hub, "").sweep.data == "nyu-mll/glue"
    from tasks.loading import BUNDLED

    (tmp_path / "mine").symlink_to(BUNDLED)
    folder = resolve(make_sweep({**SWEEP, "data": str(tmp_path / "mine")}), output=str(tmp_path))
    assert str(tmp_path) not in describe(folder, "").sweep.data


def test_the_status_goes_through_the_nodes_once(job, monkeypatch):
    manifest, calls, targets = describe(job, ""), [], Manifest.targets
    monkeypatch.setattr(Manifest, "targets", lambda self: calls.append(1) or targets(self))
    done = {key for key, node in manifest.rows().items() if node.seed == 1}
    calls.clear()
    table = status_table(manifest, done, {})
    assert len(calls) == 1
    assert list(table.columns[1].cells) == ["[yellow]1 / 0 / 1[/]"] * 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 0}'])
def test_a_manifest_of_another_version_counts_as_none(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    assert Manifest.read(Store(str(tmp_path))) is None
    with pytest.raises(
        BadInput, match=r"nothing was run there by this version .*; start with `leanboard run`"
    ):
        open_output(str(tmp_path))


def test_a_sweep_file_a_folder_and_a_name_find_the_same_output(job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "sweep.yaml"
    file.write_text("name: first\nmodel: minilm\ndata: bundled\ntasks: [rte]\nmethods: [finetune]\n")
    made = resolve(load_sweep(file))
    describe(made, "").write(made.store)
    for target, output in (
        ("sweep.yaml", None),
        ("runs/first", None),
        ("sweep.yaml", str(tmp_path / "runs/first")),
    ):
        store, manifest = open_output(target, output)
        assert store.url == str(tmp_path / "runs" / "first")
        assert manifest.sweep.name == "first"


@pytest.mark.parametrize("target", ["nothing", "nothing.yaml", "empty.yaml"])
def test_where_nothing_was_run_it_says_so(tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(BadInput, match=re.escape(target.removesuffix(".yaml"))):
        open_output(target)
