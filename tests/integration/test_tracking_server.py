"""The mirror into a real MLflow server."""

import urllib.request
from pathlib import Path

import mirrored
import pytest

from benchmark.tracking import Mirror, TrackingStore, in_sync, links, sync


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return mirrored.sweep(tmp_path / "out")


def test_a_server_holds_runs_artifacts_and_the_pages_links(sweep, serve, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", serve().uri)
    where = TrackingStore.of(str(tmp_path / "out"))
    board, folder = sweep.board(), tmp_path / "leaderboard"
    mirrored.write_page(board, folder)
    mirror = Mirror(where, sweep.identity, sweep.store)
    mirror.start()
    record = sweep.records[0]
    mirror.started(record.fingerprint, record.label, record.task, record.seed, {})
    mirror.metrics(record.fingerprint, [(10, {"loss": 0.5}, record.started)])
    mirror.replay(sweep.records, sweep.failures)
    pairs = [(row.label, row.task) for row in (*board.rows, *board.overall)]
    addresses = mirror.links(pairs, timeout=60)
    mirror.published(board, folder)
    report = mirror.close(120)
    assert (report.lost, report.error) == (0, "")
    assert capfd.readouterr().out == "", "MLflow must not print into the progress line"

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=where.uri)
    assert set(addresses) == set(pairs)
    assert links(sweep.store, where, sweep.identity) == addresses
    row = board.rows[0]
    run = client.get_run(addresses[row.label, row.task].split("/runs/")[1].split("?")[0])
    assert run.data.metrics["score"] == row.median
    assert urllib.request.urlopen(addresses[row.label, row.task].split("#")[0]).status == 200
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    page = client.download_artifacts(parent.info.run_id, "leaderboard/leaderboard.html", str(tmp_path))
    assert "<html" in Path(page).read_text()
    assert in_sync(sweep.store, where, sweep.identity, sweep.outcomes, board)
    synced = sync(where, sweep.identity, sweep.store, sweep.records, sweep.failures, board, folder)
    assert (synced.made, synced.unchanged, synced.deleted) == (0, 8, 0)
