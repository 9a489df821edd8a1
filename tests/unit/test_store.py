from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from small_plans import leave, plan, record

from benchmark.store.fetched import UNUSED_SECONDS
from benchmark.store.store import Store, has_result
from benchmark.store.verification import Verifier
from reports.record import Failure
from tasks.errors import BadInput


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path) -> Store:
    if request.param == "folder":
        return Store(str(tmp_path / "out"))
    return Store(f"memory://{uuid.uuid4().hex}", tmp_path / "cache")


@pytest.fixture
def local(tmp_path) -> Store:
    return Store(str(tmp_path / "out"))


def payload(store: Store, made, role: str = "predictions.parquet") -> Path:
    return Path(store.path("records", made.fingerprint, made.files[role].path))


def failure(key: str, attempt: str, **changes) -> Failure:
    facts = {
        "fingerprint": key,
        "attempt": attempt,
        "label": "step",
        "task": "rte",
        "seed": 1,
        "kind": "error",
        "message": "ValueError: no",
        "started": 1.0,
        "ended": 2.0,
    }
    return Failure(**{**facts, **changes})


# -- whole records ---------------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was_put(store, tmp_path):
    made = leave(store, record(), tmp_path / "files", predictions=b"abc")
    assert made.files["predictions"].size == 3
    assert store.read(made.fingerprint) == made
    assert store.scan().records == {made.fingerprint: made}
    assert store.scan().damaged == {}
    assert store.open(made, "predictions").read() == b"abc"


def test_an_empty_store_has_no_records(store):
    assert store.scan().records == {}
    assert store.read("0" * 64) is None
    assert store.failures(["0" * 64]) == {}
    assert store.started("0" * 64, "a") is None
    assert store.read_json("manifest.json") is None


def test_a_scan_looks_only_for_what_it_is_asked(store, tmp_path):
    one, other = (leave(store, record({"n": n}), tmp_path / str(n)) for n in (1, 2))
    assert set(store.scan([one.fingerprint]).records) == {one.fingerprint}
    assert set(store.scan().records) == {one.fingerprint, other.fingerprint}
    assert store.scan([]).records == {}


def test_results_are_told_from_records_without(store, tmp_path):
    bare = leave(store, record({"n": 1}), tmp_path / "1", predictions=b"x")
    full = leave(store, record({"n": 2}), tmp_path / "2", predictions=b"x", result__weights=b"y")
    assert store.scan().results() == {bare.fingerprint: False, full.fingerprint: True}
    assert has_result(full) and not has_result(bare)


def test_a_result_is_fetched_into_a_local_folder(store, tmp_path):
    files = {"result__model__weights": b"w" * 100, "result__extra.npy": b"n", "predictions": b"p"}
    made = leave(store, record(), tmp_path / "files", **files)
    for _ in range(2):
        folder = store.fetch(made, "result")
        assert (folder / "model" / "weights").read_bytes() == b"w" * 100
        assert {path.name for path in folder.rglob("*") if path.is_file()} == {"weights", "extra.npy"}
    with pytest.raises(FileNotFoundError, match="holds no weights"):
        store.fetch(made, "weights")


def test_a_remote_result_that_arrives_damaged_is_not_kept(tmp_path):
    store = Store(f"memory://{uuid.uuid4().hex}", tmp_path / "cache")
    made = leave(store, record(), tmp_path / "files", result__weights=b"right")
    path = store.path("records", made.fingerprint, made.files["result/weights"].path)
    store.fs.pipe_file(path, b"wrong")
    with pytest.raises(OSError, match="arrived damaged"):
        store.fetch(made, "result")
    store.fs.pipe_file(path, b"right")
    assert (store.fetch(made, "result") / "weights").read_bytes() == b"right"
    assert [path.name for path in (tmp_path / "cache" / "fetched" / made.fingerprint).iterdir()] == ["a"]


