"""The sweep goes on whatever MLflow does, and `sync` repairs what MLflow missed."""

import shutil
import threading
import time

import mirrored
import pytest

from benchmark.tracking import Mirror, TrackingStore, Unreachable, in_sync, sync
from benchmark.tracking import mirror as mirror_module
from benchmark.tracking.client import Client


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return mirrored.sweep(tmp_path / "out")


def play(mirror, records):
    """What the driver does; returns how long its thread was held up."""
    begun = time.perf_counter()
    for record in records:
        mirror.started(record.fingerprint, record.label, record.task, record.seed, record.params)
        mirror.metrics(record.fingerprint, [(1, {"loss": 1.0}, record.started)])
        mirror.finished(record)
    return time.perf_counter() - begun


def test_a_dead_server_costs_the_sweep_nothing(sweep, capfd, monkeypatch):
    monkeypatch.setattr(mirror_module, "_RETRY_SECONDS", (0.5,))
    where = TrackingStore("http://me:secret@127.0.0.1:9", None)
    mirror = Mirror(where, sweep.identity, sweep.store)
    mirror.start()
    assert play(mirror, sweep.records) < 0.5
    assert mirror.links([("kd", "rte")], timeout=0.2) == {}
    time.sleep(3)
    begun = time.perf_counter()
    report = mirror.close(20)
    assert time.perf_counter() - begun < 15
    assert report.written == 0
    assert report.lost == 2 * len(sweep.records) + 2
    assert "Connection refused" in report.warning
    assert "sync" in report.warning
    assert "secret" not in report.warning
    assert capfd.readouterr() == ("", ""), "one warning at the end, no retries on the screen"
    assert not in_sync(sweep.store, where, sweep.identity, sweep.outcomes)
    with pytest.raises(Unreachable, match="Connection refused"):
        sync(where, sweep.identity, sweep.store, sweep.records)


def test_a_store_that_cannot_be_written_is_reported(sweep, tmp_path):
    (tmp_path / "file").write_text("")
    mirror = Mirror(TrackingStore(f"sqlite:///{tmp_path}/file/mlflow.db", None), sweep.identity, sweep.store)
    mirror.start()
    play(mirror, sweep.records)
    assert "misses 15 of 15 events" in mirror.close(60).warning


def active(where, identity):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=where.uri)
    found = client.search_runs([client.get_experiment_by_name(identity.experiment).experiment_id])
    return sorted((run.info.run_name, run.info.status) for run in found)


def expected(sweep):
    trials = [(f"{r.label}.{r.task}.{r.seed}", "FINISHED") for r in sweep.records]
    return sorted([("small", "FINISHED"), *trials])


def test_a_server_killed_in_mid_sweep_is_caught_up_by_sync(sweep, serve, tmp_path, monkeypatch):
    server = serve()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    where = TrackingStore.of(str(tmp_path / "out"))
    mirror = Mirror(where, sweep.identity, sweep.store)
    mirror.start()
    play(mirror, sweep.records[:3])
    wait(lambda: len(sweep.records[:3]) * 3 <= mirror._report.written)
    begun = sweep.records[3]
    mirror.started(begun.fingerprint, begun.label, begun.task, begun.seed, {})
    wait(lambda: not mirror._queue)
    server.kill()
    assert play(mirror, sweep.records[3:]) < 0.5
    report = mirror.close(40)
    assert report.lost >= len(sweep.records[3:])
    assert report.warning

    serve()
    synced = sync(where, sweep.identity, sweep.store, sweep.records)
    assert (synced.made, synced.unchanged) == (4, 3)
    assert active(where, sweep.identity) == expected(sweep)
    assert sync(where, sweep.identity, sweep.store, sweep.records).made == 0
    assert active(where, sweep.identity) == expected(sweep)


def test_an_outage_that_ends_in_mid_sweep_loses_nothing(sweep, empty_database, tmp_path, monkeypatch):
    monkeypatch.setattr(mirror_module, "_RETRY_SECONDS", (0.1,))
    where = TrackingStore.of(str(tmp_path / "out"))
    shutil.copy(empty_database, where.file)
    down = threading.Event()
    for name in ("create", "log", "end", "reopen"):
        monkeypatch.setattr(Client, name, cut_off(getattr(Client, name), down))
    monkeypatch.setattr(Client, "answers", lambda client: not down.is_set())
    mirror = Mirror(where, sweep.identity, sweep.store)
    mirror.start()
    play(mirror, sweep.records[:3])
    wait(lambda: mirror._report.written == 10)
    down.set()
    play(mirror, sweep.records[3:])
    wait(lambda: mirror._report.error)
    down.clear()
    report = mirror.close(90)
    assert (report.lost, report.points_lost, report.warning) == (0, 0, "")
    assert active(where, sweep.identity) == expected(sweep)


def cut_off(method, down):
    """The method, which works but loses its answer while `down` is set: the worst time for a second try."""

    def call(*arguments, **keywords):
        result = method(*arguments, **keywords)
        if down.is_set():
            raise ConnectionError("connection reset")
        return result

    return call


def wait(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
