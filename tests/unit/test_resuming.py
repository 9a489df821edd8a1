"""State that outlives a worker: on one machine, and from a machine that is lost to another."""

from __future__ import annotations

import os
import threading
import uuid

import pytest

from benchmark.store.store import Store
from benchmark.trial import resuming
from benchmark.trial.resuming import Resuming


@pytest.fixture(autouse=True)
def code(monkeypatch):
    monkeypatch.setattr(resuming, "digest", lambda module: "code")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A node of the cluster, with a disk of its own, that works at the one trial of a store."""
    url = f"memory://{uuid.uuid4().hex}"

    def machine(name: str, start: float = 1.0) -> tuple[Resuming, object]:
        monkeypatch.setenv("LEANBOARD_CACHE", str(tmp_path / name))
        node = Resuming(Store(url), "key")
        return node, node.open("a.module", {"finetune": start})

    return machine


def test_a_machine_resumes_what_a_lost_one_has_left(machine):
    first, folder = machine("first")
    (folder / "layer-0").mkdir()
    (folder / "layer-0" / "weights").write_text("of layer 0")
    (folder / "state.pt").write_text("step 10")
    (folder / "state.pt.1234.tmp").write_text("half a st")
    (folder / "unfinished").mkdir()
    (folder / "unfinished" / "weights").write_text("half")
    first.copy()
    _, found = machine("second")
    files = {str(path.relative_to(found)): path.read_text() for path in found.rglob("*") if path.is_file()}
    assert files == {"layer-0/weights": "of layer 0", "state.pt": "step 10"}


def test_the_newer_state_counts_wherever_it_lies(machine):
    first, folder = machine("first")
    (folder / "state.pt").write_text("step 10")
    os.utime(folder / "state.pt", ns=(10, 10))
    first.copy()
    # The machine comes back: what it did after its last copy is not lost.
    (folder / "state.pt").write_text("step 20")
    os.utime(folder / "state.pt", ns=(20, 20))
    again, folder = machine("first")
    assert (folder / "state.pt").read_text() == "step 20"
    again.copy()
    second, there = machine("second")
    assert (there / "state.pt").read_text() == "step 20"
    (there / "state.pt").write_text("step 30")
    second.copy()
    _, folder = machine("first")
    assert (folder / "state.pt").read_text() == "step 30"


def test_one_copy_is_kept_and_none_after_the_record(machine):
    first, folder = machine("first")
    for step in "123":
        (folder / "state.pt").write_text(f"step {step}")
        os.utime(folder / "state.pt", ns=(int(step), int(step)))
        first.copy()
        first.copy()
    store = first.store
    assert len([path for path in store.fs.find(store.path("resume")) if path.endswith("state.pt")]) == 1
    first.clear()
    assert not store.fs.exists(store.path("resume", "key"))
    assert list(machine("second")[1].iterdir()) == []


def test_state_of_another_start_is_not_taken(machine):
    first, folder = machine("first")
    (folder / "state.pt").write_text("step 10")
    first.copy()
    assert list(machine("second", start=2.0)[1].iterdir()) == []


def test_a_folder_that_is_written_to_meanwhile_is_copied_the_next_time(machine, monkeypatch):
    first, folder = machine("first")
    (folder / "state.pt").write_text("step 10")
    link = os.link

    def link_late(source, target):
        link(source, target)
        (folder / "more.pt").write_text("more")

    monkeypatch.setattr(resuming.os, "link", link_late)
    first.copy()
    assert first.store.read_json(f"resume/key/{folder.name}/latest.json") is None
    monkeypatch.setattr(resuming.os, "link", link)
    first.copy()
    assert first.store.read_json(f"resume/key/{folder.name}/latest.json")["files"] == ["more.pt", "state.pt"]


def test_copies_are_made_while_a_trial_runs(machine, monkeypatch):
    monkeypatch.setattr(resuming, "COPY_SECONDS", 0.01)
    first, folder = machine("first")
    copied, copy = threading.Event(), first.copy

    def one_more():
        copy()
        copied.set()

    monkeypatch.setattr(first, "copy", one_more)
    with first.copied():
        (folder / "state.pt").write_text("step 10")
        copied.clear()
        assert copied.wait(10)
    assert (machine("second")[1] / "state.pt").read_text() == "step 10"
