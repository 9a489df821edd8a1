"""The mirror into a real SQLite store of MLflow."""

import shutil

import mirrored
import pytest

from benchmark.tracking import Mirror, RunIdentity, TrackingStore, in_sync, sync
from benchmark.tracking.runs import Runs


@pytest.fixture
def sweep(tmp_path, empty_database, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    made = mirrored.sweep(tmp_path / "out")
    shutil.copy(empty_database, tmp_path / "out/mlflow.db")
    return made


@pytest.fixture
def where(sweep, tmp_path):
    return TrackingStore.of(str(tmp_path / "out"))


def runs(where, identity):
    """All active runs of the experiment, by name."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=where.uri)
    experiment = client.get_experiment_by_name(identity.experiment)
    found = client.search_runs([experiment.experiment_id], max_results=500)
    names = [run.info.run_name for run in found]
    assert len(set(names)) == len(names), "a run appears twice"
    return client, {run.info.run_name: run for run in found}


def mirror_live(sweep, where):
    """Play a sweep as the driver does: start, curves, records, a failure, the leaderboard."""
    mirror = Mirror(where, sweep.identity, sweep.store)
    mirror.start()
    for outcome in sweep.outcomes:
        key = outcome.fingerprint
        mirror.started(key, outcome.label, outcome.task, outcome.seed, mirrored.METHODS[outcome.label])
        for step in (10, 20, 30):
            mirror.metrics(key, [(step, {"loss": 1 / step, "bad": float("nan")}, outcome.started + step)])
    for record in sweep.records:
        mirror.finished(record)
    for failure in sweep.failures:
        mirror.failed(failure)
    board, folder = sweep.board(), where.file.parent / "leaderboard"
    mirrored.write_page(board, folder)
    mirror.published(board, folder)
    return mirror.close(120), board, folder


def test_a_sweep_is_mirrored_and_replays_change_nothing(sweep, where):
    report, board, folder = mirror_live(sweep, where)
    assert (report.lost, report.points_lost, report.warning) == (0, 0, "")
    assert in_sync(sweep.store, where, sweep.identity, sweep.outcomes, board)
    client, found = runs(where, sweep.identity)
    assert len(found) == 1 + 8 + len(board.rows) + len(board.overall)

    parent = found.pop("small")
    assert parent.info.status == "FINISHED"
    assert parent.data.params["train.epochs"] == "3"
    assert parent.data.metrics == {"trials/done": 7, "trials/planned": 8}
    assert "kd:layers=3" in parent.data.tags["mlflow.note.content"]
    assert {file.path for file in client.list_artifacts(parent.info.run_id, "leaderboard")} >= {
        "leaderboard/leaderboard.html",
        "leaderboard/leaderboard.json",
    }
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}

    record = next(r for r in sweep.records if r.label != "finetune")
    trial = found[f"{record.label}.{record.task}.{record.seed}"]
    assert trial.info.status == "FINISHED"
    assert trial.info.end_time == round(record.ended * 1000)
    assert trial.data.params["layers"] == "3"
    assert trial.data.metrics["validation/accuracy"] == record.scores["accuracy"]
    assert trial.data.tags["leanboard.fingerprint"] == record.fingerprint
    assert "by_step/bad" not in trial.data.metrics
    curve = client.get_metric_history(trial.info.run_id, "by_step/loss")
    assert [(point.step, point.value) for point in curve] == [(10, 0.1), (20, 0.05), (30, 1 / 30)]
    files = {file.path for file in client.list_artifacts(trial.info.run_id)}
    assert files == {"record.json", "predictions.parquet"}, "weights stay in the store"

    failed = found["kd:layers=3.mrpc.2"]
    assert failed.info.status == "FAILED"
    assert failed.data.tags["failure.kind"] == "diverged"
    assert [file.path for file in client.list_artifacts(failed.info.run_id)] == ["traceback.txt"]

    row = next(row for row in board.rows if row.label == record.label and row.task == record.task)
    summary = found[f"{row.label}.{row.task}"]
    assert summary.data.metrics["score"] == row.median
    assert summary.data.metrics["delta/mean"] == row.delta
    assert summary.data.tags["verdict"] == row.verdict
    assert f"{row.median:.2f}" in summary.data.tags["mlflow.note.content"]

    points = {name: client.get_metric_history(run.info.run_id, "score") for name, run in found.items()}
    for _ in range(2):
        synced = sync(where, sweep.identity, sweep.store, sweep.records, sweep.failures, board, folder)
        assert (synced.made, synced.unchanged, synced.deleted) == (0, 8, 0)
    client, again = runs(where, sweep.identity)
    assert {n: r.info.run_id for n, r in again.items() if n != "small"} == {
        n: r.info.run_id for n, r in found.items()
    }
    assert points == {
        name: client.get_metric_history(run.info.run_id, "score") for name, run in found.items()
    }


def test_a_row_whose_params_have_changed_says_so(sweep, where):
    """Rates by task are frozen anew under one label; MLflow never changes a param."""
    board, folder = sweep.board(), where.file.parent / "leaderboard"
    mirrored.write_page(board, folder)
    writer = Runs(where, sweep.identity, sweep.store)
    writer.published(board, folder)
    rows = tuple(row.model_copy(update={"params": {**row.params, "layers": 9}}) for row in board.rows)
    writer.published(board.model_copy(update={"rows": rows}), folder)
    note = runs(where, sweep.identity)[1]["kd:layers=3.mrpc"].data.tags["mlflow.note.content"]
    assert "Params show the first run; changed since:" in note and "`layers`: 3 → 9" in note


def test_cached_records_of_a_second_run_make_no_second_run(sweep, where):
    sync(where, sweep.identity, sweep.store, sweep.records, sweep.failures)
    mirror = Mirror(where, sweep.identity, sweep.store)
    mirror.start()
    mirror.replay(sweep.records, sweep.failures)
    mirror.finished(sweep.records[0])
    assert mirror.close(60).lost == 0
    _, found = runs(where, sweep.identity)
    assert len(found) == 1 + 8


def test_another_attempt_takes_the_place_of_the_old_one(sweep, where):
    sync(where, sweep.identity, sweep.store, sweep.records, sweep.failures)
    label, task, seed = "kd:layers=3", "mrpc", 2
    again = mirrored.put(sweep.store, label, task, seed, ended=1.9e9)
    writer = Runs(where, sweep.identity, sweep.store)
    writer.started(again.fingerprint, label, task, seed, {"layers": 3}, 1.89e9)
    writer.curve(again.fingerprint, [(1, {"loss": 2.0}, 1.89e9)])
    assert runs(where, sweep.identity)[1][f"{label}.{task}.{seed}"].info.status == "RUNNING"
    writer.finished(again)
    run = runs(where, sweep.identity)[1][f"{label}.{task}.{seed}"]
    assert run.info.status == "FINISHED"
    assert "failure.kind" not in run.data.tags
    assert run.data.metrics["by_step/loss"] == 2.0


def test_sync_finishes_what_was_cut_off_and_removes_duplicates(sweep, where):
    first, second, third = sweep.records[:3]
    writer, other = (Runs(where, sweep.identity, sweep.store) for _ in range(2))
    writer.started(first.fingerprint, first.label, first.task, first.seed, {}, first.started)
    writer.finished(second)
    # Two drivers at once, neither of which knows of the other's run.
    other.finished(third)
    writer.finished(third)
    synced = sync(where, sweep.identity, sweep.store, sweep.records[:3])
    assert (synced.made, synced.unchanged) == (1, 2)
    found = runs(where, sweep.identity)[1]
    assert len(found) == 1 + 3
    assert all(run.info.status == "FINISHED" for run in found.values())


def test_an_interrupted_sweep_says_so(sweep, where):
    mirror = Mirror(where, sweep.identity, sweep.store)
    mirror.start()
    first = sweep.records[0]
    mirror.started(first.fingerprint, first.label, first.task, first.seed, {})
    mirror.close(60, interrupted=True)
    found = runs(where, sweep.identity)[1]
    assert {run.info.status for run in found.values()} == {"KILLED"}


def test_every_night_has_a_parent_and_only_its_own_trials(sweep, where):
    nights = [RunIdentity("small", mirrored.CONFIG, night=f"2026-01-0{day}") for day in (1, 2)]
    sync(where, nights[0], sweep.store, sweep.records)
    anew = mirrored.put(sweep.store, "finetune", "rte", 1, ended=1.95e9)
    synced = sync(where, nights[1], sweep.store, [anew, *sweep.records[1:]])
    assert (synced.made, synced.unchanged) == (1, 6)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=where.uri)
    experiment = client.get_experiment_by_name("small")
    found = client.search_runs([experiment.experiment_id])
    parents = {
        run.info.run_name: run.info.run_id for run in found if run.data.tags["leanboard.kind"] == "sweep"
    }
    assert set(parents) == {"small 2026-01-01", "small 2026-01-02"}
    children = [run.data.tags.get("mlflow.parentRunId") for run in found]
    assert children.count(parents["small 2026-01-02"]) == 1
    assert children.count(parents["small 2026-01-01"]) == 7


def test_changed_settings_are_told_where_params_cannot_change(sweep, where):
    sync(where, sweep.identity, sweep.store, [])
    changed = RunIdentity("small", mirrored.CONFIG | {"seeds": [1, 2, 3], "limit": 100})
    sync(where, changed, sweep.store, [])
    parent = runs(where, sweep.identity)[1]["small"]
    assert parent.data.params["seeds"] == "[1, 2]"
    assert parent.data.params["limit"] == "100"
    assert "`seeds`: [1, 2] → [1, 2, 3]" in parent.data.tags["mlflow.note.content"]


def test_values_beyond_mlflows_limits_are_cut_or_split(sweep, where):
    writer = Runs(where, sweep.identity, sweep.store)
    run = writer.parent
    writer.client.log(
        run,
        points=[(f"m{number}", number, 0, 0) for number in range(1200)] + [("inf", float("inf"), 0, 0)],
        params={f"p{number}": "x" * 7000 for number in range(120)},
        tags={f"t{number}": "y" * 9000 for number in range(120)},
    )
    data = writer.client.read(run)
    assert len(data.metrics) == 1200
    assert len(data.params) == 120
    assert len(data.params["p7"]) == 6000
    assert len(data.tags["t119"]) == 8000