def test_what_was_fetched_of_earlier_attempts_is_removed_once_nobody_uses_it(tmp_path):
    store = Store(f"memory://{uuid.uuid4().hex}", tmp_path / "cache")
    folder = tmp_path / "cache" / "fetched" / record().fingerprint

    def fetch(attempt: str) -> set[str]:
        made = leave(store, record(), tmp_path / "files", attempt=attempt, result__weights=b"w")
        store.fetch(made, "result")
        return {path.name for path in folder.iterdir()}

    def age(name: str, seconds: float) -> None:
        then = time.time() - seconds
        os.utime(folder / name, (then, then))

    assert fetch("a") == {"a"}
    assert fetch("b") == {"a", "b"}, "a trial may use the earlier one"
    (folder / "a.half").mkdir()
    for name in ("a", "b", "a.half"):
        age(name, 2 * UNUSED_SECONDS)
    assert fetch("b") == {"b"}, "nothing need be fetched for it"
    assert fetch("c") == {"b", "c"}, "b was asked for again"


def test_a_record_in_the_place_of_another_is_told_from_it(store, tmp_path):
    assert not store.holds(record().fingerprint)
    made = leave(store, record(), tmp_path / "files")
    assert store.holds(made.fingerprint) and not store.holds(made.fingerprint, replaced=made.ended)
    again = made.model_copy(update={"ended": made.ended + 1, "files": {}})
    leave(store, again, tmp_path / "files", attempt="b")
    assert store.holds(made.fingerprint, replaced=made.ended)


def test_a_record_that_is_gone_is_made_again(store, tmp_path):
    made = leave(store, record(), tmp_path / "files")
    store.fs.rm_file(store.path("records", made.fingerprint, "record.json"))
    assert store.read(made.fingerprint) is None
    assert store.scan().records == store.scan().damaged == {}
    leave(store, record(), tmp_path / "files", attempt="b")
    assert store.read(made.fingerprint).files["predictions.parquet"].path == "b/predictions.parquet"


# -- damage ----------------------------------------------------------------------------------------------


def damaged(store: Store, made) -> str:
    """Why the record does not count, to a store that has not seen it and to one that has."""
    for each in (Store(store.url, store.cache), store):
        assert each.read(made.fingerprint) is None
        scan = each.scan()
        assert made.fingerprint not in scan.records
    return scan.damaged[made.fingerprint]


def test_a_kill_before_record_json_leaves_no_record(store, tmp_path, monkeypatch):
    def die(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_text", die)
        with pytest.raises(KeyboardInterrupt):
            leave(store, record(), tmp_path / "files")
    key = record().fingerprint
    assert store.read(key) is None
    assert store.scan().records == store.scan().damaged == {}
    made = leave(store, record(), tmp_path / "files", attempt="b")
    assert store.read(key) == made


def test_a_full_disk_is_said_and_loses_nothing_but_what_did_not_fit(store, tmp_path, monkeypatch):
    made = leave(store, record(), tmp_path / "files")
    put = store.put_file

    def full(source, target):
        put(source, target)
        if target.endswith("big"):
            raise OSError(errno.ENOSPC, "No space left on device")

    other = record({"method": "other"})
    with monkeypatch.context() as patch:
        patch.setattr(store, "put_file", full)
        with pytest.raises(
            OSError, match=r"big of step \(0 MB\) cannot be kept in .*No space left on device; make"
        ):
            leave(store, other, tmp_path / "files", attempt="b", small=b"1", big=b"2")
    assert not store.fs.exists(store.path("records", other.fingerprint, "b"))
    assert store.scan().records == {made.fingerprint: made}
    assert store.read(leave(store, other, tmp_path / "files", attempt="c").fingerprint) is not None


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_record_json_is_damage(store, tmp_path, share):
    made = leave(store, record(), tmp_path / "files")
    path = store.path("records", made.fingerprint, "record.json")
    text = store.fs.cat_file(path)
    store.fs.pipe_file(path, text[: int(share * len(text))])
    assert "record.json is not a record" in damaged(store, made)


@pytest.mark.parametrize("junk", [b"\x00" * 2000, b"[]", b"null", b'{"format": 2}', b"\xff\xfe"])
def test_junk_for_a_record_json_is_damage(store, tmp_path, junk):
    made = leave(store, record(), tmp_path / "files")
    store.fs.pipe_file(store.path("records", made.fingerprint, "record.json"), junk)
    assert "record.json is not a record" in damaged(store, made)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"accuracy": 0.7', '"accuracy": 0.9'),
        ('"seed": 1', '"seed": 2'),
        ('"label": "step"', '"label": "stop"'),
        ('"total": 2.0', '"total": 1.0'),
    ],
)
def test_a_changed_number_in_record_json_is_damage(store, tmp_path, old, new):
    made = leave(store, record(), tmp_path / "files")
    path = store.path("records", made.fingerprint, "record.json")
    text = store.fs.cat_file(path).decode()
    assert old in text
    store.fs.pipe_file(path, text.replace(old, new, 1).encode())
    assert "record.json" in damaged(store, made)


