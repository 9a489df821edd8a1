"""Archives: what is published of a sweep, and what can be rebuilt and continued from it."""

from __future__ import annotations

import json
import shlex
import zipfile

import pytest
from small_plans import leave, node_record
from typer.testing import CliRunner

from benchmark.cli import app
from benchmark.config.load import make_sweep
from benchmark.plan.job import resolve
from benchmark.store.archive import Unpacked, _last_name, differences, open_archive, pack, unpack
from benchmark.store.manifest import describe
from benchmark.store.store import has_result
from tasks.errors import BadInput

SWEEP = {
    "name": "first",
    "model": "minilm",
    "data": "bundled",
    "tasks": ["rte"],
    "methods": ["finetune", {"kd": {"layers": 3}}],
    "seeds": 2,
    "latency": None,
}
COMMAND = (
    "leanboard run '/home/me/my sweeps/first.yaml' --set data=/home/me/glue -o s3://bucket/results --limit 9"
)
UNTIMED = "socket in /home/me/ray/session_1 is closed"


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A finished job: its start models hold weights, every trial predictions."""
    monkeypatch.setenv("LEANBOARD_CACHE", str(tmp_path / "cache"))
    job = resolve(make_sweep(SWEEP), output=str(tmp_path / "out"))
    describe(job, "leanboard run first.yaml").write(job.store)
    facts = {"data": {"source": "/home/me/glue", "rows": {}}, "environment": {"host": "me", "python": "3"}}
    for node in job.plan.nodes.values():
        files = {"predictions.parquet": b"numbers", "artifacts__a.json": b"{}"}
        if node.fingerprint in job.plan.kept:
            files["result__model"] = b"weights"
        leave(job.store, node_record(job.plan, node, **facts), tmp_path / "files", **files)
    return job


@pytest.fixture
def archive(job, tmp_path):
    target = tmp_path / "published" / "first.zip"
    pack(job.store, describe(job, COMMAND, untimed=UNTIMED), target)
    return target


def test_an_archive_holds_no_weights_and_no_place_of_this_machine(archive):
    with zipfile.ZipFile(archive) as content:
        assert not any("result" in name for name in content.namelist())
        text = b"".join(content.read(name) for name in content.namelist())
    assert b"weights" not in text and b"/home/me" not in text and b'"host"' not in text
    assert b'"source": "glue"' in text


def test_the_command_and_the_settings_keep_last_names(archive):
    _, manifest = open_archive(archive)
    assert manifest.untimed == "socket in session_1 is closed"
    assert shlex.split(manifest.sweep.command) == shlex.split(
        "leanboard run first.yaml --set data=glue -o s3://bucket/results --limit 9"
    )


@pytest.mark.parametrize(
    ("word", "left"),
    [
        ("/home/my user/x.yaml", "x.yaml"),
        ("/home/me/folder/", "folder/"),
        ("~/glue", "glue"),
        ("file:///home/me/x", "x"),
        ("C:\\Users\\me\\glue", "glue"),
        ("D:/me/glue", "glue"),
        ("data=/home/me/glue", "data=glue"),
        ("corpus=[/home/me/a, /home/me/b]", "corpus=[a, b]"),
        ("corpus={source: /home/me/a}", "corpus={source: a}"),
        *((same, same) for same in ("../glue", "s3://bucket/a/b", "https://host/a/b", "--set", "a/b", "")),
        *((same, same) for same in ("random-heads:budget=like:auber,steps=60", "studies=[one-head]")),
    ],
)
def test_a_path_from_a_root_is_its_last_name(word, left):
    assert _last_name(word) == left


def test_equal_records_give_an_equal_file(job, archive, tmp_path):
    pack(job.store, describe(job, COMMAND, untimed=UNTIMED), tmp_path / "again.zip")
    assert archive.read_bytes() == (tmp_path / "again.zip").read_bytes()


def test_what_is_unpacked_is_whole_and_done_but_for_weights(job, archive, tmp_path):
    other = resolve(make_sweep(SWEEP), output=str(tmp_path / "other"))
    found = unpack(archive, other.store, other.plan.nodes.keys())
    scan = other.scan()
    assert found == Unpacked(new=len(job.plan.nodes), there=0, total=len(job.plan.nodes))
    assert len(scan.records) == found.new and not scan.damaged
    assert not any(map(has_result, scan.records.values()))
    assert other.missing(scan) == {}
    before, after = job.scan().records, scan.records
    assert {key: record.scores for key, record in before.items()} == {
        key: r.scores for key, r in after.items()
    }
    record = next(iter(after.values()))
    with other.store.open(record, "predictions.parquet") as file:
        assert file.read() == b"numbers"
    assert unpack(archive, other.store) == Unpacked(new=0, there=found.new, total=found.new)


def test_what_needs_weights_is_made_again(job, archive, tmp_path):
    wider = make_sweep({**SWEEP, "methods": [*SWEEP["methods"], "random-heads"]})
    other = resolve(wider, output=str(tmp_path / "other"))
    unpack(archive, other.store, other.plan.nodes.keys())
    labels = {node.label for node in other.missing(other.scan()).values()}
    assert labels == {"random-heads", "finetune"}


def test_what_keeps_an_archive_from_fitting_is_named(job, archive, tmp_path):
    other = resolve(make_sweep({**SWEEP, "train": {"epochs": 2}}), output=str(tmp_path / "other"))
    assert unpack(archive, other.store, other.plan.nodes.keys()).new == 0
    nodes = other.plan.nodes.values()
    decides = {(node.label, node.task, node.seed): other.plan.decides(node) for node in nodes}
    assert differences(archive, decides) == ["train.epochs"]
    assert differences(archive, {}) == []


def test_a_report_needs_only_the_archive(job, archive):
    store, manifest = open_archive(archive)
    assert manifest.sweep.name == "first"
    assert store.scan().records.keys() == job.scan().records.keys()


def test_the_command_writes_an_archive_and_names_what_is_wrong(job, tmp_path):
    done = CliRunner().invoke(app, ["export", job.output, str(tmp_path / "x.zip")])
    assert done.exit_code == 0 and "6 records" in done.output, done.output
    with pytest.raises(BadInput, match=r"write .*x\.zip"):
        CliRunner().invoke(app, ["export", job.output, str(tmp_path / "x")], catch_exceptions=False)


@pytest.mark.parametrize("leads_out", ["role", "path", "fingerprint", "latency"])
def test_an_archive_writes_nothing_outside_its_folder(archive, tmp_path, leads_out):
    """It may come from anyone."""
    out = "../../../../escaped.txt"
    with zipfile.ZipFile(archive) as content:
        files = {name: content.read(name) for name in content.namelist()}
    name = next(name for name in files if name.endswith("/record.json"))
    record = json.loads(files.pop(name))
    key = record["fingerprint"]
    file = next(iter(record["files"].values()))
    if leads_out == "role":
        record["files"] = {out: file}
    elif leads_out == "path":
        files[f"records/{key}/{out}"] = files[f"records/{key}/{file['path']}"]
        file["path"] = out
    elif leads_out == "fingerprint":
        record["fingerprint"] = out
    else:
        files["latency/../../escaped.txt"] = b"{}"
    files[name] = json.dumps(record).encode()
    with zipfile.ZipFile(tmp_path / "crafted.zip", "w") as content:
        for member, data in files.items():
            content.writestr(member, data)
    target = resolve(make_sweep(SWEEP), output=str(tmp_path / "a" / "b" / "c" / "d" / "e" / "other"))
    if leads_out == "latency":
        unpack(tmp_path / "crafted.zip", target.store)
    else:
        with pytest.raises(BadInput, match="is not one that `leanboard export` wrote"):
            unpack(tmp_path / "crafted.zip", target.store)
    assert not [path for path in tmp_path.rglob("*") if "escaped" in path.name]


def test_damage_is_refused(archive, tmp_path, job):
    other = resolve(make_sweep(SWEEP), output=str(tmp_path / "other"))
    with zipfile.ZipFile(archive) as content:
        files = {name: content.read(name) for name in content.namelist()}
    with zipfile.ZipFile(tmp_path / "damaged.zip", "w") as content:
        for name, data in files.items():
            content.writestr(name, data.replace(b"numbers", b"numbest"))
    with pytest.raises(BadInput, match="is damaged"):
        unpack(tmp_path / "damaged.zip", other.store)
    # A bit that is lost on the way is in the compressed bytes.
    raw = bytearray(archive.read_bytes())
    raw[len(raw) // 3 : len(raw) // 3 + 40] = bytes(40)
    (tmp_path / "flipped.zip").write_bytes(raw)
    with pytest.raises(BadInput, match="is damaged"):
        unpack(tmp_path / "flipped.zip", other.store)
    (tmp_path / "none.zip").write_text(json.dumps({}))
    with zipfile.ZipFile(tmp_path / "another.zip", "w") as content:
        content.writestr("a.txt", "a")
    for name in ("none.zip", "another.zip"):
        with pytest.raises(BadInput, match="no archive"):
            unpack(tmp_path / name, other.store)
