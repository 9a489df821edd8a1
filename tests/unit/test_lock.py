from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from benchmark.night import lock
from benchmark.night.lock import FILE, locked
from benchmark.store.store import Store
from tasks.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["folder", "object store"])
def store(request, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_SETTLE_SECONDS", 0.05)
    if request.param == "folder":
        yield Store(str(tmp_path / "out"))
        return
    store = Store("memory://lock-tests/out")
    yield store
    store.fs.store.clear()


def leave(store: Store, **changes) -> None:
    """Leave a lock behind, as a run that ended without releasing it does."""
    store.write_json(FILE, lock._own_mark() | {"token": "another"} | changes)


def test_the_lock_is_there_inside_and_gone_after(store):
    with locked(store):
        assert store.read_json(FILE)["host"]
    assert store.read_json(FILE) is None


def test_the_lock_goes_when_the_block_raises(store):
    with pytest.raises(RuntimeError), locked(store):
        raise RuntimeError
    assert store.read_json(FILE) is None


def test_a_held_lock_is_refused_with_advice(store):
    with (
        locked(store),
        pytest.raises(BadInput, match=r"another nightly run .* remove .*nightly\.lock"),
        locked(store),
    ):
        pass


def test_a_lock_refused_is_left_alone(store):
    with locked(store):
        held = store.read_json(FILE)
        with pytest.raises(BadInput), locked(store):
            pass
        assert store.read_json(FILE) == held


def test_the_lock_of_a_dead_process_is_taken_over_at_once(store):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    leave(store, pid=process.pid)
    with locked(store):
        assert store.read_json(FILE)["token"] != "another"
    assert store.read_json(FILE) is None


def test_a_process_number_used_again_does_not_hold_the_lock(store):
    leave(store, born=time.time() - 1e6)
    with locked(store):
        pass


def test_a_lock_of_another_machine_holds_while_it_is_renewed(store):
    leave(store, machine="elsewhere", pid=1)
    with pytest.raises(BadInput), locked(store):
        pass


def test_a_lock_of_another_machine_that_is_not_renewed_is_taken_over(store):
    leave(store, machine="elsewhere", renewed=time.time() - lock.ABANDONED_SECONDS - 1)
    with locked(store):
        pass


def test_the_owner_renews(store, monkeypatch):
    monkeypatch.setattr(lock, "RENEWED_SECONDS", 0.02)
    with locked(store):
        before = store.read_json(FILE)["renewed"]
        deadline = time.monotonic() + 10
        while store.read_json(FILE)["renewed"] == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_damaged_lock_is_taken_over(store):
    store.write_text(FILE, "{")
    with locked(store):
        pass


def test_a_store_without_exclusive_creation_still_locks(monkeypatch):
    monkeypatch.setattr(lock, "_SETTLE_SECONDS", 0.05)
    store = Store("memory://lock-tests/plain")
    plain = MemoryFileSystem.pipe_file

    def pipe_file(self, path, value, mode="overwrite", **options):
        if mode == "create":
            raise NotImplementedError
        return plain(self, path, value, **options)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", pipe_file)
    with locked(store), pytest.raises(BadInput), locked(store):
        pass
    assert store.read_json(FILE) is None


def test_two_processes_never_hold_it_together(tmp_path):
    code = (
        "import sys, time; from benchmark.night.lock import locked; from benchmark.store.store import Store\n"
        "from tasks.errors import BadInput\n"
        "try:\n"
        "  with locked(Store(sys.argv[1])): print('held', flush=True); sys.stdin.read()\n"
        "except BadInput: print('refused', flush=True)\n"
    )

    def start():
        return subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, text=True, stdin=-1, stdout=-1
        )

    first = start()
    assert first.stdout.readline() == "held\n"
    assert json.loads((tmp_path / FILE).read_text())["pid"] == first.pid
    second = start()
    assert second.stdout.readline() == "refused\n"
    first.kill()
    first.wait()
    third = start()
    assert third.stdout.readline() == "held\n"
    third.communicate("")
    second.communicate()
    assert not (tmp_path / FILE).exists()