def test_a_flipped_byte_is_damage(store, tmp_path):
    made = leave(store, record(), tmp_path / "files", predictions=b"a" * 50)
    assert store.scan().records
    store.fs.pipe_file(store.path("records", made.fingerprint, "a/predictions"), b"a" * 49 + b"b")
    assert damaged(store, made) == "a/predictions has changed since it was written"


def test_a_flipped_byte_is_damage_even_in_the_same_second(local, tmp_path):
    made = leave(local, record(), tmp_path / "files", predictions=b"a" * 50)
    assert local.scan().records
    path = payload(local, made, "predictions")
    facts = path.stat()
    path.write_bytes(b"a" * 49 + b"b")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1_000_000))
    assert damaged(local, made) == "a/predictions has changed since it was written"


def test_a_shortened_file_is_damage(store, tmp_path):
    made = leave(store, record(), tmp_path / "files", predictions=b"a" * 50)
    store.fs.pipe_file(store.path("records", made.fingerprint, "a/predictions"), b"a" * 20)
    assert damaged(store, made) == "a/predictions has 20 bytes, not 50"


def test_a_missing_file_is_damage(store, tmp_path):
    made = leave(store, record(), tmp_path / "files", predictions=b"a", result__weights=b"b")
    store.fs.rm_file(store.path("records", made.fingerprint, "a/result/weights"))
    assert damaged(store, made) == "a/result/weights is missing"


def test_a_record_of_another_fingerprint_is_damage(store, tmp_path):
    made = leave(store, record({"n": 1}), tmp_path / "1")
    other = record({"n": 2})
    store.fs.copy(
        store.path("records", made.fingerprint), store.path("records", other.fingerprint), recursive=True
    )
    assert damaged(store, other) == "record.json does not belong to this fingerprint"
    assert store.read(made.fingerprint) == made


def test_a_record_whose_content_does_not_decide_its_fingerprint_is_damage(store, tmp_path):
    made = leave(store, record(decides={"n": 1}, fingerprint=record({"n": 2}).fingerprint), tmp_path / "f")
    assert "does not belong" in damaged(store, made)


def test_a_local_file_that_cannot_be_read_is_damage(local, tmp_path, monkeypatch):
    made = leave(local, record(), tmp_path / "files")

    def broken_disk(*args):
        raise OSError("Input/output error")

    monkeypatch.setattr(Verifier, "_digest", broken_disk)
    assert "cannot be read: Input/output error" in damaged(local, made)


def test_one_damaged_record_leaves_the_others(store, tmp_path):
    good, bad = (leave(store, record({"n": n}), tmp_path / str(n)) for n in (1, 2))
    store.fs.rm_file(store.path("records", bad.fingerprint, "a/predictions.parquet"))
    scan = store.scan()
    assert set(scan.records) == {good.fingerprint}
    assert set(scan.damaged) == {bad.fingerprint}


def test_a_mended_record_counts_again(store, tmp_path):
    made = leave(store, record(), tmp_path / "files", predictions=b"abc")
    store.fs.pipe_file(store.path("records", made.fingerprint, "a/predictions"), b"abd")
    assert damaged(store, made)
    leave(store, record(), tmp_path / "files", attempt="b", predictions=b"abc")
    assert store.scan().damaged == {}
    assert made.fingerprint in store.scan().records


# -- the memory of what was verified ----------------------------------------------------------------------


@pytest.fixture
def hashed(monkeypatch) -> list[str]:
    """The payload files that were read to be hashed."""
    found = []
    inner = Verifier._digest

    def watched(self, path):
        found.append(path)
        return inner(self, path)

    monkeypatch.setattr(Verifier, "_digest", watched)
    return found


def test_an_unchanged_file_is_hashed_once(local, tmp_path, hashed):
    made = leave(local, record(), tmp_path / "files", predictions=b"abc")
    for _ in range(3):
        assert Store(local.url).scan().records
    assert hashed == [f"{made.fingerprint}/a/predictions"]


def test_a_changed_file_is_hashed_again(local, tmp_path, hashed):
    made = leave(local, record(), tmp_path / "files", predictions=b"abc")
    assert local.scan().records
    path = payload(local, made, "predictions")
    path.write_bytes(b"abc")
    os.utime(path, ns=(1, 1))
    assert Store(local.url).scan().records
    assert len(hashed) == 2


def test_what_is_fetched_next_is_not_read_twice(tmp_path, hashed):
    files = {"result__weights": b"w" * 100, "predictions": b"p"}
    far = Store(f"memory://{uuid.uuid4().hex}", tmp_path / "cache")
    made = leave(far, record(), tmp_path / "files", **files)
    assert far.read(made.fingerprint, fetching="result") == made
    assert hashed == [f"{made.fingerprint}/a/predictions"]
    far.write_bytes(f"records/{made.fingerprint}/a/result/weights", b"short")
    assert far.read(made.fingerprint, fetching="result") is None
    # A local result is used where it lies, so nothing but this looks at it.
    near = Store(str(tmp_path / "near"))
    leave(near, record(made.decides), tmp_path / "files", **files)
    near.read(made.fingerprint, fetching="result")
    assert f"{made.fingerprint}/a/result/weights" in hashed


@pytest.mark.parametrize("junk", ["", "{", "[]", "3", '"x"'])
def test_a_damaged_memory_is_no_harm(local, tmp_path, junk):
    made = leave(local, record(), tmp_path / "files")
    assert local.scan().records
    Path(local.path("verified.json")).write_text(junk)
    assert Store(local.url).scan().records == {made.fingerprint: made}


def test_a_store_that_cannot_be_written_can_be_read(local, tmp_path, monkeypatch):
    made = leave(local, record(), tmp_path / "files")
    monkeypatch.setattr(Store, "write_bytes", lambda *args: (_ for _ in ()).throw(PermissionError("no")))
    assert Store(local.url).scan().records == {made.fingerprint: made}


# -- failures and attempts -------------------------------------------------------------------------------


def test_the_latest_failure_counts(store):
    key = record().fingerprint
    for attempt, ended in (("c", 5.0), ("a", 9.0), ("b", 7.0)):
        store.fail(failure(key, attempt, ended=ended, message=attempt))
    assert store.failures([key])[key].message == "a"
    assert store.failures(["f" * 64]) == {}


def test_a_failure_is_no_record(store):
    key = record().fingerprint
    store.fail(failure(key, "a"))
    assert store.scan().records == store.scan().damaged == {}


@pytest.mark.parametrize("name", ["failure-b.json.0123.tmp", "failure-b.json"])
@pytest.mark.parametrize("text", [b"", b'{"fingerprint": "x'])
def test_half_a_failure_is_passed_over(store, name, text):
    """A kill while a failure was written, or a disk that was full, must not stop every later run."""
    key = record().fingerprint
    store.fail(failure(key, "a"))
    store.fs.pipe_file(store.path("records", key, name), text)
    assert store.failures([key])[key].attempt == "a"


def test_an_attempt_says_when_it_began(store):
    store.begin("k", "a", {"started": 1.0, "deadline": 3.0})
    assert store.started("k", "a") == {"started": 1.0, "deadline": 3.0}
    assert store.started("k", "b") is None


# -- writing ---------------------------------------------------------------------------------------------


def test_a_text_is_written_whole_or_not_at_all(local, monkeypatch):
    local.write_text("a/b.txt", "first")

    def die(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", die)
        with pytest.raises(KeyboardInterrupt):
            local.write_text("a/b.txt", "second")
    assert Path(local.path("a", "b.txt")).read_text() == "first"
    local.write_text("a/b.txt", "third")
    assert Path(local.path("a", "b.txt")).read_text() == "third"


def test_json_holds_no_nan(store):
    with pytest.raises(ValueError, match="JSON"):
        store.write_json("a.json", {"x": float("nan")})
    store.write_json("a.json", {"x": 1})
    assert store.read_json("a.json") == {"x": 1}


def test_a_store_that_cannot_be_written_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"output .*file/out: cannot be written .*choose another with -o"):
        Store(str(tmp_path / "file" / "out")).probe()


@pytest.mark.parametrize("url", ["nonsense://a/b", "s4://bucket"])
def test_an_unknown_kind_of_store_is_bad_input(url):
    with pytest.raises(BadInput, match="output"):
        Store(url)


def test_a_url_comes_back_as_it_was_given(tmp_path):
    assert Store("memory://a/b/").url == "memory://a/b"
    assert Store(str(tmp_path)).url == str(tmp_path)
    assert Store(f"file://{tmp_path}").local


# -- several writers ---------------------------------------------------------------------------------------


def test_many_writers_of_one_fingerprint_leave_one_whole_record(store, tmp_path):
    def write(number: int) -> None:
        for turn in range(5):
            leave(
                store,
                record(scores={"accuracy": number / 10}),
                tmp_path / f"{number}-{turn}",
                attempt=f"{number}-{turn}",
                predictions=bytes([number]) * 1000,
            )

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):
        # Another process's view: whole or absent, never a mixture.
        scan = Store(store.url, store.cache).scan()
        assert scan.damaged == {}
        for made in scan.records.values():
            content = store.open(made, "predictions").read()
            assert content == bytes([round(made.scores["accuracy"] * 10)]) * 1000
            seen += 1
    for writer in writers:
        writer.join()
    assert len(store.scan().records) == 1


WRITER = """
import sys
from pathlib import Path
from small_plans import leave, record
from benchmark.store.store import Store
store, number = Store(sys.argv[1]), 0
while True:
    number += 1
    made = record({"n": number % 3}, scores={"accuracy": number / 1e9})
    leave(store, made, Path(sys.argv[2]), attempt=f"{sys.argv[3]}-{number}", predictions=bytes([number % 256]) * 200_000)
    print(number, flush=True)
"""


@pytest.mark.parametrize("after", [1, 2, 5, 9])
def test_a_writer_killed_at_any_instant_leaves_whole_records_or_none(tmp_path, after):
    store = Store(str(tmp_path / "out"))
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", WRITER, store.url, str(tmp_path / "files"), str(after)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as writer:
        for _ in range(after):
            writer.stdout.readline()
        threading.Event().wait(0.0007 * after)
        writer.send_signal(signal.SIGKILL)
        # On a busy machine it comes further before the signal does.
        told = after + len(writer.stdout.readlines())
    scan = store.scan()
    assert scan.damaged == {}
    assert len(scan.records) == min(3, told) or len(scan.records) == min(3, told + 1)


def test_a_planned_sweep_is_found_in_the_store(store, tmp_path):
    from small_plans import node_record

    built = plan(seeds=(1,))
    for number, node in enumerate(built.nodes.values()):
        leave(store, node_record(built, node), tmp_path / str(number), result__weights=b"w")
    assert built.missing(store.scan(built.nodes).results()) == {}


def test_a_record_json_is_readable_json(local, tmp_path):
    made = leave(local, record(), tmp_path / "files")
    content = json.loads(Path(local.path("records", made.fingerprint, "record.json")).read_text())
    assert content["scores"] == {"accuracy": 0.7}
